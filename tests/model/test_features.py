"""Linear attention in chunks against the plain way to compute it, outputs and gradients."""

import pytest
import torch
from torch import Tensor

from sgm_core.model import features
from sgm_core.model.features import FLOOR, linear_attention, orthogonal_features


def plain(q: Tensor, k: Tensor, v: Tensor, projection: Tensor, across_cells: bool) -> Tensor:
    """All features at once, by autograd."""

    def feature(x: Tensor, over: tuple[int, ...]) -> Tensor:
        x = x * x.shape[-1] ** -0.25
        a = x @ projection.T
        return (a - x.square().sum(-1, keepdim=True) / 2 - a.amax(over, keepdim=True)).exp() + FLOOR

    fq, fk = feature(q, (-1,)), feature(k, (0, 1, 2, 3) if across_cells else (1, 2, 3))
    weights = torch.einsum("bqhm,blhm->bhql", fq, fk)
    return torch.einsum("bhql,blhd->bqhd", weights / weights.sum(-1, keepdim=True), v)


@pytest.mark.parametrize("across_cells", (False, True), ids=("by-cell", "across-cells"))
@pytest.mark.parametrize("positions", (1, 7, 50), ids=("a-chunk-each", "chunks-of-7", "one-chunk"))
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, across_cells: bool, positions: int) -> None:
    """Keys grow from chunk to chunk in one cell and shrink in another, so the maximum is in any of them."""
    monkeypatch.setattr(features, "_MOST_CPU", 1)
    monkeypatch.setattr(features, "_LEAST", positions)
    generator = torch.Generator().manual_seed(0)
    projection = orthogonal_features(19, 8, generator).double()

    def draw(length: int) -> Tensor:
        return torch.randn(3, length, 2, 8, generator=generator, dtype=torch.float64)

    growth = torch.linspace(0.2, 3, 23, dtype=torch.float64)
    scale = torch.stack([growth, growth.flip(0), torch.ones_like(growth)])[:, :, None, None]
    q, k, v, upstream = draw(11), draw(23) * scale, draw(23), draw(11)
    found = []
    for attend in (plain, linear_attention):
        inputs = [x.clone().requires_grad_(True) for x in (q, k, v)]
        out = attend(*inputs, projection, across_cells)
        (out * upstream).sum().backward()
        found.append([out.detach(), *(x.grad for x in inputs)])
    for name, one, other in zip(("out", "q", "k", "v"), *found, strict=True):
        assert (one - other).abs().max() < 1e-10 * max(1, float(one.abs().max())), name
