"""The backbone: packing, pooling, cells apart, empty cells, and parity with the official modules."""

import pytest
import torch

from sgm_core.model.attention import LinearAttention
from sgm_core.model.backbone import Backbone
from sgm_core.model.features import feature_count, orthogonal_features
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.masking import pack

CONFIG = BackboneConfig(
    30, width=16, depth=2, heads=2, decoder_width=8, decoder_depth=2, decoder_heads=2, bins=5
)


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone(CONFIG).eval()


def cells(batch: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(batch, 30, generator=generator) * 3
    density = torch.linspace(0.2, 0.8, batch).unsqueeze(1)
    return values * (torch.rand(batch, 30, generator=generator) < density)


def test_pack_keeps_gene_order_and_marks_padding() -> None:
    visible = torch.tensor([[0, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    at, valid = pack(visible)
    assert [row[keep].tolist() for row, keep in zip(at, valid)] == [[1, 3, 4], [0], []]


@torch.no_grad()
def test_a_cell_does_not_depend_on_the_cells_beside_it(backbone: Backbone) -> None:
    values = cells()
    masked = torch.zeros_like(values, dtype=torch.bool)
    masked[:, ::3] = True
    together = backbone.encode(values, (values > 0) & ~masked)
    pooled = backbone.pool(together, values)
    decoded = backbone.decode(together, masked, pooled=pooled)
    for i in range(len(values)):
        one = slice(i, i + 1)
        alone = backbone.encode(values[one], (values[one] > 0) & ~masked[one])
        vector = backbone.pool(alone, values[one])
        assert torch.allclose(pooled[one], vector, atol=1e-5)
        assert torch.allclose(decoded[one], backbone.decode(alone, masked[one], pooled=vector), atol=1e-5)


@torch.no_grad()
def test_decoding_some_positions_equals_decoding_all_of_them(backbone: Backbone) -> None:
    values = cells()
    masked = values > 1
    encoded = backbone.encode(values, (values > 0) & ~masked)
    at = torch.tensor([[3, 9, 0], [29, 1, 2], [5, 5, 5], [7, 8, 9]])
    everywhere = backbone.decode(encoded, masked)
    assert torch.allclose(backbone.decode(encoded, masked, at), everywhere.gather(1, at), atol=1e-5)


@torch.no_grad()
def test_an_empty_cell_and_a_cell_of_one_gene_are_finite(backbone: Backbone) -> None:
    values = torch.zeros(2, 30)
    values[1, 4] = 2.0
    encoded = backbone.encode(values, values > 0)
    assert torch.isfinite(backbone.pool(encoded, values)).all()
    assert torch.isfinite(backbone.decode(encoded, torch.zeros_like(values, dtype=torch.bool))).all()


@torch.no_grad()
def test_pooling_leaves_padding_out(backbone: Backbone) -> None:
    values = cells()
    encoded = backbone.encode(values, values > 0)
    pooled = backbone.pool(encoded, values)
    for i in range(len(values)):
        tokens, weights = encoded.tokens[encoded.cell == i], values[i][values[i] > 0]
        expected = torch.cat(
            [tokens.amax(0), tokens.mean(0), (weights[:, None] * tokens).sum(0) / weights.sum()]
        )
        assert torch.allclose(pooled[i], expected, atol=1e-5)


@torch.no_grad()
def test_random_features_approximate_softmax_attention() -> None:
    torch.manual_seed(0)
    attention = LinearAttention(16, 2, 8)
    attention.projection = orthogonal_features(4000, 8)
    x = torch.randn(1, 12, 16) * 0.7
    layers = (attention.q, attention.k, attention.v)
    q, k, v = (attention._split(layer(x)).transpose(1, 2) for layer in layers)
    exact = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1) @ v
    exact = attention.out(exact.transpose(1, 2).flatten(2))
    assert torch.allclose(attention(x), exact, atol=0.03)


def test_feature_count_of_the_official_head() -> None:
    assert feature_count(64) == 266
