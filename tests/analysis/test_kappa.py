"""Kappa against published values and against statsmodels, which is written independently."""

import math

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.inter_rater import fleiss_kappa as their_fleiss

from sgm_core.analysis.kappa import cohen_kappa, fleiss_kappa

# Fleiss 1971, Table 1: 30 patients, six psychiatrists, five diagnoses.
_FLEISS_1971 = """
0 0 0 6 0|0 3 0 0 3|0 1 4 0 1|0 0 0 0 6|0 3 0 3 0|2 0 4 0 0|0 0 4 0 2|2 0 3 1 0|2 0 0 4 0|0 0 0 0 6
1 0 0 5 0|1 1 0 4 0|0 3 3 0 0|1 0 0 5 0|0 2 0 3 1|0 0 5 0 1|3 0 0 1 2|5 1 0 0 0|0 2 0 4 0|1 0 2 0 3
0 0 0 0 6|0 1 0 5 0|0 2 0 1 3|2 0 0 4 0|1 0 0 4 1|0 5 0 1 0|4 0 0 0 2|0 2 0 4 0|1 0 5 0 0|0 0 0 0 6
"""
# Gwet's example of four raters with missing ratings (`cac.raw4raters` of the R package irrCAC).
_GWET = """
1 1 - 1|2 2 3 2|3 3 3 3|3 3 3 3|2 2 2 2|1 2 3 4|4 4 4 4|1 1 2 1|2 2 2 2|- 5 5 5|- - 1 1|- - 3 -
"""


def counts_of(text: str) -> np.ndarray:
    return np.array([row.split() for line in text.strip().split("\n") for row in line.split("|")], dtype=int)


def test_the_published_value_of_fleiss_1971():
    found = fleiss_kappa(counts_of(_FLEISS_1971))
    assert found.value == pytest.approx(0.430, abs=5e-4)
    assert found.value == pytest.approx(their_fleiss(counts_of(_FLEISS_1971)))
    assert (found.n, found.raters) == (30, 6)
    assert found.low < 0.430 < found.high


def test_the_published_value_and_error_with_missing_verdicts():
    raters = [row.split() for row in _GWET.strip().split("|")]
    counts = np.array([[row.count(str(k)) for k in range(1, 6)] for row in raters])
    found = fleiss_kappa(counts)
    assert found.value == pytest.approx(0.76117, abs=1e-5)
    assert (found.value - found.low) / t.ppf(0.975, found.n - 1) == pytest.approx(0.15302, abs=1e-5)
    assert found.high == 1.0
    assert found.n == 11


@pytest.mark.parametrize("seed", range(3))
def test_cohen_is_that_of_statsmodels(seed):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 12, (4, 4)) + np.diag(rng.integers(5, 30, 4))
    first = [str(i) for i in range(4) for j in range(4) for _ in range(table[i, j])]
    second = [str(j) for i in range(4) for j in range(4) for _ in range(table[i, j])]
    found, theirs = cohen_kappa(first, second), cohens_kappa(table)
    assert found.value == pytest.approx(theirs.kappa)
    n = table.sum()
    assert found.high - found.value == pytest.approx(t.ppf(0.975, n - 1) * theirs.std_kappa)


def test_the_interval_of_people_who_guess_holds_0():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        counts = np.array([rng.multinomial(3, [0.4, 0.3, 0.2, 0.1]) for _ in range(60)])
        found = fleiss_kappa(counts)
        covered += found.low <= 0 <= found.high
    assert 180 <= covered <= 199


def test_few_genes_alike_prove_little():
    found = cohen_kappa(["a", "b", "a", "b"], ["a", "b", "a", "b"])
    assert found.value == 1
    assert found.low < 0.1, "four genes alike are no proof of agreement"


def test_one_class_only_is_undefined():
    assert math.isnan(cohen_kappa(["a"] * 9, ["a"] * 9).value)
    assert math.isnan(fleiss_kappa(np.array([[3, 0], [2, 0]])).value)
    assert math.isnan(cohen_kappa([], []).value)
    assert math.isnan(fleiss_kappa(np.array([[1, 0], [0, 1]])).value), "nobody judged what another did"
