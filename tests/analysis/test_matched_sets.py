import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.matched_sets import expression_bins, members, overlap


def genes_of(n: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    detection = rng.random(n)
    return pd.DataFrame({"detection": detection, "expression": detection * rng.uniform(0.5, 3, n)})


def test_the_exact_distribution_is_that_of_matched_random_lists() -> None:
    rng = np.random.default_rng(1)
    bins = expression_bins(genes_of())
    listed, member = rng.random(400) < 0.2, rng.random(400) < 0.15
    found, hits = overlap(listed, member, bins), []
    for _ in range(1000):
        drawn = [
            rng.choice(np.flatnonzero(bins == each), listed[bins == each].sum(), replace=False)
            for each in range(bins.max() + 1)
        ]
        hits.append(member[np.concatenate(drawn)].sum())
    assert found.hits == (listed & member).sum()
    assert found.expected == pytest.approx(np.mean(hits), abs=0.25)
    assert found.p == pytest.approx((1 + np.sum(np.array(hits) >= found.hits)) / 1001, abs=0.05)
    assert np.quantile(hits, [0.025, 0.975]) == pytest.approx([found.low, found.high], abs=1)


def test_what_expression_alone_brings_is_no_overlap_beyond_it() -> None:
    """The most expressed genes, and a set of such: nothing among equals."""
    genes = genes_of()
    bins = expression_bins(genes)
    listed = (genes["detection"].rank(ascending=False) <= 100).to_numpy()
    member = (genes["detection"].rank(ascending=False) <= 150).to_numpy()
    assert overlap(listed, member, bins).p == pytest.approx(1)


def test_a_planted_set_is_found_and_equal_genes_share_a_bin() -> None:
    genes = genes_of()
    bins = expression_bins(genes)
    listed = np.zeros(400, bool)
    listed[::10] = True
    assert overlap(listed, listed, bins).p < 1e-6
    silent = genes.assign(detection=0.0, expression=0.0)
    assert len(set(expression_bins(silent))) == 1
    assert members(["A", "B"], ["B", "C"]).tolist() == [False, True]
