"""Compare: does guided masking help?"""

import pandas as pd
import pytest
from page_text import figures, text_of, titles
from synthetic_run import make_compare_run

from sgm_core.analysis.budget_words import budget_finding
from sgm_core.analysis.metrics import comparison_sentence, pair_in_view, paired_table
from sgm_core.home import write_table
from sgm_core.runs.store import create_run, open_run


def test_the_answer_is_the_paired_difference_in_view(open_page, compare_run):
    page = open_page("compare")
    assert not page.exception
    folds = compare_run.read_table("folds")
    paired, mine = paired_table(folds), ("self-guided", "partial")
    pair = pair_in_view(paired, folds, mine, ("uniform+summary", "partial"))
    assert pair["role"] == "primary"
    assert comparison_sentence(pair) in text_of(page)
    assert "best baseline" in text_of(page)
    page.selectbox(key="against").select("expression+summary").run()
    pair = pair_in_view(paired, folds, mine, ("expression+summary", "partial"))
    assert pair["role"] == "secondary"
    assert comparison_sentence(pair) in text_of(page)
    page.selectbox(key="arm").select("uniform").run()  # a pair outside the plan
    assert "descriptive, not tested" in text_of(page)


def test_the_pooled_score_stands_beside_the_mean_of_folds(open_page, compare_run):
    page = open_page("compare")
    table = next(frame.value for frame in page.dataframe if "Arm" in frame.value)
    pooled = compare_run.read_table("pooled").set_index(["arm", "scheme"]).loc[("self-guided", "partial")]
    expected = f"{100 * pooled['value']:.1f} ({100 * pooled['low']:.1f} to {100 * pooled['high']:.1f})"
    assert table.loc[table["Arm"] == "Self-guided", "Partial finetune, pooled (%)"].iloc[0] == expected
    pair = compare_run.read_table("paired").query("role == 'primary'").iloc[0]
    assert f"Pooled over folds: {100 * pair['pooled_difference']:+.1f}, 95 % bootstrap" in text_of(page)
    page.selectbox(key="metric").select("ece").run()
    assert "Pooled over folds:" not in text_of(page)


def test_noise_of_folds_and_of_seeds_is_shown_apart(open_page, compare_run):
    folds = pd.read_parquet(compare_run.table_path("folds"))
    again = folds[folds["scheme"] != "baseline"].assign(
        seed=1, macro_f1=lambda table: table["macro_f1"] + 0.02
    )
    write_table(compare_run.table_path("folds"), pd.concat([folds, again], ignore_index=True))
    page = open_page("compare", detail="Folds")
    table = next(frame.value for frame in page.dataframe if "SD between seeds" in frame.value)
    trained = table["Finetuning"] != "Baseline"
    assert (table.loc[trained, "SD between seeds"] == 1.4).all()
    assert table.loc[~trained, "SD between seeds"].isna().all()
    assert "1 to 2 seeds" in text_of(page)


def test_classes_with_too_few_test_cells_are_named(open_page, compare_run):
    path = compare_run.table_path("folds")
    folds = pd.read_parquet(path)
    folds["classes_rare"] = folds["fold"].map({0: "HSC (3); pDC (1)", 1: "", 2: ""})
    write_table(path, folds)
    page = open_page("compare", detail="Folds")
    assert "at least 10 test cells" in text_of(page)
    assert "fold 0: HSC (3), pDC (1). Pooled" in text_of(page)
    table = next(frame.value for frame in page.dataframe if "Too few test cells" in frame.value)
    assert table["Too few test cells"].tolist() == ["HSC (3); pDC (1)", "", ""]


def test_a_run_of_an_older_version_is_said_to_be_one(open_page, compare_run):
    path = compare_run.table_path("folds")
    write_table(path, pd.read_parquet(path).drop(columns=["classes_rare", "min_test_cells"]))
    paired = pd.read_parquet(compare_run.table_path("paired"))
    write_table(compare_run.table_path("paired"), paired[["arm_a", "arm_b", "scheme", "scheme_b", "metric"]])
    compare_run.table_path("pooled").unlink()
    page = open_page("compare")
    assert not page.exception
    assert "Scored by an older version" in text_of(page)
    assert "they never train" not in text_of(page)  # it is not known of them


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
        "All differences": "Found with 80 % power",
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
        "Self-guided against Uniform + summary, partial finetune, macro F1: declared in the program before",
        "Holm-corrected",
        "undecided, not 'no'",
        "Validation donors choose the strength of the penalty and the epoch in every arm and baseline",
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


def test_the_authors_draws_are_said_to_be_no_donor_folds(open_page, compare_run):
    folds = pd.read_parquet(compare_run.table_path("folds"))
    one = folds[folds["fold"] == 0]
    drawn = [one.assign(draw=draw, macro_f1=one["macro_f1"] + 0.01 * draw) for draw in range(5)]
    write_table(compare_run.table_path("folds"), pd.concat(drawn, ignore_index=True))
    page = open_page("compare")
    assert not page.exception and not page.error
    text = text_of(page)
    assert "one fold gives no interval" in text
    assert "5 draws of the test cells of one hold-out split: these are not donor folds" in text


@pytest.fixture
def few_labels_run(demo_dataset):
    """A finished comparison that was scored with few labels too."""
    return open_run(make_compare_run(demo_dataset.name, budgets=True))


def curves(page):
    return next(fig for fig in figures(page) if fig["layout"]["title"]["text"].startswith("Macro F1 by lab"))


def frame_with(page, column):
    return next(frame.value for frame in page.dataframe if column in frame.value)


def test_few_labels_are_shown_with_what_they_prove(open_page, few_labels_run):
    page = open_page("compare")
    assert not page.exception and not page.error
    paired, summary = (few_labels_run.read_table(f"budget_{name}") for name in ("paired", "summary"))
    assert budget_finding(paired, "partial finetune")[0] in text_of(page)
    assert "SIMULATED" in curves(page)["layout"]["title"]["text"]
    row = summary.query("arm == 'self-guided' and scheme == 'partial' and labels == 10").iloc[0]
    table = frame_with(page, "10 labels (%)").set_index("Arm")
    expected = f"{100 * row['mean']:.1f} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
    assert table.loc["Self-guided", "10 labels (%)"] == expected
    assert "(3 draws)" in text_of(page) and "at most 1 class at 30" in text_of(page)


def test_main_differences_are_judged_and_the_others_are_not(open_page, few_labels_run):
    page = open_page("compare")
    paired = few_labels_run.read_table("budget_paired")
    main, rest = (
        next(table.value for table in page.dataframe if {"Labels a class", name} <= set(table.value))
        for name in ("p (Holm)", "p (uncorrected)")
    )
    assert len(main) == paired["main"].sum() == 9
    assert len(rest) == (~paired["main"]).sum()
    assert "Verdict" not in rest and "uncorrected" in "".join(box.label for box in page.expander)
    ten = main[(main["Labels a class"] == "10") & (main["Held against"] == "Uniform + summary")].iloc[0]
    row = paired.query("main and labels == 10 and against == 'uniform+summary'").iloc[0]
    assert ten["Difference (points)"] == round(100 * row["difference"], 1)
    assert (ten["Verdict"], ten["p (Holm)"]) == (row["verdict"], row["p_holm"])


def test_few_labels_follow_the_finetuning_and_the_arms_in_the_link(open_page, few_labels_run):
    page = open_page("compare", scheme="Linear probe", arm="Uniform")
    fig = curves(page)
    assert "linear probe" in fig["layout"]["title"]["text"]
    widths = {trace["name"]: trace["line"]["width"] for trace in fig["data"] if "name" in trace}
    assert [name for name, width in widths.items() if width == max(widths.values())] == [
        "Uniform + summary",
        "Uniform",
    ]
    mean = few_labels_run.read_table("budget_summary").query(
        "arm == 'uniform' and scheme == 'linear-probe' and labels == 30"
    )["mean"]
    table = frame_with(page, "30 labels (%)").set_index("Arm")
    assert table.loc["Uniform", "30 labels (%)"].startswith(f"{100 * mean.item():.1f} ")
    assert "by labelled cells a class, partial finetune:" in text_of(page)  # where the main ones are


def test_with_one_fold_few_labels_have_no_interval_and_nothing_is_proven(open_page, few_labels_run):
    from sgm_core.analysis.budgets import budget_tables

    folds, budgets = (few_labels_run.read_table(name).query("fold == 0") for name in ("folds", "budgets"))
    for name, table in {"folds": folds, "budgets": budgets, **budget_tables(budgets)}.items():
        write_table(few_labels_run.table_path(name), table)
    page = open_page("compare")
    assert not page.exception and not page.error
    assert "Undecided at every number of labels: one fold gives no interval" in text_of(page)
    assert "the interval is over" not in text_of(page)
    assert "nan" not in "".join(frame_with(page, "10 labels (%)").astype(str).sum())


def test_few_labels_of_a_run_under_way_are_announced(open_page, few_labels_run):
    few_labels_run.table_path("budget_paired").unlink()
    page = open_page("compare")
    assert not page.exception and not page.error
    assert any("few labels are written when" in info.value for info in page.info)


@pytest.mark.parametrize("there", [True, False])
def test_with_all_labels_alone_nothing_is_said_of_few(open_page, few_labels_run, there):
    path = few_labels_run.table_path("budgets")
    write_table(path, pd.read_parquet(path).query("labels == 0")) if there else path.unlink()
    page = open_page("compare")
    assert not page.exception
    assert "How many labels?" not in [head.value for head in page.subheader]
    assert not any("by labelled cells" in title for title in titles(page))
