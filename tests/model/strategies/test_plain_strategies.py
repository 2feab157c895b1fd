"""Strategies without anything learned: their draws against probabilities worked out by hand."""

import numpy as np
import pytest
import torch
from scipy import stats
from strategy_models import model_of, toy_cells, toy_numbers

from sgm_core.model.masking import cell_noise, cell_uniform

DRAWS, N_GENES = 30_000, 12
WEIGHTS = {
    "uniform": lambda x: np.ones_like(x),
    "expression": lambda x: x + 0.05,
    "inverse-expression": lambda x: 1 / (x + 0.05),
}


def frequencies(masker: str, values: torch.Tensor, **fields: object) -> np.ndarray:
    """Return how often each gene of one cell is hidden in many draws."""
    model = model_of(masker, N_GENES, **fields)
    masked = model.draw(values.expand(DRAWS, -1), *toy_numbers(DRAWS, N_GENES)).masked
    return masked.numpy().mean(axis=0)


@pytest.mark.parametrize("name", list(WEIGHTS))
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_one_of_all_is_drawn_in_proportion_to_its_weight(name: str, temperature: float) -> None:
    values = toy_cells(1, N_GENES, seed=2)
    observed = frequencies(name, values, mask_basis="all", mask_ratio=0.08, temperature=temperature)
    weights = WEIGHTS[name](values[0].double().numpy()) ** (1 / temperature)
    expected = weights / weights.sum()
    assert np.abs(observed - expected).max() < 4.5 * np.sqrt(0.25 / DRAWS)


@pytest.mark.parametrize("name", list(WEIGHTS))
def test_in_strata_zeros_and_nonzeros_compete_apart(name: str) -> None:
    values = toy_cells(1, N_GENES, seed=2)
    nonzero = values[0].numpy() > 0
    n = int(nonzero.sum())
    observed = frequencies(name, values, mask_ratio=1.2 / n, zero_ratio=1.2 / (N_GENES - n))
    weights = WEIGHTS[name](values[0].double().numpy())
    for stratum in (nonzero, ~nonzero):
        expected = weights[stratum] / weights[stratum].sum()
        assert np.abs(observed[stratum] - expected).max() < 4.5 * np.sqrt(0.25 / DRAWS)


def test_random_ratios_are_uniform_around_the_configured_one() -> None:
    model = model_of("random-ratio", mask_ratio=0.3, zero_ratio=0.1)
    noise, _ = toy_numbers(4000)
    ratio, zero_ratio = (each.numpy() for each in model.strategy.ratios(noise))
    assert stats.kstest(ratio, stats.uniform(0, 0.6).cdf).pvalue > 1e-3
    assert zero_ratio == pytest.approx(ratio / 3, abs=1e-6)
    high = model_of("random-ratio", mask_ratio=0.8).strategy.ratios(noise)[0].numpy()
    assert stats.kstest(high, stats.uniform(0.6, 0.4).cdf).pvalue > 1e-3


def test_further_numbers_of_a_cell_are_uniform_and_its_own() -> None:
    noise = cell_noise(3, 0, 0, np.arange(2000), 30)
    numbers = cell_uniform(noise, 20)
    assert torch.equal(numbers[7:8], cell_uniform(noise[7:8], 20)), "whatever the batch"
    assert torch.equal(numbers[:, :5], cell_uniform(noise, 5)), "however many are asked for"
    assert stats.kstest(numbers.numpy().ravel(), "uniform").pvalue > 1e-3
    correlation = np.corrcoef(np.hstack([numbers.numpy(), noise.numpy()[:, :6]]).T) - np.eye(26)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(2000)
    other = cell_uniform(noise, 20, purpose=1)
    assert abs(np.corrcoef(numbers.numpy().ravel(), other.numpy().ravel())[0, 1]) < 4.5 / np.sqrt(40_000)
