"""Composition: counts against the rest, and intervals that two equal sides rarely leave zero out of."""

import re

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.composition import composition, effective_donors, sentence


def test_composition_against_the_rest() -> None:
    labels = np.array(["T", "T", "B", None, "B", "NK"], dtype=object)
    table = composition(labels, np.array([True, True, True, True, False, False])).table.set_index("label")
    assert table["n_selected"].to_dict() == {"T": 2, "(no label)": 1, "B": 1, "NK": 0}
    assert table["n_rest"].sum() == 2
    assert table.loc["B", ["share_selected", "share_rest", "ratio"]].tolist() == [0.25, 0.5, 0.5]
    assert table.loc["B", "difference"] == -0.25
    assert table.loc["T", "ratio"] == np.inf
    assert table["share_selected"].sum() == pytest.approx(1)


def test_an_empty_selection_has_no_shares_and_no_finding() -> None:
    found = composition(np.array(["T", "B"]), np.zeros(2, dtype=bool), np.array(["d", "e"]))
    assert found.table["n_selected"].sum() == 0
    assert found.table["share_selected"].isna().all()
    assert found.reason
    assert "no cells" in sentence(found, "cell type")


def simulated(rng: np.random.Generator, n_donors: int, odds: float = 1.0):
    """Donors of their own make-up; in the selection the odds of label 0 are `odds` times the rest's."""
    donor = np.repeat(np.arange(n_donors), rng.integers(80, 300, n_donors))
    selected = rng.random(len(donor)) < rng.beta(4, 4, n_donors)[donor]
    shares = rng.dirichlet(np.full(6, 5.0), n_donors)[donor]
    shares[:, 0] *= np.where(selected, odds, 1)
    shares /= shares.sum(axis=1, keepdims=True)
    label = (shares.cumsum(axis=1) < rng.random(len(donor))[:, None]).sum(axis=1)
    return label.astype(str).astype(object), selected, donor.astype(str)


def test_two_equal_sides_are_rarely_different_and_a_true_difference_is_found() -> None:
    rng = np.random.default_rng(7)
    equal = [composition(*simulated(rng, 12), seed=i) for i in range(60)]
    assert not any(found.reason for found in equal)
    assert sum(len(found.different) > 0 for found in equal) <= 6  # 3 expected; 7 or more: 1 in 30
    quiet = next(found for found in equal if found.different.empty)
    row = quiet.table.set_index("label").loc[re.search("nearest (.)", sentence(quiet, "type"))[1]]
    assert row["low"] <= 0 <= row["high"]
    unequal = [composition(*simulated(rng, 12, 3.0), seed=i) for i in range(20)]
    assert sum("0" in set(found.different["label"]) for found in unequal) >= 18


def test_donors_that_differ_make_wide_intervals_and_cells_alone_do_not_narrow_them() -> None:
    rng = np.random.default_rng(3)
    label, selected, donor = simulated(rng, 12)
    once = composition(label, selected, donor).table.set_index("label")
    many = composition(*(np.tile(x, 20) for x in (label, selected, donor))).table.set_index("label")
    width = (many["high"] - many["low"]) / (once["high"] - once["low"])
    assert width.between(0.9, 1.1).all()


def test_where_no_donor_is_on_both_sides_each_side_is_resampled_by_itself() -> None:
    rng = np.random.default_rng(5)
    label, _, donor = simulated(rng, 24)
    groups = [
        composition(label, np.isin(donor, rng.permutation(24)[:12].astype(str)), donor) for _ in range(30)
    ]
    assert sum(len(found.different) > 0 for found in groups) <= 4
    assert all(found.n_donors == 24 for found in groups)


@pytest.mark.parametrize("donors, why", [(["a"] * 40, "1 donor"), (list("abcd") * 10, "4 donors")])
def test_few_donors_give_no_interval_and_the_reason(donors: list[str], why: str) -> None:
    label = np.array(["T", "B"] * 20, dtype=object)
    found = composition(label, np.arange(40) % 3 == 0, np.array(donors))
    assert found.table["low"].isna().all()
    assert why in found.reason
    assert why in sentence(found, "cell type")


def test_one_donor_that_holds_nearly_all_cells_gives_no_interval() -> None:
    donor = np.array(["big"] * 900 + list("abcdefghij") * 10)
    label = np.array(["T", "B"] * 500, dtype=object)
    found = composition(label, np.random.default_rng(0).random(1000) < 0.5, donor)
    assert "few donors carry" in found.reason
    assert effective_donors(np.array([900.0, *[10.0] * 10])) < 2


def test_categories_give_what_their_texts_give() -> None:
    label, selected, donor = simulated(np.random.default_rng(1), 10)
    plain = composition(label, selected, donor).table
    coded = composition(pd.Categorical(label), selected, pd.Categorical(donor)).table
    pd.testing.assert_frame_equal(plain, coded)


def test_cells_that_were_chosen_by_the_column_are_no_finding() -> None:
    label, _, donor = simulated(np.random.default_rng(1), 10)
    text = sentence(composition(label, label == "2", donor), "cell type")
    assert text.startswith("Every selected cell is 2")
