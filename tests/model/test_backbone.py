"""The backbone: packing, pooling, cells apart, empty cells, and parity with the official modules."""

import json
from pathlib import Path

import pytest
import torch

from sgm_core.model.attention import LinearAttention, feature_count, orthogonal_features
from sgm_core.model.backbone import Backbone, BackboneConfig, ValueEmbedding, pack

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
    assert at.tolist() == [[1, 3, 4], [0, 5, 5], [5, 5, 5]]
    assert valid.tolist() == [[True] * 3, [True, False, False], [True, False, False]]


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
        tokens, weights = encoded.tokens[i][encoded.valid[i]], values[i][values[i] > 0]
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
    q, k, v = (attention._split(layer(x)) for layer in (attention.q, attention.k, attention.v))
    exact = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1) @ v
    exact = attention.out(exact.transpose(1, 2).flatten(2))
    assert torch.allclose(attention(x), exact, atol=0.03)


def test_feature_count_of_the_official_head() -> None:
    assert feature_count(64) == 266


class TestOfficial:
    """Against tensors that the public scFoundation modules gave (random weights, fp64)."""

    @pytest.fixture
    def folder(self, shared: Path) -> Path:
        return shared / "fixtures" / "scfoundation_tiny"

    @pytest.fixture
    def model(self, folder: Path) -> Backbone:
        """Our backbone with the fixture's `gene` weights; T and S are its last two positions."""
        shape = json.loads((folder / "config.json").read_text())["model_config"]
        encoder, decoder = shape["encoder"], shape["decoder"]
        backbone = Backbone(
            BackboneConfig(
                n_genes=shape["seq_len"],
                width=encoder["hidden_dim"],
                depth=encoder["depth"],
                heads=encoder["heads"],
                ff=4,
                decoder_width=decoder["hidden_dim"],
                decoder_depth=decoder["depth"],
                decoder_heads=decoder["heads"],
                decoder_head_dim=decoder["dim_head"],
                bins=shape["bin_num"],
                value_scaling=False,
                cell_context=False,
                pool=("max",),
            )
        )
        stored = torch.load(folder / "models.ckpt", weights_only=True)["gene"]["state_dict"]
        official = {name.split("model.", 1)[1]: tensor for name, tensor in stored.items()}
        backbone.load_state_dict(
            {
                ours: official[theirs].squeeze(0) if ours == "values.masked" else official[theirs]
                for ours, theirs in _names(encoder["depth"], decoder["depth"]).items()
            }
        )
        return backbone.double().eval()

    @torch.no_grad()
    def test_value_embedding(self, folder: Path, model: Backbone) -> None:
        inputs = torch.load(folder / "inputs.pt", weights_only=True)
        expected = torch.load(folder / "expected_fp64.pt", weights_only=True)
        values = inputs["probe_values"].double()[:, :-2]
        assert isinstance(model.values, ValueEmbedding)
        assert _close(model.values(values), expected["gene.probe_embedding"][:, :-2])

    @torch.no_grad()
    def test_encoder_and_reconstruction_of_single_cells(self, folder: Path, model: Backbone) -> None:
        inputs = torch.load(folder / "inputs.pt", weights_only=True)
        expected = torch.load(folder / "expected_fp64.pt", weights_only=True)
        values = inputs["x_t4"].double()
        encoded = model.encode(values, values > 0)
        rows = encoded.valid
        assert _close(encoded.tokens[rows], expected["gene.encoder_batch"][rows])
        nothing = torch.zeros_like(values, dtype=torch.bool)
        for i in range(len(values)):
            one = slice(i, i + 1)
            alone = model.encode(values[one], values[one] > 0)
            assert _close(model.decode(alone, nothing[one]), expected["gene.reconstruction_single"][one])


def _close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= 1e-9 * theirs.abs().max())


def _names(depth: int, decoder_depth: int) -> dict[str, str]:
    names = {
        "values.scale": "token_emb.mlp",
        "values.mix": "token_emb.mlp2",
        "norm": "encoder.norm",
        "bridge": "decoder_embed",
        "decoder_norm": "decoder.norm",
        "output_norm": "norm",
        "output": "to_final",
    }
    for i in range(depth):
        ours, theirs = f"blocks.{i}", f"encoder.transformer_encoder.{i}"
        names |= {f"{ours}.out": f"{theirs}.self_attn.out_proj", f"{ours}.norm1": f"{theirs}.norm1"}
        names |= {f"{ours}.norm2": f"{theirs}.norm2"}
        names |= {f"{ours}.ff1": f"{theirs}.linear1", f"{ours}.ff2": f"{theirs}.linear2"}
    for i in range(decoder_depth):
        ours, theirs = f"decoder.{i}", f"decoder.performer.net.layers.{i}"
        names |= {f"{ours}.norm1": f"{theirs}.0.norm", f"{ours}.norm2": f"{theirs}.1.norm"}
        names |= {f"{ours}.attention.{x}": f"{theirs}.0.fn.to_{x}" for x in ("q", "k", "v", "out")}
        names |= {f"{ours}.ff1": f"{theirs}.1.fn.fn.w1", f"{ours}.ff2": f"{theirs}.1.fn.fn.w2"}
    table = {
        f"{ours}.{part}": f"{theirs}.{part}" for ours, theirs in names.items() for part in ("weight", "bias")
    }
    for i in range(depth):
        for part in ("weight", "bias"):
            table[f"blocks.{i}.qkv.{part}"] = f"encoder.transformer_encoder.{i}.self_attn.in_proj_{part}"
    for i in range(decoder_depth):
        layer = f"decoder.performer.net.layers.{i}.0.fn.fast_attention.projection_matrix"
        table[f"decoder.{i}.attention.projection"] = layer
    return table | {
        "values.table": "token_emb.emb.weight",
        "values.masked": "token_emb.emb_mask.weight",
        "positions.weight": "pos_emb.weight",
    }
