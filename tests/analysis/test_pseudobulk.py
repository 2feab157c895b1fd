"""Sums over donors equal a dense computation; donors are chosen by their numbers of cells alone."""

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis import pseudobulk as module
from sgm_core.analysis.pseudobulk import countable, plan_donors, pseudobulk
from sgm_core.errors import Cancelled
from sgm_core.progress import Observer


def donors(**cells: int) -> pd.Series:
    return pd.Series(np.repeat(list(cells), list(cells.values())))


def test_sums_and_shares_equal_a_dense_computation(demo_dataset, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 64)  # many blocks, some of them sparsely selected
    rng = np.random.default_rng(0)
    side = rng.choice(["a", "b", "none"], demo_dataset.n_cells, p=[0.1, 0.6, 0.3])
    rows_a, rows_b = np.flatnonzero(side == "a"), np.flatnonzero(side == "b")
    who = demo_dataset.donors()
    plan = plan_donors(who.iloc[rows_a], who.iloc[rows_b], 4)
    sums = pseudobulk(demo_dataset, rows_a, rows_b, plan)
    dense, values = demo_dataset.counts().toarray(), demo_dataset.lognorm().toarray()
    used = {"a": [], "b": []}
    for i, sample in sums.samples.iterrows():
        mine = np.flatnonzero((side == sample["side"]) & (who == sample["donor"]).to_numpy())
        assert sample["n_cells"] == len(mine)
        np.testing.assert_array_equal(sums.counts[i], dense[mine].sum(axis=0))
        used[sample["side"]].extend(mine)
    for number, name in enumerate("ab"):
        np.testing.assert_allclose(sums.share[number], (dense[used[name]] > 0).mean(axis=0))
        np.testing.assert_allclose(sums.mean[number], values[used[name]].mean(axis=0), atol=1e-5)


def test_a_pass_can_be_stopped(demo_dataset) -> None:
    class Impatient(Observer):
        def check(self) -> None:
            raise Cancelled("enough")

    who = demo_dataset.donors()
    rows = np.arange(300), np.arange(300, 600)
    with pytest.raises(Cancelled):
        pseudobulk(demo_dataset, *rows, plan_donors(who.iloc[rows[0]], who.iloc[rows[1]]), Impatient())


def test_donors_on_both_sides_are_compared_with_themselves() -> None:
    plan = plan_donors(donors(p=20, q=30, r=12, only_a=50), donors(p=11, q=15, r=40, few=3))
    assert plan.paired and plan.enough
    assert plan.donors_a == plan.donors_b == ("p", "q", "r")
    assert any("1 donor of B with fewer than 10 cells" in note for note in plan.notes)
    assert any("1 donor with enough cells on one side only" in note for note in plan.notes)


def test_two_groups_of_donors_are_compared_as_groups() -> None:
    plan = plan_donors(donors(p=20, q=30, r=12), donors(x=11, y=15, z=40))
    assert not plan.paired and plan.enough and plan.min_cells == 10 and not plan.notes


def test_a_few_shared_donors_do_not_throw_the_others_away() -> None:
    many = {f"d{i}": 20 for i in range(12)}
    other = {f"e{i}": 20 for i in range(9)} | {"d0": 20, "d1": 20, "d2": 20}
    plan = plan_donors(donors(**many), donors(**other))
    assert not plan.paired
    assert len(plan.donors_a) == len(plan.donors_b) == 12


def test_five_cells_are_enough_only_where_ten_leave_too_few_donors() -> None:
    few = plan_donors(donors(p=20, q=30, r=12), donors(x=5, y=15, z=40))
    assert (few.min_cells, few.enough) == (5, True)
    fewer = plan_donors(donors(p=20, q=30, r=12), donors(x=4, y=15, z=40))
    assert (fewer.min_cells, fewer.enough) == (10, False)
    asked = plan_donors(donors(p=20, q=30, r=12), donors(x=5, y=15, z=40), 10)
    assert (asked.min_cells, asked.enough) == (10, False)


def test_of_very_many_donors_those_with_the_most_cells_are_taken() -> None:
    a, b = ({f"{side}{i}": 10 + i for i in range(100)} for side in "ab")
    plan = plan_donors(donors(**a), donors(**b))
    assert len(plan.donors_a) == module.MOST_DONORS
    assert "a99" in plan.donors_a and "a0" not in plan.donors_a
    assert any("60 of 100 donors" in note for note in plan.notes)
    pairs = plan_donors(donors(**a), donors(**a))
    assert len(pairs.donors_a) == module.MOST_PAIRS


def test_countable_genes_follow_edger() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 20, 300), (7, 300)) * rng.integers(1, 4, (7, 1))
    library = counts.sum(axis=1)
    for smaller in (3, 7):
        expected = []
        for gene in range(300):
            million = counts[:, gene] / library * 1e6
            enough = (million >= 10 / np.median(library) * 1e6).sum() >= smaller
            expected.append(bool(enough and counts[:, gene].sum() >= 15))
        np.testing.assert_array_equal(countable(counts.astype(float), smaller), expected)
        assert 20 < sum(expected) < 280
