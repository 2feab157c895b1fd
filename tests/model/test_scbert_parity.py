"""Parity with the public scBERT modules: tensors that they gave for random weights, through the import."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sgm_core.model.head import PositionsHead
from sgm_core.model.masking import pack
from sgm_core.model.scbert import ScBERT
from sgm_core.model.scbert_file import scbert_names
from sgm_core.model.weights import import_weights, load_backbone
from sgm_core.training.schemes import scheme

DTYPES = {"fp64": (torch.float64, 1e-10, 1e-10), "fp32": (torch.float32, 1e-5, 1e-4)}  # outputs, gradients

HEAD = {"each": "conv1", "fc1": "fc1", "fc2": "fc2", "output": "fc3"}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures" / "scbert_tiny"


@pytest.fixture(scope="module")
def inputs(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "inputs.pt", weights_only=True)


@pytest.fixture(params=list(DTYPES))
def case(request: pytest.FixtureRequest, folder: Path):
    """Expected tensors, the number format, and the two tolerances, relative to each tensor's maximum."""
    dtype, outputs, gradients = DTYPES[request.param]
    return torch.load(folder / f"expected_{request.param}.pt", weights_only=True), dtype, outputs, gradients


def load(folder: Path, dtype: torch.dtype, compat: str = "official") -> ScBERT:
    import_weights(folder / "panglao_pretrain.pth", folder / "genes.json", "scbert")
    backbone = load_backbone("scbert", compat=compat)
    assert isinstance(backbone, ScBERT)
    positions = backbone.positions.weight
    assert positions.dtype == torch.float64
    backbone.to(dtype)
    backbone.positions.weight = positions  # in double precision, as the released file has them
    return backbone


def assert_close(ours: Tensor, theirs: Tensor, tolerance: float, what: str = "") -> None:
    difference = (ours.detach().reshape(theirs.shape) - theirs).abs().max()
    assert difference <= tolerance * theirs.abs().max(), f"{what}: {difference:.2e}"


@torch.no_grad()
def test_encoder_of_a_batch_as_the_official_code_has_it(folder: Path, inputs, case) -> None:
    expected, dtype, tolerance, _ = case
    model, codes = load(folder, dtype), inputs["tokens"].to(dtype)
    assert tuple(model.genes) == tuple(json.loads((folder / "genes.json").read_text()))
    encoded = model.embed_tokens(codes, model.shown(codes))
    assert_close(encoded.tokens, expected["embedding_sum"], tolerance)
    for i, block in enumerate(model.blocks):
        x = encoded.tokens.unflatten(0, (5, -1))
        branch = block.attention(block.norm1(x))
        assert_close(branch, expected[f"layer{i}_attn_branch"], tolerance, f"attention {i}")
        after = model.through(encoded, i, i + 1) if i + 1 < len(model.blocks) else None
        forward = block.ff2(torch.nn.functional.gelu(block.ff1(block.norm2(x + branch))))
        assert_close(forward, expected[f"layer{i}_ff_branch"], tolerance, f"feed-forward {i}")
        encoded = encoded if after is None else after
    encoded = model.encode(codes, model.shown(codes))
    assert_close(encoded.tokens, expected["encoder_output"], tolerance)
    for part, name in (("cls", "last_position"), ("mean", "mean_all"), ("gene-mean", "mean_genes")):
        assert_close(model.pool(encoded, codes, (part,)), expected[f"cell_emb_{name}"], tolerance, part)
    assert_close(model.logits(encoded), expected["mlm_logits_unmasked"], tolerance)


@torch.no_grad()
def test_cells_do_not_depend_on_each_other_unless_asked(folder: Path, inputs, case) -> None:
    """Named fault: the keys' maximum runs over the whole batch; by default it is each cell's own."""
    expected, dtype, tolerance, _ = case
    model, codes = load(folder, dtype, "corrected"), inputs["tokens"].to(dtype)
    alone = expected["encoder_output_one_by_one"]
    assert_close(model.encode(codes, model.shown(codes)).tokens, alone, tolerance)
    assert (alone - expected["encoder_output"]).abs().max() > 0.01 * alone.abs().max()


@pytest.mark.parametrize("recompute", (False, True), ids=("kept", "recomputed"))
def test_masked_loss_and_every_gradient(folder: Path, inputs, case, recompute: bool) -> None:
    expected, dtype, tolerance, gradient_tolerance = case
    model, codes, chosen = load(folder, dtype), inputs["tokens"].to(dtype), inputs["mask"]
    model.recompute = recompute
    assert (model.maskable(codes) | ~chosen).all()  # zeros and the last position are never chosen
    assert torch.equal(model.maskable(codes).sum(1), inputs["n_maskable"])
    wanted = torch.tensor([math.ceil(0.15 * n) for n in inputs["n_maskable"].tolist()])
    assert torch.equal(inputs["n_masked"], wanted)
    # a tenth of the chosen ones is left as it is there, and scored all the same
    hidden = chosen & (inputs["masked_tokens"] == 6)
    encoded = model.encode(codes, model.shown(codes) & ~hidden, None, hidden)
    assert_close(model.logits(encoded), expected["mlm_logits"], tolerance)
    at, real = pack(chosen)
    scored = model.score(encoded, hidden, at, real, codes)
    assert_close(scored.loss, expected["mlm_loss"], tolerance)
    scored.loss.backward()
    official, names = dict(expected["mlm_grad"]), scbert_names(model.config)
    for ours, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert_close(parameter.grad, official.pop(names[ours]), gradient_tolerance, names[ours])
    assert not official


def test_the_official_classifier_and_its_gradients(folder: Path, inputs, case) -> None:
    expected, dtype, tolerance, gradient_tolerance = case
    model, codes = load(folder, dtype), inputs["tokens"].to(dtype)
    trained = scheme("official", model)
    model.requires_grad_(False)
    for module in trained.modules(model):
        module.requires_grad_(True)
    head, stored = PositionsHead(31, 20, 4, 16), torch.load(folder / "finetune_head.pth", weights_only=True)
    weights = stored["model_state_dict"]
    names = {
        f"{ours}.{x}": f"to_out.{theirs}.{x}" for ours, theirs in HEAD.items() for x in ("weight", "bias")
    }
    shapes = {name: tensor.shape for name, tensor in head.state_dict().items()}
    head.load_state_dict({ours: weights[theirs].reshape(shapes[ours]) for ours, theirs in names.items()})
    head.to(dtype)
    tokens = model.encode(codes, model.shown(codes)).tokens.unflatten(0, (5, -1))
    assert_close(head.hidden(tokens), expected["head_hidden"], tolerance)
    logits = head(tokens)
    assert_close(logits, expected["cls_logits"], tolerance)
    loss = torch.nn.functional.cross_entropy(logits, inputs["celltype"])
    assert_close(loss, expected["cls_loss"], tolerance)
    loss.backward()
    official, ours = dict(expected["cls_grad"]), scbert_names(model.config)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert_close(parameter.grad, official.pop(ours[name]), gradient_tolerance, name)
        else:
            assert parameter.grad is None
    for name, parameter in head.named_parameters():
        assert_close(parameter.grad, official.pop(names[name]), gradient_tolerance, name)
    assert not official
    with torch.no_grad():
        alone = load_backbone("scbert").to(dtype)
        alone.positions.weight = model.positions.weight
        tokens = alone.encode(codes, alone.shown(codes)).tokens.unflatten(0, (5, -1))
        assert_close(head(tokens), expected["cls_logits_one_by_one"], tolerance)


def test_every_name_of_the_released_size(folder: Path) -> None:
    """Names and shapes of the table in the specification, of which the tiny file has the names."""
    from dataclasses import replace

    stored = torch.load(folder / "panglao_pretrain.pth", weights_only=True)["model_state_dict"]
    tiny = load(folder, torch.float32).config
    assert set(scbert_names(tiny).values()) == set(stored)
    full = replace(tiny, n_genes=16906, width=200, depth=6, heads=10, head_dim=64, bins=6, ff=4.0)
    with torch.device("meta"):
        model = ScBERT(full)
    shapes = {theirs: tuple(model.state_dict()[ours].shape) for ours, theirs in scbert_names(full).items()}
    layer = "performer.net.layers.5."
    assert shapes["pos_emb.emb.weight"] == (16907, 200) and shapes["token_emb.weight"] == (7, 200)
    assert shapes[f"{layer}0.fn.fast_attention.projection_matrix"] == (266, 64)
    assert shapes[f"{layer}0.fn.to_q.weight"] == (640, 200) and shapes["to_out.weight"] == (7, 200)
    assert shapes[f"{layer}0.fn.to_out.weight"] == (200, 640)
    assert shapes[f"{layer}1.fn.fn.w1.weight"] == (800, 200) and len(shapes) == 3 + 4 + 6 * 14
