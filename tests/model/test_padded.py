"""The released classifier's padded path, against the official code's numbers."""

from pathlib import Path

import pytest
import torch

from sgm_core.errors import InputError
from sgm_core.model.backbone import Backbone
from sgm_core.model.checkpoint import read_official
from sgm_core.model.head import Head
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.padded import pad, pad_token, pool_padded, through_padded

TOLERANCE = {"fp64": 1e-9, "fp32": 1e-5}


@pytest.fixture(params=list(TOLERANCE))
def case(request: pytest.FixtureRequest, shared: Path):
    """Backbone, genes-only batch, head, expected tensors and tolerance."""
    folder = shared / "fixtures" / "scfoundation_tiny"
    dtype = {"fp64": torch.float64, "fp32": torch.float32}[request.param]
    inputs = torch.load(folder / "inputs.pt", weights_only=True)
    expected = torch.load(folder / f"expected_{request.param}.pt", weights_only=True)
    backbone = read_official(folder / "models.ckpt", "gene").to(dtype)
    values = inputs["x_t4"].to(dtype)
    visible = values > 0
    visible[:, backbone.config.n_genes :] = False
    head = Head(backbone.config.width, 10).to(dtype)
    theirs = {"hidden": "cls.fc1.0", "output": "cls.fc1.2"}
    state = {f"{our}.{x}": inputs[f"{name}.{x}"] for our, name in theirs.items() for x in ("weight", "bias")}
    state |= {f"norm.running_{x}": inputs[f"cls.bn_running_{x}"] for x in ("mean", "var")}
    head.load_state_dict(state, strict=False)
    with torch.no_grad():
        yield (
            backbone,
            backbone.embed_tokens(values, visible),
            values,
            head,
            expected,
            TOLERANCE[request.param],
        )


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> bool:
    return bool((ours - theirs).abs().max() <= tolerance * theirs.abs().max())


def test_the_released_classifier_pools_its_padding(case) -> None:
    backbone, embedded, _, head, expected, tolerance = case
    pooled = pool_padded(through_padded(backbone, pad(embedded, pad_token(backbone))))
    assert close(pooled, expected["gene.cls_pooled_official"], tolerance)
    assert close(head.eval()(pooled), expected["gene.cls_logits_eval_official"], tolerance)
    assert close(head.train()(pooled), expected["gene.cls_logits_train_official"], 10 * tolerance)


def test_ours_does_not(case) -> None:
    backbone, embedded, values, head, expected, tolerance = case
    pooled = backbone.pool(backbone.through(embedded), values, ("max",))
    assert close(pooled, expected["gene.cls_pooled_ignoring_padding"], tolerance)
    assert close(head.eval()(pooled), expected["gene.cls_logits_eval_ignoring_padding"], tolerance)
    assert not close(pooled, expected["gene.cls_pooled_official"], 0.01)


def test_all_padding_of_a_cell_is_alike_so_one_place_stands_for_it(case) -> None:
    """Which lets the cache keep one token of padding a cell."""
    backbone, embedded, _, _, _, tolerance = case
    padded = through_padded(backbone, pad(embedded, pad_token(backbone), 2), 0, 1)
    for tokens, valid in zip(*padded, strict=True):
        assert close(tokens[~valid], tokens[-1].expand_as(tokens[~valid]), tolerance)


def test_a_backbone_without_padding_is_refused() -> None:
    with pytest.raises(InputError, match="imported weights"):
        pad_token(Backbone(BackboneConfig(9, width=8, heads=2, decoder_width=8, decoder_heads=2)))


@torch.no_grad()
def test_a_cell_without_a_gene_stays_finite(case) -> None:
    backbone, _, values, _, _, _ = case
    nothing = backbone.embed_tokens(values[:2], torch.zeros_like(values[:2], dtype=torch.bool))
    assert torch.isfinite(through_padded(backbone, pad(nothing, pad_token(backbone), 1)).tokens).all()


def test_a_head_learns_its_statistics_one_cell_at_a_time() -> None:
    torch.manual_seed(0)
    head, cells = Head(5, 2).train(), 3 + 2 * torch.randn(2000, 5)
    for cell in cells:
        assert torch.isfinite(head(cell[None])).all()
    assert torch.allclose(head.norm.running_mean, torch.full((5,), 3.0), atol=0.6)
    assert torch.allclose(head.norm.running_var, torch.full((5,), 4.0), atol=1.5)
