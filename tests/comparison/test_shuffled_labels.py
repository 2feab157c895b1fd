"""A comparison that learned from shuffled labels says nothing: no arm is better, none knows a cell type."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.budget_words import budget_finding
from sgm_core.analysis.statistics import comparison_sentence
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.protocol import tasks_of
from sgm_core.comparison.publish import Publisher
from sgm_core.comparison.tasks import BASELINE, Task, TaskObserver, run_task
from sgm_core.progress import Observer
from sgm_core.training import labelled
from sgm_core.training.labelled import LabelledFold

CONFIG = CompareConfig(
    data="small",
    folds=3,
    seeds=1,
    arms=("no-pretraining", "uniform+summary"),
    schemes=("linear-probe",),
    pretrain={"epochs": 1, "n_genes": 40, "latents": 2, "latent_width": 8},
    finetune={"probe_epochs": 20, "choose_decay": False},
    device="cpu",
    umap=False,
    labels=("3", "all"),
    label_draws=1,
)


def scores(dataset: Dataset, tasks: list[Task], folder: Path) -> dict[str, pd.DataFrame]:
    """Run tasks of the comparison here, and return its tables."""
    for task in tasks:
        run_task(CONFIG, task, folder, "code", TaskObserver(Observer(), 0))
    kept: dict[str, pd.DataFrame] = {}
    observer = Observer()
    observer.table = kept.__setitem__  # type: ignore[method-assign]
    Publisher(dataset, CONFIG.schemes, tasks, folder, observer).publish()
    return kept


def shuffled(real: Callable[..., LabelledFold]) -> Callable[..., LabelledFold]:
    """Return `labelled_fold` with the labels of the training cells shuffled among them."""

    def fold(*given: object) -> LabelledFold:
        part = real(*given)
        return replace(part, codes=np.random.default_rng(0).permutation(part.codes))

    return fold


def test_shuffled_labels_say_nothing(
    demo_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sgm_core.training.few_recipe.MIN_UPDATES", 30)  # enough here
    # one fold of one arm shows that these cells and settings can tell types apart
    known = scores(demo_dataset, [Task("no-pretraining", 0)], tmp_path / "true")["budget_summary"]
    monkeypatch.setattr(labelled, "labelled_fold", shuffled(labelled.labelled_fold))
    arms = [task for task in tasks_of(CONFIG) if task.arm != BASELINE]
    made = scores(demo_dataset, arms, tmp_path / "shuffled")
    paired = made["paired"]
    for _, row in paired.iterrows():
        assert "proven" not in comparison_sentence(row), comparison_sentence(row)
    assert (paired["metric"] == "macro_f1").any() and not paired["verdict"].isin(["better", "worse"]).any()
    sentence, sure = budget_finding(made["budget_paired"])
    assert sure == "undecided" and "proven" not in sentence, sentence
    guessed = made["budget_summary"].groupby("labels")["mean"].max()
    chance = 1 / made["folds"]["classes_scored"].min()
    assert (guessed < 1.5 * chance).all() and (known["mean"] > 3 * chance).all(), (guessed, known, chance)
