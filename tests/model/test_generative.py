"""scGPT's generation of hidden genes against a dense computation from the official tensors alone."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from test_scgpt_parity import load, placed
from torch import Tensor

from sgm_core.errors import InputError
from sgm_core.model import scgpt
from sgm_core.model.masking import cell_noise, pack
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.scgpt_file import plain_name, scgpt_names
from sgm_core.model.sizes import GENERATED
from sgm_core.model.strategies import NEED_VALUES, strategy_names

# those that need no gene sets, nor the noise of values
MASKERS = [name for name in strategy_names() if name not in (*NEED_VALUES, "programmes")]


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures/scgpt_tiny"


class Dense:
    """One cell by one, all its tokens in one matrix of attention, by the names of the released file."""

    def __init__(self, folder: Path) -> None:
        stored = torch.load(folder / "best_model.pt", weights_only=True)
        self.w = {plain_name(name): t.double().requires_grad_(True) for name, t in stored.items()}

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, name: str, x: Tensor) -> Tensor:
        off = x - x.mean(-1, keepdim=True)
        scaled = off / (off.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def genes(self, ids: Tensor) -> Tensor:
        return self.norm("encoder.enc_norm", self.w["encoder.embedding.weight"][ids])

    def value(self, codes: Tensor) -> Tensor:
        x = self.linear("value_encoder.linear1", codes[:, None]).relu()
        return self.norm("value_encoder.norm", self.linear("value_encoder.linear2", x))

    def entered(self, ids: Tensor, codes: Tensor, hidden: Tensor) -> Tensor:
        flag = self.w["flag_encoder.weight"][1]
        return self.genes(ids) + torch.where(hidden[:, None], flag, self.value(codes))

    def encode(self, x: Tensor, hidden: Tensor) -> Tensor:
        sees = ~hidden[None, :] | torch.eye(len(x), dtype=torch.bool)
        for i in range(2):
            layer = f"transformer_encoder.layers.{i}"
            qkv = (
                x @ self.w[f"{layer}.self_attn.in_proj_weight"].T + self.w[f"{layer}.self_attn.in_proj_bias"]
            )
            q, k, v = qkv.view(-1, 3, 4, 8).permute(1, 2, 0, 3)
            weights = (q @ k.transpose(1, 2) / 8**0.5).masked_fill(~sees, -torch.inf).softmax(-1)
            out = self.linear(f"{layer}.self_attn.out_proj", (weights @ v).transpose(0, 1).flatten(1))
            x = self.norm(f"{layer}.norm1", x + out)
            forward = self.linear(f"{layer}.linear2", self.linear(f"{layer}.linear1", x).relu())
            x = self.norm(f"{layer}.norm2", x + forward)
        return x

    def expression(self, x: Tensor) -> Tensor:
        for n in (0, 2):
            x = F.leaky_relu(self.linear(f"decoder.fc.{n}", x))
        return self.linear("decoder.fc.4", x)[:, 0]

    def by_cell(self, ids: Tensor, cell: Tensor) -> Tensor:
        query = self.linear("mvc_decoder.gene2query", self.genes(ids)).sigmoid()
        return query @ self.w["mvc_decoder.W.weight"].T @ cell


def cells(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes, visible and hidden (6, 41), <cls> with the code of pretraining, and never hidden."""
    where = placed(folder)
    codes, visible = where["codes"].double(), where["visible"]
    codes[:, -1] = -2
    hidden = where["loss_mask"].clone()
    hidden[:, -1] = False
    hidden[0] = False  # a cell of which nothing is hidden
    return codes, visible & ~hidden, hidden


@pytest.mark.parametrize("recompute", (False, True), ids=("kept", "recomputed"))
@pytest.mark.parametrize("steps", (0, scgpt.ScGPT.feedback_after), ids=("first", "fed back"))
def test_tokens_losses_and_every_gradient(folder: Path, steps: int, recompute: bool) -> None:
    model, dense = load(folder, torch.float64), Dense(folder)
    model.generate()
    model.recompute, model.steps = recompute, steps
    codes, visible, hidden = cells(folder)
    encoded = model.encode(codes, visible, None, hidden)
    at, real = pack(hidden)
    result = model.score(encoded, hidden, at, real, codes)
    losses, count = {"gep": 0.0, "mvc": 0.0, "again": 0.0}, int(hidden.sum())
    ours = encoded.tokens.split(encoded.lengths)
    for i, tokens in enumerate(ours):
        places = (visible[i] | hidden[i]).nonzero()[:, 0]
        generated, ids = hidden[i, places], torch.where(places == 40, 41, places)
        entered = dense.entered(ids, codes[i, places], generated)
        x = dense.encode(entered, generated)
        assert (tokens - x).abs().max() < 1e-10 * x.abs().max()
        wanted, cell = codes[i, places][generated], x[-1]
        losses["gep"] += (dense.expression(x[generated]) - wanted).square().sum() / count
        losses["mvc"] += (dense.by_cell(ids[generated], cell) - wanted).square().sum() / count
        again = dense.encode(torch.cat([entered[:-1], cell.detach()[None]]), generated)
        losses["again"] += (dense.expression(again[generated]) - wanted).square().sum() / count
    assert torch.allclose(result.error, losses["gep"], rtol=1e-10)
    total = losses["gep"] + losses["mvc"] + (losses["again"] if steps else 0)
    assert torch.allclose(result.loss, total, rtol=1e-10)
    result.loss.backward()
    total.backward()
    for ours_name, theirs in scgpt_names(model.config).items():
        own, wanted = model.get_parameter(ours_name).grad, dense.w[theirs].grad
        if ours_name == "positions.weight":
            wanted = wanted[[*range(40), 41, 40]]
        if ours_name == "values.flag":
            assert not wanted[0].any()
            wanted = wanted[1]
        assert (own - wanted).abs().max() <= 1e-10 * wanted.abs().max(), ours_name


@torch.no_grad()
def test_what_is_generated_is_seen_by_nothing_else(folder: Path) -> None:
    model = load(folder, torch.float64)
    codes, visible, hidden = cells(folder)
    masked = model.encode(codes, visible, None, hidden)
    without = model.encode(codes, visible)
    seen = visible[masked.cell, masked.at]
    assert not torch.allclose(masked.tokens[seen], without.tokens, atol=1e-3)  # the mask's tokens are seen
    model.generate()
    generated = model.encode(codes, visible, None, hidden)
    assert torch.allclose(generated.tokens[seen], without.tokens, atol=1e-12)
    none = model.encode(codes, visible, None, torch.zeros_like(hidden))
    assert torch.allclose(none.tokens, without.tokens, atol=1e-12)
    # half of the hidden genes alone: each is generated as it was beside the others
    fewer = hidden & (torch.arange(41) % 2 == 0)
    part = model.encode(codes, visible, None, fewer)
    both = fewer[generated.cell, generated.at]
    assert both.any()
    assert torch.allclose(generated.tokens[both], part.tokens[fewer[part.cell, part.at]], atol=1e-12)


@pytest.mark.parametrize("masker", MASKERS)
def test_shares_that_are_generated(folder: Path, masker: str) -> None:
    """A quarter, a half or three quarters of a cell's expressed genes, whoever chooses them, never zeros."""
    from sgm_core.training.config import pretrain_config

    backbone = load(folder, torch.float32)
    config = pretrain_config(
        backbone="scgpt", masker=masker, objective="generative", latents=4, latent_width=8, subset=2
    )
    model = MaskedModel(backbone, config.to_dict(), torch.arange(41) < 40)
    assert backbone.generative
    x = torch.rand(300, 41, generator=torch.Generator().manual_seed(0)) * (torch.arange(41) < 16)
    noise = cell_noise(0, 0, 0, range(300), 41)
    drawn = model.draw(x, noise, torch.zeros(300, 2, dtype=torch.long))
    counts = drawn.masked.sum(1)
    assert not (drawn.masked & (x == 0)).any()
    if masker == "random-ratio":  # which has shares of its own
        return
    assert set(counts.tolist()) == {round(16 * share) for share in GENERATED}
    assert counts.bincount()[[4, 8, 12]].min() > 300 / 3 - 5 * (300 * 2 / 9) ** 0.5
    alone = model.draw(x[7:8], noise[7:8], torch.zeros(1, 2, dtype=torch.long))
    assert torch.equal(alone.masked[0], drawn.masked[7])


def test_weights_without_a_flag(folder: Path) -> None:
    from dataclasses import replace

    config = replace(load(folder, torch.float32).config, flag=False)
    with pytest.raises(InputError, match=r"came without flag_encoder\.weight"):
        scgpt.ScGPT(config).generate()
