"""Curves: one line per run, arm, scheme and fold."""

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
