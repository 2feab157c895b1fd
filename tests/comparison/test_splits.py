"""Comparisons that are no cross-validation: one hold-out split, and the authors' draws of its test cells."""

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.metrics import score_predictions
from sgm_core.analysis.statistics import comparison_sentence
from sgm_core.cells.split import donor_folds, fold_cells, scored_classes
from sgm_core.comparison import tasks
from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.protocol import tasks_of
from sgm_core.comparison.publish import Publisher
from sgm_core.comparison.tasks import TaskObserver, run_task
from sgm_core.progress import Observer
from sgm_core.runs.store import Run, create_run
from sgm_core.training.folds import run_fold, run_folds, scored_folds

QUICK = {
    "data": "small",
    "arms": ("no-pretraining", "self-guided"),
    "schemes": ("linear-probe",),
    "pretrain": {"epochs": 1, "n_genes": 60, "latents": 4, "latent_width": 8},
    "finetune": {"probe_epochs": 3},
    "device": "cpu",
    "umap": False,
    "seed": 3,
}


class Keep(Observer):
    """Keeps the tables in a run."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def table(self, name: str, frame: pd.DataFrame) -> None:
        self.run.table(name, frame)


@pytest.mark.parametrize("split", ["holdout", "authors"])
def test_one_split_of_the_donors_is_compared_without_an_interval(
    demo_dataset, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "BASELINES", ("majority",))  # the others take most of the time
    config = CompareConfig(split=split, **QUICK)
    assert {task.fold for task in tasks_of(config)} == {0}
    run = create_run("compare", "small", config.to_dict())
    for task in tasks_of(config):  # in this process: starting others takes ten times as long
        run_task(config, task, run.path, "code", TaskObserver(Observer(), 0))
    Publisher(demo_dataset, config.schemes, tasks_of(config), run.path, Keep(run)).publish()
    (held,) = donor_folds(demo_dataset, "holdout")
    predictions = run.read_table("predictions")
    assert set(demo_dataset.donors().iloc[predictions["cell"]]) == set(held.test)
    for _, table in predictions.groupby(["arm", "scheme", "seed"]):
        assert table["cell"].is_unique, "each test cell is predicted once, however often it is drawn"
    folds = run.read_table("folds")
    draws = 5 if split == "authors" else 1
    assert set(folds.groupby(["arm", "scheme", "seed"]).size()) == {draws} and set(folds["fold"]) == {0}
    assert (folds["test_donors"] == ", ".join(held.test)).all()
    summary = run.read_table("summary")
    assert (summary["n_folds"] == 1).all() and summary["low"].isna().all()
    paired = run.read_table("paired")
    row = paired[(paired["metric"] == "macro_f1") & (paired["arm_a"] == "self-guided")].iloc[0]
    assert "one fold gives no interval" in comparison_sentence(row)
    if split == "holdout":
        assert "draw" not in folds
        return
    first = folds["seed"].min()
    mine = folds[(folds["arm"] == "self-guided") & (folds["seed"] == first)].sort_values("draw")
    assert list(mine["draw"]) == [0, 1, 2, 3, 4] and mine["macro_f1"].nunique() > 1
    right = predictions[(predictions["arm"] == "self-guided") & (predictions["seed"] == first)].set_index(
        "cell"
    )
    for draw, fold in zip(mine.itertuples(), donor_folds(demo_dataset, "authors"), strict=True):
        rows = fold_cells(demo_dataset, fold)[2]
        table = right.loc[rows[np.isin(rows, right.index)]]
        assert draw.n_test == len(table)
        scored, _ = scored_classes(demo_dataset)
        score = score_predictions(table["true"], table["predicted"], table["confidence"], scored)
        assert draw.macro_f1 == pytest.approx(score["macro_f1"])
    mean = summary[(summary["arm"] == "self-guided") & (summary["metric"] == "macro_f1")]["mean"].iloc[0]
    assert mean == pytest.approx(folds[folds["arm"] == "self-guided"]["macro_f1"].mean())


def test_one_function_gives_the_folds_of_every_kind_of_run(demo_dataset) -> None:
    from sgm_core.training.config import FinetuneConfig, PretrainConfig

    for split in ("cv", "holdout", "authors"):
        compare = CompareConfig(data="small", split=split, folds=3, seed=7)
        pretrain = PretrainConfig(data="small", split=split, n_folds=3, fold=0, seed=5)
        finetune = FinetuneConfig(data="small", split=split, n_folds=3, seed=2)
        folds = run_folds(demo_dataset, compare)
        assert len(folds) == (3 if split == "cv" else 1)
        for other in (pretrain, finetune, pretrain.to_dict(), compare.to_dict()):
            assert run_folds(demo_dataset, other) == folds
        assert run_fold(demo_dataset, pretrain) == folds[0]
        assert len(scored_folds(demo_dataset, compare)) == {"cv": 3, "holdout": 1, "authors": 5}[split]
