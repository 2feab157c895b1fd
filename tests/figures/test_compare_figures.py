"""Figures of the comparison say the numbers of their tables."""

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.metrics import paired_table, summary_table
from sgm_core.figures import compare


@pytest.fixture
def folds() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for scheme, arms in {
        "partial": {"self-guided": 0.8, "uniform": 0.6},
        "linear-probe": {"self-guided": 0.5, "uniform": 0.5},
        "baseline": {"pca-knn": 0.7, "majority": 0.1},
    }.items():
        for arm, level in arms.items():
            for fold in range(5):
                rows.append(
                    {"arm": arm, "scheme": scheme, "fold": fold, "seed": 0, "test_donors": f"D{fold}"}
                    | {"macro_f1": level + rng.normal(0, 0.02), "donors_train": 8, "donors_test": 2}
                )
    return pd.DataFrame(rows)


def test_scores_show_every_fold_the_mean_and_the_interval_in_hundredths(folds):
    summary = summary_table(folds)
    fig = compare.scores(folds, summary, "macro_f1", "Macro F1", "macro F1 (%)")
    means = [trace for trace in fig.data if trace.error_x.array is not None]
    points = [trace for trace in fig.data if trace.customdata is not None and len(trace.x) == 5]
    assert len(means) == len(points) == 5  # the majority class is a note
    row = summary[(summary["arm"] == "self-guided") & (summary["scheme"] == "partial")].iloc[0]
    mark = next(trace for trace in means if abs(trace.x[0] - 100 * row["mean"]) < 1e-9)
    assert mark.error_x.array[0] == pytest.approx(100 * (row["high"] - row["mean"]))
    assert [a.text for a in fig.layout.annotations] == ["Linear probe", "Partial finetune", "Baseline"]
    lines = [shape.x0 for shape in fig.layout.shapes]
    best = summary[summary["arm"] == "pca-knn"]["mean"].iloc[0]
    assert lines == pytest.approx([100 * best] * 2)  # the best baseline, in both panels


def test_scores_of_one_unfinished_arm_can_be_drawn(folds):
    one = folds[(folds["arm"] == "uniform") & (folds["scheme"] == "partial") & (folds["fold"] == 0)]
    fig = compare.scores(one, summary_table(one), "macro_f1", "Macro F1", "macro F1 (%)")
    assert len(fig.data) == 2


def test_differences_show_verdicts_and_what_would_be_found(folds):
    paired = paired_table(folds)
    paired = paired[paired["metric"] == "macro_f1"]
    assert {"better", "undecided"} <= set(paired["verdict"])
    fig = compare.differences(paired, "Differences", "points")
    low, high = fig.layout.xaxis.range
    assert low < 100 * paired["low"].min() < 100 * paired["high"].max() < high
    assert high - low < 1.3 * 100 * (max(paired["high"].max(), 0) - min(paired["low"].min(), 0))
    bars = [trace for trace in fig.data if trace.type == "bar"]
    assert sum(len(bar.x) for bar in bars) == len(paired)
    points = [trace for trace in fig.data if trace.type == "scatter"]
    for bar, point in zip(bars, points):
        for half, x, text in zip(np.asarray(bar.x) / 2, point.x, point.text):
            row = paired[np.isclose(100 * paired["difference"], x)].iloc[0]
            assert half == pytest.approx(100 * row["detectable"])
            assert text == ("" if row["verdict"] == "undecided" else row["verdict"])


def test_two_arms_are_sorted_by_gain():
    table = pd.DataFrame(
        {
            "arm": ["self-guided"] * 3 + ["uniform"] * 3,
            "cell_type": ["HSC", "GMP", "pDC"] * 2,
            "f1": [0.9, 0.5, 0.4, 0.5, 0.4, 0.6],
            "support": [10, 1200, 30] * 2,
        }
    )
    fig = compare.two_arms(table, "cell_type", "f1", ("self-guided", "uniform"), "F1", "F1 (%)", "support")
    assert list(fig.layout.yaxis.categoryarray) == ["pDC (30)", "GMP (1,200)", "HSC (10)"]
    mine = next(trace for trace in fig.data if trace.name == "Self-guided")
    assert list(mine.x) == pytest.approx([40, 50, 90])


def test_rows_of_a_confusion_matrix_sum_to_one_hundred():
    counts = pd.DataFrame([[8, 2], [1, 3]], index=["A", "B"], columns=["A", "B"])
    heat = compare.confusion(counts, "Confusion").data[0]
    assert np.asarray(heat.z).sum(axis=1) == pytest.approx([100, 100])
    assert heat.text[0][0] == "80"


def test_the_axis_holds_the_data_and_the_majority_class_is_a_note(folds):
    fig = compare.scores(folds, summary_table(folds), "macro_f1", "Macro F1", "macro F1 (%)")
    drawn = np.concatenate([np.asarray(trace.x, dtype=float) for trace in fig.data])
    low = 100 * folds.loc[folds["arm"] != "majority", "macro_f1"].min()
    assert drawn.min() == pytest.approx(low)
    assert all(axis.range is None and axis.rangemode is None for axis in fig.select_xaxes())
    mean = 100 * folds.loc[folds["arm"] == "majority", "macro_f1"].mean()
    assert f"not drawn: majority class, {mean:.1f}" in fig.layout.title.subtitle.text


def test_the_majority_class_alone_is_drawn(folds):
    only = folds[folds["arm"] == "majority"]
    fig = compare.scores(only, summary_table(only), "macro_f1", "Macro F1", "macro F1 (%)")
    assert len(fig.data) == 2
    assert "not drawn" not in fig.layout.title.subtitle.text
