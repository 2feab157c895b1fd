"""The masker: exact draws, masks keyed by cell, a summary without a leak, gradients to the latents."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgm_core.comparison.config import ARMS
from sgm_core.errors import InputError
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.masking import (
    cell_noise,
    draw_masks,
    draw_without_replacement,
    effective_share,
    mask_sizes,
    share_of_draw,
)
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.strategies.expression import FLOOR
from sgm_core.training.config import PretrainConfig

N_GENES, N_DRAWS = 6, 60_000


def model_for(arm: str = "self-guided", n_genes: int = 40, **fields: object) -> MaskedModel:
    torch.manual_seed(0)
    config = PretrainConfig(
        **{**ARMS[arm], "key_init": "random", "latents": 6, "latent_width": 16, "latent_heads": 2, **fields}
    )
    shape = BackboneConfig(n_genes, width=16, depth=1, heads=2, decoder_width=8, decoder_heads=2, bins=5)
    return MaskedModel(shape, config.to_dict(), torch.ones(n_genes, dtype=torch.bool))


def cells(batch: int = 5, n_genes: int = 40, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(batch, n_genes, generator=generator) * 3 + 0.2
    return values * (torch.rand(batch, n_genes, generator=generator) < 0.4)


def subset_of(batch: int, count: int = 3) -> torch.Tensor:
    return torch.arange(count).expand(batch, -1)


@pytest.fixture
def importance() -> torch.Tensor:
    return torch.tensor([0.30, 0.25, 0.2, 0.15, 0.08, 0.02])


def noise(draws: int = N_DRAWS) -> torch.Tensor:
    return torch.empty(draws, N_GENES).exponential_(generator=torch.Generator().manual_seed(3))


def test_one_draw_is_proportional_to_importance(importance: torch.Tensor) -> None:
    log = importance.log().expand(N_DRAWS, -1)
    drawn = draw_without_replacement(
        log, noise(), torch.ones(N_DRAWS, N_GENES, dtype=torch.bool), torch.ones(N_DRAWS, dtype=torch.long)
    )
    assert (drawn.sum(1) == 1).all()
    share = drawn.float().mean(0)
    error = (importance * (1 - importance) / N_DRAWS).sqrt()
    assert ((share - importance).abs() < 4.5 * error).all()


def test_two_draws_match_the_closed_form_of_sampling_without_replacement(importance: torch.Tensor) -> None:
    """P(first i, then j) = p_i p_j / (1 - p_i) for ordered pairs; the first draw is the one with k = 1."""
    log, race = importance.log().expand(N_DRAWS, -1), noise()
    allowed = torch.ones(N_DRAWS, N_GENES, dtype=torch.bool)
    one = draw_without_replacement(log, race, allowed, torch.ones(N_DRAWS, dtype=torch.long))
    two = draw_without_replacement(log, race, allowed, torch.full((N_DRAWS,), 2))
    assert (one & ~two).sum() == 0, "the same race: the first draw is among the first two"
    first, second = one.float().argmax(1), (two & ~one).float().argmax(1)
    for i, j in itertools.permutations(range(N_GENES), 2):
        p = float(importance[i] * importance[j] / (1 - importance[i]))
        observed = float(((first == i) & (second == j)).float().mean())
        assert abs(observed - p) < 4.5 * (p * (1 - p) / N_DRAWS) ** 0.5, (i, j)


def test_a_gene_that_is_not_allowed_is_never_drawn(importance: torch.Tensor) -> None:
    allowed = torch.tensor([True, True, False, True, False, False]).expand(100, -1)
    drawn = draw_without_replacement(
        importance.log().expand(100, -1), noise(100), allowed, torch.full((100,), 5)
    )
    assert (drawn == allowed).all(), "asked for more than there are: all that are allowed, none else"


@settings(deadline=None, max_examples=30)
@given(ratio=st.floats(0.01, 0.9), zero_ratio=st.floats(0, 0.5), seed=st.integers(0, 1000))
def test_masked_share_is_the_configured_one(ratio: float, zero_ratio: float, seed: int) -> None:
    values = cells(8, 50, seed)
    eligible = torch.arange(50) < 45
    race = torch.empty(8, 50).exponential_(generator=torch.Generator().manual_seed(seed))
    importance = torch.rand(8, 50, generator=torch.Generator().manual_seed(seed + 1)).log()
    masked = draw_masks(importance, race, values, eligible, "all", ratio, zero_ratio)
    assert ((masked.sum(1) - max(1, ratio * 45)).abs() <= 0.5 + 1e-4).all()
    masked = draw_masks(importance, race, values, eligible, "strata", ratio, zero_ratio)
    assert not masked[:, 45:].any(), "a gene that the dataset did not measure is never masked"
    nonzero = (values > 0) & eligible
    k, k_zero = mask_sizes(values > 0, eligible, "strata", ratio, zero_ratio)
    assert ((masked & nonzero).sum(1) == k).all()
    assert ((masked & ~nonzero).sum(1) == k_zero).all()
    assert ((k - ratio * nonzero.sum(1)).abs() <= 1).all()


def test_effective_share_is_one_for_uniform_and_small_for_one_gene() -> None:
    eligible = torch.ones(2, 10, dtype=torch.bool)
    assert torch.allclose(effective_share(torch.zeros(2, 10), eligible), torch.ones(2))
    peaked = torch.full((1, 10), -50.0)
    peaked[0, 3] = 0
    assert effective_share(peaked, eligible[:1]).item() == pytest.approx(0.1, abs=1e-4)


def test_effective_share_under_strata_looks_within_zeros_and_nonzeros() -> None:
    """Preferring expressed genes as such is no preference when zeros and non-zeros are drawn apart."""
    values = cells(3, 40)
    eligible = torch.ones(40, dtype=torch.bool)
    masked = torch.rand(3, 40, generator=torch.Generator().manual_seed(2)) < 0.4
    between = torch.where(values > 0, 0.0, -5.0)
    assert torch.allclose(share_of_draw(between, values, eligible, "strata", masked), torch.ones(3))
    assert (share_of_draw(between, values, eligible, "all", masked) < 0.7).all()
    within = torch.where(values > 0, values, 0.0) * 3
    assert (share_of_draw(within, values, eligible, "strata", masked) < 0.95).all()


def test_a_cells_noise_does_not_depend_on_its_batch() -> None:
    together = cell_noise(1, 0, 2, np.array([7, 3, 900_000]), 25)
    assert torch.equal(together[1], cell_noise(1, 0, 2, np.array([3]), 25)[0])
    for other in (cell_noise(2, 0, 2, np.array([3]), 25), cell_noise(1, 1, 2, np.array([3]), 25)):
        assert not torch.equal(together[1], other[0])
    assert not torch.equal(together[1], cell_noise(1, 0, 3, np.array([3]), 25)[0])


@pytest.mark.parametrize("arm", ["uniform", "uniform+summary", "expression+summary", "self-guided"])
def test_masked_values_cannot_change_the_prediction(arm: str) -> None:
    """With the mask and the visible inputs held fixed, whatever hides under the mask reaches nothing."""
    model = model_for(arm).eval()
    values = cells()
    masked = torch.rand(values.shape, generator=torch.Generator().manual_seed(9)) < 0.3
    changed = torch.where(masked, cells(seed=5) * 2, values)
    assert not torch.equal(values, changed)
    with torch.no_grad():
        assert torch.equal(model.predict(values, masked), model.predict(changed, masked))


def test_the_authors_summary_does_leak() -> None:
    """The named fault of the authors' preset, and the proof that the test above can fail."""
    model = model_for(summary_sees="all").eval()
    values = cells()
    masked = torch.rand(values.shape, generator=torch.Generator().manual_seed(9)) < 0.3
    changed = torch.where(masked, cells(seed=5) * 2, values)
    with torch.no_grad():
        assert not torch.allclose(model.predict(values, masked), model.predict(changed, masked), atol=1e-4)


def test_visible_values_do_change_the_prediction() -> None:
    model = model_for().eval()
    values, masked = cells(), torch.zeros(5, 40, dtype=torch.bool)
    masked[:, :10] = True
    with torch.no_grad():
        before, after = model.predict(values, masked), model.predict(values * 1.5, masked)
    assert (before - after).abs().max() > 1e-3


@pytest.mark.parametrize("keys", ["value+gene", "value"])
@pytest.mark.parametrize("penalty", ["overlap", "output-norm", "none"])
def test_gradients_reach_the_latents(keys: str, penalty: str) -> None:
    model = model_for(keys=keys, penalty=penalty)
    values = cells()
    masked = torch.rand(values.shape, generator=torch.Generator().manual_seed(9)) < 0.3
    model(values, masked).error.backward()
    assert model.latents is not None
    for name, parameter in model.latents.named_parameters():
        assert parameter.grad is not None, name
    assert model.latents.latents.grad.abs().max() > 0
    assert model.latents.key.weight.grad.abs().max() > 0
    assert model.latents.value.weight.grad.abs().max() > 0


def test_attention_over_shared_parts_equals_attention_over_every_token() -> None:
    """The factorised keys and values against a plain implementation that builds all B x G tokens."""
    model = model_for()
    latents, backbone = model.latents, model.backbone
    assert latents is not None
    values = cells()
    masked = torch.rand(values.shape, generator=torch.Generator().manual_seed(9)) < 0.3
    with torch.no_grad():
        shown = values.masked_fill(masked, 0)
        kind = torch.where(masked.unsqueeze(-1), backbone.values.masked, backbone.values(shown))
        tokens = kind + backbone.positions.weight[:-1] * (1 + shown).unsqueeze(-1)
        split = lambda x: x.unflatten(-1, (2, 8)).transpose(-2, -3)  # noqa: E731
        q, k, v = (
            split(latents.query(latents.latents)),
            split(latents.key(tokens)),
            split(latents.value(tokens)),
        )
        maps = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1)
        expected = latents.out((maps @ v).transpose(1, 2).flatten(2)).mean(1)
        scene = latents.see(backbone, values, masked)
        assert torch.allclose(latents.attention(scene, model.eligible), maps, atol=1e-6)
        assert torch.allclose(latents(backbone, values, masked, model.eligible).vector, expected, atol=1e-5)


def test_each_cell_is_scored_by_its_own_subset() -> None:
    model, values = model_for(), cells(2)
    assert model.latents is not None
    maps = model.latents.attention(model.latents.see(model.backbone, values, None), model.eligible)
    subset = torch.tensor([[0, 2], [5, 1]])
    got = model.latents.log_importance(model.backbone, values, model.eligible, subset)
    for cell in range(2):
        assert torch.allclose(got[cell].exp(), maps[cell][:, subset[cell]].sum((0, 1)), atol=1e-6)


def test_self_guided_draws_follow_the_attention() -> None:
    """Over many draws of one cell, k = 1, the frequencies are the normalised importance."""
    model, draws = model_for(n_genes=20, mask_basis="all", mask_ratio=0.05), 40_000
    values = cells(1, 20).expand(draws, -1)
    race = torch.empty(draws, 20).exponential_(generator=torch.Generator().manual_seed(3))
    drawn = model.draw(values, race, subset_of(draws)).masked
    assert model.latents is not None
    importance = model.latents.log_importance(
        model.backbone, values[:1], model.eligible, subset_of(1)
    ).softmax(1)[0]
    error = (importance * (1 - importance) / draws).sqrt()
    assert ((drawn.float().mean(0) - importance).abs() < 4.5 * error + 1e-9).all()


def test_expression_masks_prefer_expressed_genes() -> None:
    model = model_for("expression+summary", mask_basis="all", mask_ratio=0.1)
    values = cells(400)
    masked = model.draw(values, torch.empty_like(values).exponential_(), subset_of(400)).masked
    weight = values + FLOOR
    assert (masked & (values > 0)).sum() / masked.sum() > 0.9 * float(
        (weight * (values > 0)).sum() / weight.sum()
    )


@pytest.mark.parametrize("keys", ["value", "value+gene"])
@pytest.mark.parametrize("basis", ["all", "strata"])
def test_masks_start_uniform_and_leave_it_only_by_learning(keys: str, basis: str) -> None:
    """Random keys gave every gene a fixed preference before the first step."""
    values, random = cells(64), torch.empty(64, 40).exponential_(generator=torch.Generator().manual_seed(1))
    fields = {"keys": keys, "mask_basis": basis, "temperature": 0.1}
    uniform = model_for("uniform+summary", **fields).draw(values, random, subset_of(64))
    guided = model_for(**fields, key_init="zero")
    started = guided.draw(values, random, subset_of(64))
    assert torch.equal(started.masked, uniform.masked)
    assert torch.allclose(started.effective_share, torch.ones(64))
    chance = model_for(**fields, key_init="random").draw(values, random, subset_of(64))
    assert not torch.equal(chance.masked, uniform.masked)
    optimiser = torch.optim.Adam(guided.parameters(), 0.05)
    for _ in range(5):
        guided(values, started.masked).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    learned = guided.draw(values, random, subset_of(64))
    assert learned.effective_share.mean() < started.effective_share.mean() - 1e-4
    assert not torch.equal(learned.masked, uniform.masked)


@settings(deadline=None, max_examples=30)
@given(ratio=st.floats(0.01, 0.999), zero_ratio=st.floats(0, 0.999), seed=st.integers(0, 1000))
@pytest.mark.parametrize("basis", ["all", "strata"])
def test_no_cell_is_hidden_whole(basis: str, ratio: float, zero_ratio: float, seed: int) -> None:
    values = cells(20, 9, seed)
    race = torch.empty(20, 9).exponential_(generator=torch.Generator().manual_seed(seed))
    eligible = torch.arange(9) < 8
    masked = draw_masks(values * 20, race, values, eligible, basis, ratio, zero_ratio)
    nonzero = (values > 0) & eligible
    assert (nonzero & ~masked).any(1)[nonzero.any(1)].all()
    k, k_zero = mask_sizes(values > 0, eligible, basis, ratio, zero_ratio)
    assert torch.equal(masked.sum(1), k + k_zero), "the guard moves what is hidden, never how much"


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, float("nan")])
def test_a_ratio_that_hides_nothing_or_all_is_refused(ratio: float) -> None:
    with pytest.raises(InputError, match=r"mask_ratio is .*: it must be above 0 and below 1"):
        PretrainConfig(mask_ratio=ratio)
