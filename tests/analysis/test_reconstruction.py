"""Simple predictors of hidden genes and the noise floor, against known truths."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from sgm_core.analysis.noise_floor import sampling_noise
from sgm_core.analysis.predictors import Components, GeneMean, HiddenShares, Neighbours, Training, fit
from sgm_core.analysis.reconstruction import (
    FLOOR,
    MODEL,
    NOTHING,
    SIMPLE,
    Errors,
    by_arm,
    reconstruction_line,
    reconstruction_table,
)

SHARES = HiddenShares(0.3, 0.03)
TOTAL = 2000.0


def hide(x: np.ndarray, rng: np.random.Generator, shares: HiddenShares = SHARES) -> np.ndarray:
    return rng.random(x.shape) < np.where(x > 0, shares.nonzero, shares.zero)


def structured(n: int, rng: np.random.Generator, programmes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values of cells (n, G) of three kinds with their own rates, and their expected counts."""
    rates = programmes[rng.integers(0, len(programmes), n)]
    return np.log1p(1e4 * rng.poisson(rates) / TOTAL).astype(np.float32), rates


def programmes(rng: np.random.Generator, n_genes: int = 120) -> np.ndarray:
    return rng.gamma(0.5, 1.0, (3, n_genes)) + 0.02


def r2(predicted: np.ndarray, mean: np.ndarray, x: np.ndarray, hidden: np.ndarray) -> float:
    return 1 - np.square(predicted - x)[hidden].sum() / np.square(mean - x)[hidden].sum()


def test_components_recover_a_matrix_of_low_rank() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4, 90))
    x = (8 + rng.standard_normal((600, 4)) @ rows).clip(0.1).astype(np.float32)
    training, new = Training(sparse.csr_matrix(x[:500]), SHARES), x[500:]
    hidden = rng.random(new.shape) < 0.3
    mean = GeneMean(training).predict(new, hidden)
    assert r2(Components(training, 4).predict(new, hidden), mean, new, hidden) > 0.99
    assert r2(Components(training, 1).predict(new, hidden), mean, new, hidden) < 0.9


def test_neighbours_are_of_the_same_kind() -> None:
    rng = np.random.default_rng(1)
    kinds = np.where(np.arange(60) < 30, [[3.0], [1.0]], [[1.0], [3.0]])  # (2, 60)
    kind = np.arange(200) % 2
    training = Training(sparse.csr_matrix(kinds[kind].astype(np.float32)), SHARES)
    new = kinds[[0, 1, 1]]
    hidden = rng.random(new.shape) < 0.3
    np.testing.assert_allclose(Neighbours(training, 20).predict(new, hidden)[hidden], new[hidden], rtol=1e-5)


def test_the_mean_is_that_of_the_cells_that_hide_the_gene() -> None:
    rng = np.random.default_rng(2)
    x, _ = structured(4000, rng, programmes(rng))
    training = Training(sparse.csr_matrix(x), SHARES)
    hidden = np.mean([hide(x, rng) for _ in range(20)], axis=0)
    seen = (x * hidden).sum(0) / hidden.sum(0)
    np.testing.assert_allclose(training.hidden_mean, seen, rtol=0.05)
    assert (training.mean < 0.8 * seen).mean() > 0.5, "the plain mean would be far too low"


def test_no_hidden_value_is_read() -> None:
    rng = np.random.default_rng(3)
    x, _ = structured(400, rng, programmes(rng))
    training, new = Training(sparse.csr_matrix(x[:300]), SHARES), x[300:]
    hidden = hide(new, rng)
    other = np.where(hidden, 9.0, new)
    for name, each in fit(training, training, x[:50], hide(x[:50], rng)).items():
        assert np.array_equal(each.predict(new, hidden), each.predict(other, hidden)), name


def test_the_noise_floor_is_what_a_predictor_of_the_true_rates_leaves() -> None:
    rng = np.random.default_rng(4)
    x, rates = structured(3000, rng, programmes(rng) * 3)
    counts = np.arange(200)
    y = np.log1p(1e4 * counts / TOTAL)
    expected, detected = stats.poisson.pmf(counts, rates[..., None][:200]) @ y, -np.expm1(-rates[:200])
    odds = SHARES.nonzero / (SHARES.nonzero * detected + SHARES.zero * (1 - detected))
    best = dict(zip(map(tuple, rates[:200].round(6)), expected * odds))
    found, nonzero, simulated, simulated_nonzero = 0.0, 0.0, 0.0, 0.0
    for row, rate in zip(x, rates):
        predicted, hidden = best[tuple(rate.round(6))], hide(row, rng)
        noise, squared = sampling_noise(predicted, TOTAL, SHARES), np.square(row - predicted)
        found, simulated = found + noise.hidden[hidden].sum(), simulated + squared[hidden].sum()
        some = hidden & (row > 0)
        nonzero += noise.nonzero[some].sum()
        simulated_nonzero += squared[some].sum()
    assert found == pytest.approx(simulated, rel=0.02)
    assert nonzero == pytest.approx(simulated_nonzero, rel=0.02)


def scored(x: np.ndarray, new: np.ndarray, rng: np.random.Generator, model: str) -> pd.DataFrame:
    """Return the table with a simple predictor in the model's place."""
    hidden, held = hide(new, rng), x[:100]
    everything, others = (Training(sparse.csr_matrix(part), SHARES) for part in (x, x[100:]))
    made = fit(everything, others, held, hide(held, rng))
    errors = {name: Errors(x.shape[1]) for name in (MODEL, *SIMPLE, FLOOR)}
    for name, own in errors.items():
        predicted = made.get({MODEL: model, FLOOR: "pca"}.get(name, name)).predict(new, hidden)
        own.add(np.square(predicted - new), hidden, hidden & (new > 0))
    return reconstruction_table(errors, hidden.sum(axis=0), 0).assign(arm="uniform", fold=0, seed=0)


@pytest.mark.parametrize("model", ["pca", "neighbours"])
def test_structure_is_found_where_there_is_some_and_not_in_shuffled_genes(model: str) -> None:
    rng = np.random.default_rng(5)
    x, _ = structured(1500, rng, programmes(rng))
    table = scored(x[:1200], x[1200:], rng, model).set_index("predictor")
    assert table.loc["gene-mean", ["r2", "r2_nonzero", "r2_gene"]].tolist() == [0, 0, 0]
    assert table.loc[MODEL, "r2"] == table.loc[model, "r2"] > 0.1
    assert table.loc["gene-mean", "gain_low"] > 0.05
    shuffled = rng.permuted(x, axis=0)
    table = scored(shuffled[:1200], shuffled[1200:], rng, model)
    line = reconstruction_line(table)
    assert line.startswith(f"{NOTHING}: no better than each gene's mean"), line


def test_the_line_says_what_is_beaten_and_in_how_many_models() -> None:
    def model(mean: float, pca: float, neighbours: float) -> pd.DataFrame:
        rows = [(MODEL, np.nan), *zip(SIMPLE, (mean, pca, neighbours)), (FLOOR, np.nan)]
        table = pd.DataFrame(rows, columns=["predictor", "gain_low"])
        return table.assign(arm="a", r2=0.2, r2_nonzero=0.1, r2_gene=0.1, gain=0.1, gain_high=0.2)

    one = model(0.1, -0.01, 0.0)
    assert reconstruction_line(one).startswith(
        "is better than each gene's mean, no better than principal components or nearest neighbours (R2"
    )
    two = pd.concat([one, model(0.1, 0.02, -0.2)])
    assert "each gene's mean and principal components (in 1 of 2 models), no better" in reconstruction_line(
        two
    )
    beaten = by_arm(two).set_index("predictor")["beaten"]
    assert beaten.to_dict() == {
        MODEL: "", "gene-mean": "2 of 2", "pca": "1 of 2", "neighbours": "0 of 2", FLOOR: ""
    }  # fmt: skip
