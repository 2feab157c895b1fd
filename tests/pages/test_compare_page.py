"""Compare: does guided masking help?"""

import pandas as pd
import pytest
from page_text import text_of, titles

from sgm_core.analysis.metrics import comparison_sentence, paired_difference
from sgm_core.home import write_table
from sgm_core.runs.store import create_run


def test_the_answer_is_the_paired_difference_in_view(open_page, compare_run):
    page = open_page("compare")
    assert not page.exception
    folds = compare_run.read_table("folds")
    pair = paired_difference(folds, ("self-guided", "partial"), ("uniform+summary", "partial"))
    assert comparison_sentence(pair) in text_of(page)
    assert "best baseline" in text_of(page)
    page.selectbox(key="against").select("expression+summary").run()
    pair = paired_difference(folds, ("self-guided", "partial"), ("expression+summary", "partial"))
    assert comparison_sentence(pair) in text_of(page)


def test_table_1_has_every_arm_and_baseline(open_page, compare_run):
    page = open_page("compare")
    table = next(frame.value for frame in page.dataframe if "Arm" in frame.value)
    assert len(table) == 9
    summary = compare_run.read_table("summary").query("metric == 'macro_f1'")
    row = summary[(summary["arm"] == "self-guided") & (summary["scheme"] == "partial")].iloc[0]
    expected = f"{100 * row['mean']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
    assert table.loc[table["Arm"] == "Self-guided", "Partial finetune (%)"].iloc[0] == expected


@pytest.mark.parametrize(
    "detail",
    DETAILS := {  # what each detail has and no other
        "Cell types": "F1 per cell type",
        "Confusion": "predicted against true",
        "Donors": "Macro F1 per donor",
        "Folds": "Test donors",
        "All differences": "Smallest detectable",
    },
)
def test_each_detail_is_a_link(open_page, compare_run, detail):
    page = open_page("compare", detail=detail)
    assert not page.exception
    there = "\n".join([*titles(page), *(column for table in page.dataframe for column in table.value)])
    assert [name for name, sign in DETAILS.items() if sign in there] == [detail]
    assert all("SIMULATED" in title for title in titles(page))


def test_the_folds_and_their_donors_are_listed(open_page, compare_run):
    page = open_page("compare", detail="Folds")
    table = next(frame.value for frame in page.dataframe if "Test donors" in frame.value)
    assert len(table) == 3
    assert table["Test donors"].str.contains(",").all()


def test_the_choices_behind_the_table_are_stated(open_page, compare_run):
    text = text_of(open_page("compare"))
    for stated in (
        "never in training",
        "never saw the fold's test donors",
        "random weights",
        "Nadeau-Bengio",
    ):
        assert stated in text


def test_a_run_under_way_with_one_arm_shows_it_and_says_so(open_page, compare_run, demo_dataset):
    folds = compare_run.read_table("folds")
    run = create_run("compare", "small", {"data": "small", "folds": 3, "seed": 1})
    run.begin()
    run.progress(1, 40, "uniform, fold 0")
    write_table(run.path / "folds.parquet", folds[(folds["arm"] == "uniform") & (folds["fold"] == 0)])
    page = open_page("compare")
    page.selectbox(key="run").select(run.id).run()
    assert not page.exception
    assert not page.error
    assert "Still running" in text_of(page)
    assert "Differences need two arms" in text_of(page)


def test_a_run_without_scores_says_what_to_do(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small"})
    run.finish("failed", "not enough memory")
    page = open_page("compare", run=run.id)
    assert not page.exception
    assert "not enough memory" in text_of(page)
    assert "See its log" in [button.label for button in page.button]


def test_no_dataset_says_what_to_do(open_page):
    page = open_page("compare")
    assert not page.exception
    assert "Go to datasets" in [button.label for button in page.button]


def test_one_fold_gives_no_interval_but_no_error(open_page, compare_run):
    folds = pd.read_parquet(compare_run.table_path("folds"))
    write_table(compare_run.table_path("folds"), folds[folds["fold"] == 0])
    page = open_page("compare")
    assert not page.exception
    assert not page.error
    assert "one fold gives no interval" in text_of(page)
