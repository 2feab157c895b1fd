"""The figure of few labels says the numbers of its tables."""

import numpy as np
import pytest
from synthetic_budgets import budget_scores
from test_compare_figures import folds  # noqa: F401

from sgm_core.analysis.budgets import budget_tables
from sgm_core.figures.budgets import label_curves


@pytest.fixture
def tables(folds):  # noqa: F811
    rng = np.random.default_rng(0)
    folds = folds.assign(weighted_f1=folds["macro_f1"], classes_scored=9, n_train=500)
    budgets = budget_scores(folds, rng)
    return budgets, budget_tables(budgets)["budget_summary"]


def test_a_line_an_arm_of_the_scheme_and_dashed_baselines(tables):
    fig = label_curves(*tables, "partial", ("self-guided",), "F1 by labels")
    lines = {trace.name: trace for trace in fig.data if trace.mode == "lines+markers"}
    assert list(lines) == ["Self-guided", "Uniform", "PCA + kNN"]  # not the majority class
    assert [line.line.dash for line in lines.values()] == ["solid", "solid", "dash"]
    assert lines["Self-guided"].line.width > lines["Uniform"].line.width
    summary = tables[1].set_index(["arm", "scheme", "labels"])
    for labels, mean, up in zip((10, 30, 0), lines["Uniform"].y, lines["Uniform"].error_y.array, strict=True):
        expected = summary.loc["uniform", "partial", labels]
        assert mean == pytest.approx(100 * expected["mean"])
        assert up == pytest.approx(100 * (expected["high"] - expected["mean"]))


@pytest.mark.parametrize("more", [30, 12])
def test_the_axis_is_logarithmic_and_all_comes_last(tables, more):
    tables = [table.assign(labels=table["labels"].replace(30, more)) for table in tables]
    fig = label_curves(*tables, "partial", (), "F1 by labels")
    assert list(fig.layout.xaxis.ticktext) == ["10", str(more), "all"]
    ten, thirty, all_ = fig.layout.xaxis.tickvals
    assert (ten, thirty) == pytest.approx((1, np.log10(more))) and all_ > thirty
    for trace in fig.data:  # every mark stands nearest to its own number
        texts = [str(facts[0 if trace.mode == "lines+markers" else 1]) for facts in trace.customdata]
        nearest = np.abs(np.subtract.outer(trace.x, [ten, thirty, all_])).argmin(axis=1)
        assert texts == [fig.layout.xaxis.ticktext[place] for place in nearest]


def test_a_dot_is_a_fold_with_its_draws_averaged(tables):
    budgets = tables[0]
    fig = label_curves(*tables, "partial", (), "F1 by labels")
    dots = next(t for t in fig.data if t.mode == "markers" and t.legendgroup == "self-guided")
    mine = budgets[(budgets["arm"] == "self-guided") & (budgets["scheme"] == "partial")]
    expected = 100 * mine.groupby(["labels", "fold"])["macro_f1"].mean()
    assert len(dots.y) == 15
    assert sorted(dots.y) == pytest.approx(sorted(expected))


def test_a_run_of_one_unfinished_arm_can_be_drawn(tables):
    budgets, summary = (table[(table["arm"] == "uniform") & (table["labels"] == 10)] for table in tables)
    fig = label_curves(budgets, summary, "partial", (), "F1 by labels")
    assert list(fig.layout.xaxis.ticktext) == ["10"]
    assert not fig.layout.shapes


def test_a_finetuning_without_scores_leaves_the_baselines(tables):
    fig = label_curves(*tables, "last-block", (), "F1 by labels")
    assert {trace.legendgroup for trace in fig.data} == {"pca-knn"}
    none = label_curves(*(table.iloc[:0] for table in tables), "partial", (), "F1 by labels")
    assert not none.data
