"""Parity with the public scGPT modules: tensors that they gave for random weights, through the import."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sgm_core.model.head import DeepHead
from sgm_core.model.masking import pack
from sgm_core.model.scgpt import ScGPT
from sgm_core.model.scgpt_file import plain_name, scgpt_names
from sgm_core.model.scgpt_losses import similarity_loss
from sgm_core.model.scgpt_padded import pool_with_padding
from sgm_core.model.weights import import_weights, load_backbone

DTYPES = {"fp64": (torch.float64, 1e-10), "fp32": (torch.float32, 1e-5)}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures" / "scgpt_tiny"


@pytest.fixture(params=list(DTYPES))
def case(request: pytest.FixtureRequest, folder: Path):
    """Expected tensors, the number format and the tolerance, relative to each tensor's maximum."""
    dtype, tolerance = DTYPES[request.param]
    return torch.load(folder / f"expected_{request.param}.pt", weights_only=True), dtype, tolerance


def load(folder: Path, dtype: torch.dtype, compat: str = "corrected") -> ScGPT:
    import_weights(folder, None, "scgpt")
    backbone = load_backbone("scgpt", compat=compat)
    assert isinstance(backbone, ScGPT)
    return backbone.to(dtype)


def placed(folder: Path, prefix: str = "") -> dict[str, Tensor]:
    """Return the fixture's padded sequences as codes by position: the genes, then <cls>."""
    inputs = torch.load(folder / "inputs.pt", weights_only=True)
    ids, real = inputs[f"{prefix}gene_ids"], ~inputs[f"{prefix}padding_mask"]
    at = torch.where(ids == inputs["cls_id"], 40, ids)
    cell = torch.arange(len(ids)).unsqueeze(1).expand_as(ids)
    made = {"at": at, "real": real}
    names = {"codes": "values_target", "loss_mask": "loss_mask"} if not prefix else {"codes": "embed_values"}
    for ours, theirs in names.items():
        table = torch.zeros(len(ids), 41, dtype=inputs[theirs].dtype)
        table[cell[real], at[real]] = inputs[theirs][real]
        made[ours] = table
    visible = torch.zeros(len(ids), 41, dtype=torch.bool)
    visible[cell[real], at[real]] = True
    return made | {"visible": visible, "celltype": inputs["celltype"]}


def of_tokens(theirs: Tensor, where: dict[str, Tensor]) -> Tensor:
    """Return padded rows (B, L, ...) of the fixture in the order of our tokens: by cell and position."""
    at = where["at"].masked_fill(~where["real"], 99)
    order = at.argsort(dim=1, stable=True)
    cell = torch.arange(len(at)).unsqueeze(1)
    return theirs[cell, order][where["real"].gather(1, order)]


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float, what: str = "") -> None:
    difference = (ours.detach().reshape(theirs.shape) - theirs).abs().max()
    assert difference <= tolerance * theirs.abs().max(), f"{what}: {difference:.2e}"


@torch.no_grad()
def test_encoder_and_cell_embedding(folder: Path, case) -> None:
    expected, dtype, tolerance = case
    model, where = load(folder, dtype), placed(folder)
    codes, hidden = where["codes"].to(dtype), where["loss_mask"]
    encoded = model.embed_tokens(codes, where["visible"] & ~hidden, None, hidden)
    both = of_tokens(expected["gene_emb"] + expected["value_emb"], where)
    assert_close(encoded.tokens, both, tolerance, "embedding")
    for i in range(model.config.depth):
        encoded = model.through(encoded, i, i + 1)
        assert_close(encoded.tokens, of_tokens(expected[f"layer{i}_output"], where), tolerance, f"layer {i}")
    assert_close(encoded.tokens, of_tokens(expected["encoder_output"], where), tolerance)
    cells = model.pool(encoded, codes)
    assert_close(cells, expected["cell_emb_cls"], tolerance, "cls")
    assert_close(similarity_loss(cells), expected["loss_ecs"], tolerance, "similarity of cells")
    predicted = model.decode(encoded, hidden)
    rows = encoded.cell, encoded.at
    assert_close(predicted[rows], of_tokens(expected["mlm_output"], where), tolerance, "expression")
    by_cell = model.by_cell(model.gene_norm(model.positions.weight[:-1]), model.cells(encoded))
    assert_close(by_cell[rows], of_tokens(expected["mvc_output"], where), tolerance, "by cell")
    # where a gene has no token, the cell predicts it
    absent = ~where["visible"]
    assert absent.any() and torch.equal(predicted[absent], by_cell[absent])
    at, _ = pack(absent | hidden)
    assert_close(model.decode(encoded, hidden, at), predicted.gather(1, at), tolerance)


@torch.no_grad()
@pytest.mark.parametrize(("part", "theirs"), [("mean", "avgpool"), ("weighted", "wpool")])
def test_padding_that_the_official_code_pools(folder: Path, case, part: str, theirs: str) -> None:
    """Named fault: the mean, and the mean weighted by bin, take the padding of the batch along."""
    expected, dtype, tolerance = case
    model, where = load(folder, dtype, "official"), placed(folder)
    codes, hidden = where["codes"].to(dtype), where["loss_mask"]
    ours = pool_with_padding(model, codes, where["visible"] & ~hidden, hidden, part)
    assert_close(ours, expected[f"cell_emb_{theirs}"], tolerance)
    real = model.pool(model.encode(codes, where["visible"] & ~hidden, None, hidden), codes, (part,))
    longest = where["real"].sum(1).argmax()
    if part == "mean":
        # the longest cell has no padding; the others are far off
        assert_close(real[longest], expected["cell_emb_avgpool"][longest], tolerance)
        assert (real - ours).abs().max() > 0.1 * ours.abs().max()


@torch.no_grad()
def test_padding_of_flash_attention(folder: Path) -> None:
    """Padding holds something else there, which the two pools take along as well."""
    torch_s = torch.load(folder / "expected_fp64.pt", weights_only=True)
    expected = torch.load(folder / "expected_flash_padding_fp64.pt", weights_only=True)
    model, where = load(folder, torch.float64, "official"), placed(folder)
    codes, hidden = where["codes"].double(), where["loss_mask"]
    for part, name in (("mean", "cell_emb_avgpool"), ("weighted", "cell_emb_wpool")):
        ours = pool_with_padding(model, codes, where["visible"] & ~hidden, hidden, part, flash=True)
        assert_close(ours, expected[name], 1e-10, part)
        assert (expected[name] - torch_s[name]).abs().max() > 0.1 * expected[name].abs().max()
    # where there is no padding, both kernels say the same
    encoded = model.encode(codes, where["visible"] & ~hidden, None, hidden)
    assert_close(encoded.tokens, of_tokens(expected["encoder_output"], where), 1e-10)


@pytest.mark.parametrize("recompute", (False, True), ids=("kept", "recomputed"))
def test_losses_and_every_gradient(folder: Path, case, recompute: bool) -> None:
    expected, dtype, tolerance = case
    model, where = load(folder, dtype), placed(folder)
    model.recompute = recompute
    codes, hidden = where["codes"].to(dtype), where["loss_mask"]
    at, real = pack(hidden)

    def scored():
        encoded = model.encode(codes, where["visible"] & ~hidden, None, hidden)
        return encoded, model.score(encoded, hidden, at, real, codes)

    encoded, result = scored()
    assert_close(result.error, expected["loss_gep"], tolerance)
    assert_close(result.loss, expected["loss_gep"] + expected["loss_mvc"], tolerance)
    result.error.backward()
    check_gradients(model, expected["grad_gep"], tolerance)

    model.zero_grad()
    head = class_head(folder, dtype)
    encoded, result = scored()
    logits = head(model.pool(encoded, codes))
    assert_close(logits, expected["cls_output"], tolerance)
    named = F.cross_entropy(logits, where["celltype"])
    assert_close(named, expected["loss_cls"], tolerance)
    total = result.loss + named
    assert_close(total, expected["loss_total"], tolerance)
    total.backward()
    check_gradients(model, expected["grad_total"], tolerance, head)


def check_gradients(
    model: ScGPT, theirs: dict[str, Tensor], tolerance: float, head: DeepHead | None = None
) -> None:
    """Compare every gradient that the official code has; the others must be zero."""
    official = {plain_name(name): gradient for name, gradient in theirs.items()}
    for ours, name in scgpt_names(model.config).items():
        gradient = model.get_parameter(ours).grad
        if name not in official:
            assert gradient is None or not gradient.any(), name
            continue
        wanted = official.pop(name)
        if name == "encoder.embedding.weight":
            assert not wanted[42].any()  # <eoc>, which we have not
            wanted = wanted[[*range(40), 41, 40]]
        assert gradient is not None
        assert_close(gradient, wanted, tolerance, name)
    for name, parameter in head.named_parameters() if head is not None else ():
        assert parameter.grad is not None
        assert_close(parameter.grad, official.pop(class_head_name(name)), tolerance, name)
    assert not official


def class_head(folder: Path, dtype: torch.dtype) -> DeepHead:
    head = DeepHead(32, 4, 3)
    stored = torch.load(folder / "cls_head.pt", weights_only=True)
    head.load_state_dict({name: stored[class_head_name(name)] for name in head.state_dict()})
    return head.to(dtype)


def class_head_name(ours: str) -> str:
    part, _, rest = ours.partition(".")
    if part == "output":
        return f"cls_decoder.out_layer.{rest}"
    number, _, what = rest.partition(".")
    return f"cls_decoder._decoder.{3 * int(number) + 2 * (part == 'norms')}.{what}"


@torch.no_grad()
def test_the_zero_shot_embedding(folder: Path, case) -> None:
    expected, dtype, tolerance = case
    model, where = load(folder, dtype), placed(folder, "embed_")
    codes = where["codes"].to(dtype)
    assert (codes[:, -1] == -2).all()
    encoded = model.encode(codes, where["visible"])
    assert_close(encoded.tokens, of_tokens(expected["embed_encoder_output"], where), tolerance)
    cells = model.pool(encoded, codes)
    assert_close(cells, expected["embed_cls_raw"], tolerance)
    assert_close(F.normalize(cells), expected["embed_cell_emb"], tolerance)


@torch.no_grad()
def test_the_tokens_of_binned_cells(folder: Path) -> None:
    """Expressed genes and <cls>, each with its bin; of a long cell as many as the limit, none twice."""
    steps, model = torch.load(folder / "preprocess.pt", weights_only=True), load(folder, torch.float64)
    codes = F.pad(steps["binned_seeded"].double(), (0, 1))
    for limit, name in ((None, "tok_nocut"), (steps["tok_cut_maxlen"], "tok_cut")):
        model.config = replace(model.config, max_length=limit)
        shown = model.shown(codes)
        for i, (ids, values) in enumerate(zip(steps[f"{name}_genes"], steps[f"{name}_values"], strict=True)):
            real = ids != 40
            at = torch.where(ids == 41, 40, ids)[real]
            assert len(at) == shown[i].sum() and shown[i, -1]
            if limit is None:
                assert set(at.tolist()) == set(shown[i].nonzero()[:, 0].tolist())
            assert torch.equal(codes[i, at], values[real].double())
        encoded = model.embed_tokens(codes, shown)
        value = encoded.tokens - model.gene_norm(model.positions(encoded.at))
        assert torch.allclose(value, model.values(codes[encoded.cell, encoded.at]), atol=1e-12)
