"""Curves: one line per run, arm, scheme and fold."""

import numpy as np
import pandas as pd
import pytest

from sgm_core.figures import curves
from sgm_core.figures.palette import arm_colour


@pytest.fixture
def metrics() -> pd.DataFrame:
    rows = [
        {
            "run": "r",
            "phase": "pretrain",
            "arm": arm,
            "fold": fold,
            "epoch": epoch,
            "validation_loss": 1 / (epoch + 1),
        }
        for arm in ("uniform", "self-guided")
        for fold in (0, 1)
        for epoch in range(3)
    ]
    rows.append({"run": "r", "phase": "finetune", "arm": "uniform", "fold": 0, "epoch": 0, "train_loss": 2.0})
    return pd.DataFrame(rows)


def test_what_was_measured_is_offered_per_phase(metrics):
    assert curves.available(metrics, "pretrain") == ["validation_loss"]
    assert curves.available(metrics, "finetune") == ["train_loss"]


def test_folds_of_an_arm_share_colour_and_legend(metrics):
    fig = curves.curves(metrics, "validation_loss", "pretrain")
    assert len(fig.data) == 4
    assert [trace.showlegend for trace in fig.data] == [True, False, True, False]
    assert fig.data[0].line.color == fig.data[1].line.color == arm_colour("uniform")
    assert list(fig.data[2].y) == [1, 0.5, pytest.approx(1 / 3)]


def test_a_plain_pretraining_has_one_line(metrics):
    one = metrics[(metrics["arm"] == "uniform") & (metrics["fold"] == 0) & (metrics["phase"] == "pretrain")]
    fig = curves.curves(one.drop(columns=["arm", "fold"]), "validation_loss", "pretrain")
    assert len(fig.data) == 1 and fig.layout.showlegend is False


def test_runs_beside_each_other_differ_by_dash(metrics):
    both = pd.concat([metrics, metrics.assign(run="s")])
    fig = curves.curves(both, "validation_loss", "pretrain")
    assert {trace.line.dash for trace in fig.data} == {"solid", "dash"}


def test_seeds_of_a_fold_are_lines_of_their_own(metrics):
    # Seen: the line of three seeds ran back from the last epoch to the first, twice.
    both = pd.concat([metrics.assign(seed=0), metrics.assign(seed=1)])
    fig = curves.curves(both, "validation_loss", "pretrain")
    assert len(fig.data) == 8
    assert all(list(trace.x) == sorted(trace.x) for trace in fig.data)


def test_smoothing_is_an_average_of_what_was_and_the_values_stay(metrics):
    fig = curves.curves(metrics, "validation_loss", "pretrain", smoothing=0.5)
    raw, smoothed = fig.data[:2]
    assert raw.opacity < 0.5 and list(raw.y) == [1, 0.5, pytest.approx(1 / 3)]
    series = pd.Series(raw.y)  # an independent implementation
    assert smoothed.y == pytest.approx(series.ewm(alpha=0.5, adjust=True).mean())
    assert curves.smooth(np.full(9, 3.0), 0.9) == pytest.approx(np.full(9, 3.0)), "no pull to zero"
    assert [trace.showlegend for trace in fig.data].count(True) == 2


def test_time_has_a_unit_that_fits_and_axes_may_be_logarithmic(metrics):
    timed = metrics.assign(worked=[60.0 * i for i in range(len(metrics))], step=10)
    assert curves.axes(timed, "validation_loss") == ["epoch", "step", "worked"]
    assert curves.axes(metrics, "validation_loss") == ["epoch"]
    fig = curves.curves(timed, "validation_loss", "pretrain", over="worked", log_y=True)
    assert "(min)" in fig.layout.xaxis.title.text and list(fig.data[1].x) == [3, 4, 5]
    assert (fig.layout.yaxis.type, fig.layout.xaxis.type) == ("log", None)
    days = timed.assign(worked=timed["worked"] * 1000)
    fig = curves.curves(days, "validation_loss", "pretrain", over="worked", log_x=True)
    assert "(h)" in fig.layout.xaxis.title.text and fig.layout.xaxis.type == "log"


def test_eight_runs_of_one_arm_can_be_told_apart(metrics):
    one = metrics[(metrics["arm"] == "uniform") & (metrics["fold"] == 0) & (metrics["phase"] == "pretrain")]
    many = pd.concat([one.assign(run=f"run {i}") for i in range(8)])
    fig = curves.curves(many, "validation_loss", "pretrain")
    assert len({trace.line.color for trace in fig.data}) == 8
    assert [trace.name for trace in fig.data] == [f"run {i}" for i in range(8)]
    several = pd.concat([metrics.assign(run=f"run {i}") for i in range(8)])
    fig = curves.curves(several, "validation_loss", "pretrain")
    assert len({(trace.line.color, trace.line.dash) for trace in fig.data}) == 16
