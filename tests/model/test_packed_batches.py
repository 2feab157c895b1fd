"""Packed batches of cells of random lengths equal the cells one by one."""

import numpy as np
import pytest
import torch

from sgm_core.model.backbone import Backbone
from sgm_core.model.interface import BackboneConfig

# bf16 keeps 8 bits; over 100 draws the largest difference was 0.01 of the largest value (fp32: 5e-7)
TOLERANCE = {"fp32": 1e-5, "bf16": 3e-2}


def backbone_of(n_genes: int, depth_tokens: bool) -> Backbone:
    torch.manual_seed(1)
    pool = ("S", "T", "gene-max", "gene-mean", "max") if depth_tokens else ("max", "mean", "weighted")
    return Backbone(
        BackboneConfig(
            n_genes,
            width=32,
            depth=2,
            heads=4,
            decoder_width=16,
            decoder_depth=2,
            decoder_heads=2,
            bins=7,
            depth_tokens=depth_tokens,
            pool=pool,
        )
    ).eval()


def draw(rng: np.random.Generator, n_genes: int, depth_tokens: bool) -> torch.Tensor:
    """A batch whose cells have from no gene to nearly all of them, in no order."""
    batch = int(rng.integers(1, 7))
    density = rng.choice([0.0, 0.002, 0.05, 0.4, 0.95], (batch, 1))
    values = rng.gamma(2.0, 0.7, (batch, n_genes)) * (rng.random((batch, n_genes)) < density)
    if depth_tokens:
        values = np.concatenate([values, rng.uniform(0, 5, (batch, 2))], axis=1)
    return torch.from_numpy(values.astype(np.float32))


@torch.no_grad()
@pytest.mark.parametrize("precision", list(TOLERANCE))
@pytest.mark.parametrize("depth_tokens", (False, True), ids=("genes", "genes-T-S"))
@pytest.mark.parametrize("n_genes", (40, 700), ids=("short", "long"))
def test_a_packed_batch_equals_its_cells(precision: str, depth_tokens: bool, n_genes: int) -> None:
    """Encoder, pool and decoder, below and above the length at which attention stops padding."""
    rng = np.random.default_rng([n_genes, depth_tokens])
    backbone = backbone_of(n_genes, depth_tokens)
    for _ in range(12):
        values = draw(rng, n_genes, depth_tokens)
        masked = torch.from_numpy(rng.random(values.shape) < 0.2)
        masked[:, n_genes:] = False
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            together = run(backbone, values, masked)
            alone = [run(backbone, values[i : i + 1], masked[i : i + 1]) for i in range(len(values))]
        for name, whole in together.items():
            parts = torch.cat([one[name] for one in alone])
            assert whole.shape == parts.shape, name
            if whole.numel():
                difference = (whole.float() - parts.float()).abs().max()
                assert difference <= TOLERANCE[precision] * max(1, float(parts.abs().max())), name


def run(backbone: Backbone, values: torch.Tensor, masked: torch.Tensor) -> dict[str, torch.Tensor]:
    encoded = backbone.encode(values, backbone.shown(values) & ~masked)
    pooled = backbone.pool(encoded, values)
    return {
        "tokens": encoded.tokens,
        "pooled": pooled,
        "predicted": backbone.decode(encoded, masked, pooled=pooled),
    }
