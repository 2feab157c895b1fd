"""Two lists side by side: one universe, each list tested as if alone, and differences that chance brings."""

import numpy as np
import pytest
from scipy.stats import fisher_exact, hypergeom

from sgm_core.analysis.term_pairs import BOTH, FIRST, NEITHER, SECOND, Ranked, pair_sentence, pair_terms
from sgm_core.errors import InputError

GENES = tuple(f"G{i}" for i in range(400))
TERMS = {
    "shared (GO:0000001)": GENES[:20],
    "first": GENES[100:120],
    "second": GENES[200:220],
    "none": GENES[300:320],
    "small": GENES[:3],
}


def lists() -> tuple[Ranked, Ranked]:
    first = (*GENES[:15], *GENES[100:115], "ALONE1", *GENES[390:394])
    second = ("ALONE2", *GENES[5:20], *GENES[200:215], *GENES[394:398])
    return Ranked(first, (*GENES, "ALONE1")), Ranked(second, (*GENES, "ALONE2", "ALONE3"))


def test_both_lists_are_tested_in_the_genes_of_both() -> None:
    found = pair_terms(*lists(), TERMS)
    assert (len(found.universe), found.lost, found.shared) == (400, (1, 2), 10)
    table = found.table.set_index("term")
    assert table["found"].to_dict() == {"shared": BOTH, "first": FIRST, "second": SECOND, "none": NEITHER}
    assert table.at["shared", "p_a"] == pytest.approx(hypergeom.sf(14, 400, 20, 34), rel=1e-10)
    assert table.at["shared", "p_b"] == pytest.approx(hypergeom.sf(14, 400, 20, 34), rel=1e-10)
    # 24 genes are in one list alone: 5 of each in 'shared', 15 of the first's in 'first'
    assert table.at["shared", "p_difference"] == 1
    expected = fisher_exact([[15, 0], [9, 24]]).pvalue
    assert table.at["first", "p_difference"] == pytest.approx(expected, rel=1e-10)
    assert "share 10 of 34 genes (3 by chance)" in pair_sentence(found, "a", "b")
    assert "2 of 4 terms tell the two lists apart" in pair_sentence(found, "a", "b")


def test_what_only_one_side_could_hold_takes_no_place_among_the_first() -> None:
    first, second = lists()
    found = pair_terms(first, second, TERMS, top=10)
    assert found.lists == (list(GENES[:10]), list(GENES[5:15]))


def test_the_sides_may_be_swapped() -> None:
    first, second = lists()
    one, other = pair_terms(first, second, TERMS), pair_terms(second, first, TERMS)
    a, b = (table.set_index("term").sort_index() for table in (one.table, other.table))
    np.testing.assert_allclose(a["q_a"], b["q_b"])
    np.testing.assert_allclose(a["p_difference"], b["p_difference"])


def test_a_list_beside_itself_differs_in_nothing() -> None:
    first, _ = lists()
    found = pair_terms(first, first, TERMS)
    assert (found.table["p_difference"] == 1).all()
    assert "no term is found by one alone" in pair_sentence(found, "a", "b")


def test_two_random_lists_are_seldom_told_apart() -> None:
    """A term under the limit in one list and not in the other is no difference: chance makes many of them."""
    rng = np.random.default_rng(0)
    terms = {f"t{i}": rng.choice(GENES, 30, replace=False) for i in range(40)}
    apart = 0
    for _ in range(30):
        a, b = (Ranked(tuple(rng.choice(GENES, 100, replace=False)), GENES) for _ in "ab")
        apart += bool((pair_terms(a, b, terms).table["q_difference"] < 0.05).any())
    assert apart <= 5  # 5 % of 30 are 1.5; P(more than 5) is 0.003


def test_runs_without_common_genes_are_refused_with_numbers() -> None:
    with pytest.raises(InputError, match="share 0 genes that could be in a list, of 400 and 2"):
        pair_terms(Ranked(GENES[:9], GENES), Ranked(("X",), ("X", "Y")), TERMS)
    with pytest.raises(InputError, match="a list of 400 genes is the whole universe"):
        pair_terms(Ranked(GENES, GENES), Ranked(GENES[:4], GENES), TERMS)
