"""The confidence of a sentence: one word and one mark on every page."""

import pytest

from pages.components import confidence
from sgm_core.analysis.confidence import MEANINGS, WORDS
from sgm_core.analysis.diagnostic import diagnostic
from sgm_core.analysis.verdict import verdict
from sgm_core.home import write_table


def answer_of(page) -> str:
    return next(part.value for part in page.markdown if part.value.startswith("##### "))


def test_each_has_a_word_a_colour_and_a_shape_of_its_own():
    assert set(confidence.MARKS) == set(WORDS) == set(MEANINGS)
    assert all(len({mark[i] for mark in confidence.MARKS.values()}) == 4 for i in range(2))
    assert len(set(WORDS.values())) == 4
    assert confidence.mark(None) == ""


@pytest.mark.parametrize("against", ["Uniform + summary", "Expression + summary", "No pretraining"])
def test_compare_marks_what_the_interval_says(open_page, compare_run, against):
    page = open_page(
        "compare", against={"uniform+summary": "Uniform + summary"}.get(against, "Expression + summary")
    )
    said = answer_of(page)
    expected = "Undecided" if "undecided" in said else "Proven"
    assert said.startswith(f"##### {confidence.mark(expected.lower())}")


def test_a_sentence_shows_the_confidence_of_its_verdict(compare_run):
    masks, cells, start = (compare_run.read_table(name) for name in ("masks", "mask_cells", "masks_start"))
    for arm in ("uniform", "self-guided"):
        found = verdict(diagnostic(masks, cells, arm, start=start))
        assert confidence.masks_line("An arm", found).startswith(confidence.mark(found.confidence))
    assert confidence.of_pair({"n_folds": 0, "confidence": "undecided"}) is None
    assert confidence.of_pair({"n_folds": 3, "confidence": "proven"}) == "proven"


def test_a_pair_that_is_only_described_says_so_and_not_that_it_is_undecided(open_page, compare_run):
    # Seen: a descriptive pair, of which nothing is tested, carried the mark "Undecided".
    page = open_page("compare", metric="Weighted F1")
    said = answer_of(page)
    assert said.startswith(f"##### {confidence.mark('described')}") and said.split(".")[0] != said
    assert "descriptive, not tested" in said and "undecided" not in said.lower()


def test_masked_genes_and_enrichment_carry_the_mark(open_page, compare_run):
    for name in ("masked_genes", "enrichment"):
        said = answer_of(open_page(name))
        assert any(said.startswith(f"##### {confidence.mark(each)}") for each in confidence.MARKS), name


def test_uniform_masks_are_chance_on_the_page(open_page, compare_run):
    page = open_page("masked_genes", arm="Uniform")
    assert answer_of(page).startswith(f"##### {confidence.mark('chance')}")


def test_no_fold_in_common_has_no_mark_yet(open_page, compare_run):
    folds = compare_run.read_table("folds")
    keep = (folds["arm"] != "uniform+summary") | (folds["fold"] == 0)
    keep &= (folds["arm"] != "self-guided") | (folds["fold"] == 1)
    write_table(compare_run.table_path("folds"), folds[keep])
    page = open_page("compare")
    assert "-badge[" not in answer_of(page)
