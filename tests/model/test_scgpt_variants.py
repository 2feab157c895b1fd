"""scGPT's variants against the numbers of its own code: outputs, losses, gradients, and its named faults."""

from pathlib import Path

import pytest
import torch
from test_scgpt_parity import assert_close, class_head_name, of_tokens, placed
from torch import Tensor, nn

from sgm_core.errors import InputError
from sgm_core.model.head import DeepHead
from sgm_core.model.scgpt_file import plain_name
from sgm_core.model.scgpt_losses import integration_terms, similarity_loss
from sgm_core.model.scgpt_variant_file import read_variant, variant_names

VARIANTS = ("integration", "batchnorm", "concat_query", "sum_query", "category", "scaling")
DTYPES = {"fp64": (torch.float64, 1e-10), "fp32": (torch.float32, 1e-5)}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures/scgpt_tiny"


@pytest.fixture(scope="module")
def variants(folder: Path) -> tuple[dict, dict]:
    """The tensors and the expected results of each variant."""
    names = ("variants_state.pt", "variants_expected.pt")
    state, expected = (torch.load(folder / name, weights_only=True) for name in names)
    return state, expected


def close(ours: Tensor | None, theirs: Tensor, tolerance: float, what: str) -> None:
    assert ours is not None, what
    # the official code kept a few numbers in single precision alone
    assert_close(ours, theirs, tolerance if theirs.dtype == torch.float64 else max(tolerance, 1e-6), what)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", VARIANTS)
def test_outputs(variants: tuple[dict, dict], folder: Path, name: str, dtype: str) -> None:
    precision, tolerance = DTYPES[dtype]
    state, expected = (part[name] for part in variants)
    model, where = read_variant(state, 2, "official").to(precision), placed(folder)
    codes, hidden = where["codes"].to(precision), where["loss_mask"]
    batch = expected.get("batch_labels")
    with torch.no_grad():
        made = model.outputs(codes, where["visible"] & ~hidden, hidden, batch)
    found = {
        "mlm_output": made.own,
        "mlm_zero_probs": made.chance,
        "mvc_output": made.by_cell,
        "mvc_zero_probs": made.chance_by_cell,
        "cell_emb": made.cells,
        "dab_output": made.batches,
        "cls_output": class_head(state).to(precision)(made.cells),
        "loss_ecs": similarity_loss(made.cells),
    }
    wanted = expected[dtype]
    assert {one for one, tensor in found.items() if tensor is not None} == set(wanted)
    for one, theirs in wanted.items():
        by_token = of_tokens(theirs, where) if theirs.shape == where["at"].shape else theirs
        close(found[one], by_token, tolerance, one)


def class_head(state: dict[str, Tensor]) -> DeepHead:
    head = DeepHead(16, 3, 3)
    head.load_state_dict({name: state[class_head_name(name)] for name in head.state_dict()})
    return head


def test_the_losses_of_an_integration_and_every_gradient(variants: tuple[dict, dict], folder: Path) -> None:
    state, expected = (part["integration"] for part in variants)
    model, where = read_variant(state, 2, "official").double(), placed(folder)
    codes, hidden, batch = where["codes"].double(), where["loss_mask"], expected["batch_labels"]
    outputs = model.outputs(codes, where["visible"] & ~hidden, hidden, batch)
    terms = integration_terms(outputs, codes, hidden, batch)
    assert set(terms) == set(expected["losses_fp64"]) - {"total"}
    wanted = dict(expected["losses_fp64"])
    total = sum(terms.values())
    close(total, wanted.pop("total"), 1e-8, "total")
    for name, theirs in wanted.items():
        close(terms[name], theirs, 1e-10, name)
    total.backward()
    official = {plain_name(name): gradient for name, gradient in expected["grad_total_fp64"].items()}
    names = variant_names(model)
    for ours, parameter in model.named_parameters():
        theirs = official.pop(names[ours])
        if ours == "positions.weight":
            theirs = theirs[[*range(40), 41, 40]]
        close(parameter.grad, theirs, 1e-10, ours)
    assert not official


def test_pre_norm_of_flash_attention(folder: Path) -> None:
    expected = torch.load(folder / "expected_prenorm_flash_fp64.pt", weights_only=True)
    state = torch.load(folder / "best_model.pt", weights_only=True)
    model, where = read_variant(state, 4, pre_norm=True).double(), placed(folder)
    hidden = where["loss_mask"]
    with torch.no_grad():
        made = model.outputs(where["codes"].double(), where["visible"] & ~hidden, hidden)
    close(made.encoded.tokens, of_tokens(expected["encoder_output"], where), 1e-10, "tokens")
    close(made.own, of_tokens(expected["mlm_output"], where), 1e-10, "expression")
    close(made.cells, expected["cell_emb_cls"], 1e-10, "cells")


@pytest.mark.parametrize("compat", ("corrected", "official"))
def test_the_domains_of_a_mixed_batch(variants: tuple[dict, dict], folder: Path, compat: str) -> None:
    """Named faults: all cells are normalised as the first one's batch, and padding is in the statistics."""
    state, where = variants[0]["integration"], placed(folder)
    model = read_variant(state, 2, compat).double().train()
    assert model.token_norm is not None
    batch = torch.tensor([2, 0, 2, 1, 0, 2])
    codes = where["codes"].double()
    entered = model.embed_tokens(codes, where["visible"])
    rows = [part.detach() for part in entered.tokens.split(entered.lengths)]
    padding = model.gene_norm(model.positions.weight[-1]) + model.values(codes.new_tensor(-2.0))
    most, norms = max(entered.lengths), [nn.BatchNorm1d(16, 6.1e-5, affine=False).double() for _ in range(3)]
    for i, norm in enumerate(norms):
        norm.running_mean.copy_(state[f"dsbn.bns.{i}.running_mean"])
        norm.running_var.copy_(state[f"dsbn.bns.{i}.running_var"])
    if compat == "official":
        padded = [torch.cat([row, padding.detach().expand(most - len(row), -1)]) for row in rows]
        dense = norms[2](torch.stack(padded).transpose(1, 2)).transpose(1, 2)
        wanted = [one[: len(row)] for one, row in zip(dense, rows, strict=True)]
    else:
        wanted = [row.clone() for row in rows]
        for domain in range(3):
            own = [i for i in range(6) if batch[i] == domain]
            parts = norms[domain](torch.cat([rows[i] for i in own])).split([len(rows[i]) for i in own])
            for i, part in zip(own, parts, strict=True):
                wanted[i] = part
    found = model.token_norm(entered, padding, batch)
    assert_close(found, torch.cat(wanted), 1e-12)
    for ours, theirs in zip(model.token_norm.norms, norms, strict=True):
        assert torch.allclose(ours.running_var, theirs.running_var, rtol=1e-12)
    model.eval()
    with torch.no_grad():
        together = model.outputs(codes, where["visible"], None, batch).cells
        alone = [model.outputs(codes[i : i + 1], where["visible"][i : i + 1], None, batch[i : i + 1]).cells
                 for i in range(6)]  # fmt: skip
        off = (together - torch.cat(alone)).abs().amax(1) > 1e-9
    assert off.tolist() == [compat == "official" and int(one) != 2 for one in batch]


def test_tensors_that_do_not_fit(variants: tuple[dict, dict]) -> None:
    state = variants[0]["integration"]
    with pytest.raises(InputError, match=r"W_zero_logit.bias \(32,\) is missing"):
        read_variant({name: one for name, one in state.items() if name != "mvc_decoder.W_zero_logit.bias"}, 2)
    with pytest.raises(InputError, match="other is not part of the model"):
        read_variant({**state, "other": torch.ones(2)}, 2)
    with pytest.raises(InputError, match="not those of a scGPT model"):
        read_variant({"decoder.fc.0.weight": torch.ones(2, 2)}, 2)
