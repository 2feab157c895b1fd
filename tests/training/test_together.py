"""Two processes train what one does: same losses, same masks, weights to the last digits."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from two_processes import ended, together

from sgm_core import home
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import donor_folds
from sgm_core.progress import Observer
from sgm_core.training.classifier import train_classifier
from sgm_core.training.config import FinetuneConfig, PretrainConfig
from sgm_core.training.kept import keeper_of
from sgm_core.training.loop import Loop
from sgm_core.training.pooling import pooled_vectors
from sgm_core.training.pretrain import Pretraining, pretraining
from sgm_core.training.start import initial_state
from sgm_core.training.train_cells import every_cell
from sgm_core.world import ALONE, Group, within, world

SMALL = {"data": "few", "n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "device": "cpu"}


class Heard(Observer):
    """Keeps the losses that it is told."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def metric(self, **values: float) -> None:
        names = ("train_loss", "validation_loss", "validation_f1")
        self.losses += [values[name] for name in names if name in values]


def pretrained(dataset: Dataset, **fields: object) -> dict[str, torch.Tensor]:
    """Pretrain; returns weights, mask counts and losses."""
    config = PretrainConfig.from_dict(
        {**SMALL, "epochs": 2, "batch_size": 13, "accumulation": 2, "dropout": 0.1, "patience": 9, **fields}
    )
    heard, fold = Heard(), donor_folds(dataset, n_folds=3)[0]
    task = pretraining(dataset, config, fold, heard)
    Loop(task, config, heard).run()
    return _of(task, heard)


def _of(task: Pretraining, heard: Heard) -> dict[str, torch.Tensor]:
    made = {"counts": task.counter.sums, "losses": torch.tensor(heard.losses)}
    if world().first or task.config.parallel == "ddp":  # else a process ends with parts of weights
        made |= {f"weights.{name}": value for name, value in task.model.state_dict().items()}
    return made


def resumed(dataset: Dataset, **fields: object) -> dict[str, torch.Tensor]:
    """Pretrain with parts of weights, and go on from the checkpoint in its middle."""
    config = PretrainConfig.from_dict(
        {**SMALL, "epochs": 2, "patience": 9, "parallel": "fsdp", "checkpoint_minutes": 0.0, **fields}
    )
    heard, fold = Heard(), donor_folds(dataset, n_folds=3)[0]
    for until in (1, None):
        task = pretraining(dataset, config, fold, heard)
        keeper = keeper_of(config, home.folder("state") / str(world().size), dataset, fold, heard)
        world().tell([0])  # the state is there once the first process has come here
        Loop(task, config, heard, keeper=keeper).run(until)
    return _of(task, heard)


def finetuned(dataset: Dataset, **fields: object) -> dict[str, torch.Tensor]:
    """Finetune a model that was not trained; returns weights, what it says of cells, and losses."""
    config = FinetuneConfig.from_dict(
        {"scheme": "partial", "epochs": 2, "batch_size": 7, "device": "cpu"} | fields
    )
    rows, heard = np.arange(dataset.n_cells), Heard()
    start = initial_state(dataset, PretrainConfig(**SMALL), rows, torch.device("cpu"))
    vectors = pooled_vectors(start.model, start.values, rows[::3])
    parts = every_cell(rows[:60]), rows[:60] % 3, rows[100:], rows[100:] % 3, rows[90:]
    named, _ = train_classifier(start.model, start.values, *parts, 3, config, heard)
    weights = {f"weights.{name}": value for name, value in start.model.state_dict().items()}
    made = {"named": torch.from_numpy(named), "vectors": torch.from_numpy(vectors)}
    return weights | made | {"losses": torch.tensor(heard.losses)}


WORK: dict[str, tuple[Callable[..., dict[str, torch.Tensor]], dict[str, object]]] = {
    "uniform": (pretrained, {"masker": "uniform"}),
    "self-guided": (
        pretrained,
        {"masker": "self-guided", "guide": "error", "backbone": "dense", "whole_cell": 0.5},
    ),
    "error-guided": (pretrained, {"masker": "error-guided", "schedule": "constant"}),
    "adios": (pretrained, {"masker": "adios", "penalty": "output-norm", "recompute": True}),
    # one cell a batch: one process has nothing to do
    "single cells": (pretrained, {"subset_per": "batch", "batch_size": 1, "epochs": 1, "train_cells": 30}),
    "parts of weights": (resumed, {"masker": "self-guided", "guide": "error"}),
    "partial": (finetuned, {}),
    "batch statistics": (finetuned, {"head": "mlp", "accumulation": 2}),
    "last block": (finetuned, {"scheme": "last-block", "class_weighting": "authors"}),
}


def train_all(folder: Path) -> int:
    """Do all of it as one of two processes, and write what came out."""
    from torch import distributed

    dataset = open_dataset("few")
    distributed.init_process_group("gloo")
    rank = int(os.environ["RANK"])
    with within(Group(rank, 2, rank)):
        for name, (work, fields) in WORK.items():
            torch.save(work(dataset, **fields), folder / f"{name}.{rank}")
        same = {"parallel": "ddp", "batch_size": 24, "dropout": 0.1, "attention_dropout": 0.1}
        through, again = pretrained(dataset, accumulation=1, **same), resumed(dataset, **same)
        for name, value in through.items():
            assert torch.equal(value, again[name]), f"{name}: two go on as if they had never stopped"
    assert world() is ALONE
    return 0


@pytest.fixture(scope="module")
def in_two(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made, each in a file of its own."""
    from few_dataset import few

    folder = tmp_path_factory.mktemp("together")
    few(demo_home, folder / "home")
    log = folder / "log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(folder / "home"))
        with together(train_all, folder, log=log) as processes:
            assert [ended(process) for process in processes] == [0, 0], log.read_text()
    return folder


def _named(key: str) -> Callable[[str], str]:
    return lambda message: f"{key}: {message}"


@pytest.mark.parametrize("name", WORK)
def test_two_processes_train_what_one_does(few_cells: Dataset, in_two: Path, name: str) -> None:
    work, fields = WORK[name]
    first, second = (torch.load(in_two / f"{name}.{rank}", weights_only=True) for rank in range(2))
    alone = work(few_cells, **fields)
    assert alone.keys() == first.keys() and len(alone["losses"]) >= 2
    for key, value in alone.items():
        if key == "counts":
            # masked and not, of each gene: none differs; sums of values in their last digits
            assert torch.equal(value[:4], first[key][:4]) and not second[key].any()
        torch.testing.assert_close(first[key], value, rtol=1e-3, atol=2e-4, msg=_named(key))
        if key in second and (key.startswith("weights") or key in ("named", "vectors")):
            assert torch.equal(first[key], second[key]), f"{key}: the two have come apart"
