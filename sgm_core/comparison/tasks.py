"""One task of a comparison: an arm with a seed, or the baselines, on a fold; a folder, whole or absent."""

import os
import shutil
import signal
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sgm_core.analysis.budgets import ALL, BUDGETS
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold
from sgm_core.comparison.arms import settings
from sgm_core.comparison.baselines import BASELINES, Cells, Read, blocks, reader, run_baseline
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.comparison.parts import PARTS, write_predictions
from sgm_core.errors import Stopped
from sgm_core.home import read_json, whole_folder, write_json, write_table
from sgm_core.progress import Observer
from sgm_core.saved import FOLDER as STATE
from sgm_core.saved.keeper import codes_in
from sgm_core.training.config import SCHEMES, FinetuneConfig
from sgm_core.training.few_recipe import few_recipe
from sgm_core.training.folds import draws_of, run_folds
from sgm_core.training.logistic import FEW_STRENGTHS
from sgm_core.training.variable_genes import sums_of

if TYPE_CHECKING:
    from torch import Tensor

    from sgm_core.model.reconstruction import MaskedModel
    from sgm_core.training.data import Values
    from sgm_core.training.label_draws import LabelDraw
    from sgm_core.training.pooling import Pooled

BASELINE, MAP = "baselines", "dataset-map"
MAPPED = ("self-guided", "uniform+summary")  # arms whose pooled vectors of fold 0 get a UMAP
FOLDER = "tasks"
STEP_S = 5.0  # that a process has for its step when it is to end
_TWICE_S = 2.0  # Slurm tells all processes of a job, and who started one passes it on
_asked_to_end: float | None = None  # when
_parent: int | None = None  # of a worker process: who hands out the tasks
_progress: Any = None  # a shared array in the worker processes: the share done of every task


@dataclass(frozen=True)
class Task:
    """One arm with one seed (or the baselines) on one fold."""

    arm: str
    fold: int
    seed: int = 0

    @property
    def name(self) -> str:
        """The task's folder."""
        return f"{self.arm}.fold{self.fold}" + ("" if self.arm in (BASELINE, MAP) else f".seed{self.seed}")


def is_done(folder: Path, task: Task) -> bool:
    """Say whether the run in `folder` holds the result of a task."""
    return (folder / FOLDER / task.name / "task.json").exists()


def drop_what_other_code_made(folder: Path, code: str) -> bool:
    """Delete a run's tasks if another version of the deciding code made one; returns whether it did.

    Scores of two versions in one table would be compared with each other.
    """
    described = (read_json(path) for path in (folder / FOLDER).glob("[!.]*/task.json"))
    if all(made == code for made in [*(task["code"] for task in described), *codes_in(folder / STATE)]):
        return False
    for name in (FOLDER, STATE, "pooled", *PARTS):
        shutil.rmtree(folder / name, ignore_errors=True)
    return True


class TaskObserver(Observer):
    """Passes a task's metrics on; its progress goes into the shared array.

    Attributes
    ----------
    tables : those that it was told, by name, for the task to keep
    """

    def __init__(
        self, observer: Observer, slot: int, share: tuple[float, float] = (0.0, 1.0), name: str = ""
    ) -> None:
        self.observer, self.slot, self.share, self.name = observer, slot, share, name
        self.tables: dict[str, pd.DataFrame] = {}

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Hold it: the run's own tables are put together of those of all tasks."""
        self.tables[name] = frame

    def message(self, text: str) -> None:
        """Pass it on, with the name of the task where there is one."""
        self.observer.message(f"{self.name}: {text}" if self.name else text)

    def metric(self, **values: Any) -> None:
        """Pass it on."""
        self.observer.metric(**values)

    def pulse(self, **values: Any) -> None:
        """Pass it on."""
        self.observer.pulse(**values)

    def check(self) -> None:
        """Ask whom it stands for, and whether the system asked this process to end."""
        if _parent is not None and os.getppid() != _parent:
            os._exit(
                1
            )  # killed: a resumed run may be at this task already, and nothing may be written beside it
        if _asked_to_end is not None:
            raise Stopped("the system stopped a process of it (SIGTERM), as a shutdown does")
        self.observer.check()

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Note the task's share that is done."""
        if _progress is not None:
            start, end = self.share
            _progress[self.slot] = start + (end - start) * done / max(total, 1e-9)


def start_worker(progress: Any, workers: int) -> None:
    """Prepare a process for tasks: where it notes their progress, and how many processes there are."""
    global _parent, _progress
    from sgm_core.device import set_threads
    from sgm_core.training.memory import keep_freed_memory

    _parent, _progress = os.getppid(), progress
    signal.signal(signal.SIGTERM, _end_after_step)
    set_threads(workers)
    keep_freed_memory()


def _end_after_step(*_: object) -> None:
    """Let the training keep its checkpoint; who is asked again, or takes long, ends at once."""
    global _asked_to_end
    now = time.monotonic()
    if _asked_to_end is not None:
        if now - _asked_to_end > _TWICE_S:
            os._exit(128 + signal.SIGTERM)
        return
    _asked_to_end = now
    last = threading.Timer(STEP_S, os._exit, [128 + signal.SIGTERM])
    last.daemon = True
    last.start()


def run_task(config: CompareConfig, task: Task, folder: Path, code: str, observer: TaskObserver) -> None:
    """Work out one task and keep it as ``tasks/ARM.foldK.seedS``; `code` is noted with it."""
    observer.check()
    dataset = open_dataset(config.data)
    fold = run_folds(dataset, config)[task.fold]
    if is_done(folder, task):
        return  # a twin finished it
    started = time.perf_counter()
    with whole_folder(folder / FOLDER / task.name) as temporary:
        if task.arm == BASELINE:
            _baselines(dataset, config, fold, temporary, observer)
        elif task.arm == MAP:
            _map(dataset, config.seed)
        else:
            _arm(dataset, config, task, fold, folder, temporary, observer)
        described = {"arm": task.arm, "fold": task.fold, "seed": task.seed, "code": code}
        write_json(temporary / "task.json", {**described, "seconds": time.perf_counter() - started})
    shutil.rmtree(folder / STATE / task.name, ignore_errors=True)
    observer.progress(1, 1)


def _baselines(
    dataset: Dataset, config: CompareConfig, fold: Fold, target: Path, observer: TaskObserver
) -> None:
    from sgm_core.training.finetune import prediction_table
    from sgm_core.training.label_draws import label_draws
    from sgm_core.training.labelled import labelled_fold

    asked = settings(config, config.arms[0], fold.index)[1].train_cells
    whole = labelled_fold(dataset, fold, config.label, asked, config.seed)
    known = dataset.labels(config.label).astype(str).to_numpy()
    train, tested = (Cells(dataset, cells, observer) for cells in (whole.once[0], whole.test))
    every = Cells(dataset, whole.cells.rows, observer)
    sums = sums_of(blocks(train), dataset.n_genes)
    draws = label_draws(whole, fold, [ALL, *config.few_labels], config.label_draws, config.seed)
    scores = _Scores(dataset, config, fold, "baseline", observer)
    for number, name in enumerate(BASELINES):
        # genes, scale and components need no labels, so they are those of all training cells at every draw
        read = None if name == "majority" else reader(name, train, sums)
        named = tested if read is None else Read(tested, read)
        for drawn in draws:
            observer.check()
            started = time.perf_counter()
            part = drawn.part
            own, validation = (Cells(dataset, cells, observer) for cells in (part.once[0], part.validation))
            if name == "majority":
                if drawn.labels != ALL:
                    continue  # as many cells of every class: none is the most frequent
                own = every  # drawn cells are balanced over classes and don't say which class is frequent
            fitted = run_baseline(
                name,
                own,
                known[own.rows],
                validation,
                known[validation.rows],
                named,
                config.seed,
                read,
                None if drawn.labels == ALL else FEW_STRENGTHS,
            )
            keys = {"fold": fold.index, "arm": name, "scheme": "baseline", "seed": config.seed}
            table = prediction_table(
                dataset, part.test, fitted.classes, fitted.probabilities, config.label, **keys
            )
            scores.add(drawn, table, fitted.chosen, time.perf_counter() - started)
        observer.progress(number + 1, len(BASELINES))
    scores.write(target)


class _Scores:
    """The scores of a task, told as they are made: with all labels, and in a table apart with few.

    Parameters
    ----------
    dataset, config, fold : what is scored
    phase : of the metrics
    observer : is told the scores with all labels
    """

    def __init__(
        self, dataset: Dataset, config: CompareConfig, fold: Fold, phase: str, observer: Observer
    ) -> None:
        self.dataset, self.config, self.fold = dataset, config, fold
        self.phase, self.observer = phase, observer
        self.tables: list[pd.DataFrame] = []
        self.rows: list[dict[str, Any]] = []
        self.few: list[dict[str, Any]] = []

    def add(self, drawn: "LabelDraw", table: pd.DataFrame, chosen: str, seconds: float) -> None:
        """Score the predictions of one classifier, which learned from the cells `drawn`."""
        from sgm_core.training.finetune import fold_row

        rows = [
            fold_row(self.dataset, self.fold, cells, self.config.label, drawn.part.cells, seconds, chosen)
            | draw
            for draw, cells in draws_of(self.dataset, self.config, table)
        ]
        if drawn.labels != ALL:
            own = {"labels": drawn.labels, "draw": drawn.draw, "n_classes": len(drawn.part.classes)}
            self.few += [{**row, **own, "short": drawn.short} for row in rows]
            return
        self.tables.append(table)
        self.rows += rows
        last = rows[-1]
        self.observer.metric(
            phase=self.phase,
            arm=last["arm"],
            scheme=last["scheme"],
            fold=self.fold.index,
            seed=int(table["seed"].iloc[0]),
            macro_f1=last["macro_f1"],
        )

    def write(self, target: Path) -> None:
        """Write the task's tables."""
        write_predictions(target, self.tables)
        write_table(target / "folds.parquet", pd.DataFrame(self.rows))
        if self.few:
            write_table(target / "budgets.parquet", pd.DataFrame(self.few)[BUDGETS])


class _Unheard(Observer):
    """Passes on whether to stop, and nothing of what a training on few labels says of itself."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    def check(self) -> None:
        """Ask whom it stands for."""
        self.observer.check()


def _arm(
    dataset: Dataset,
    config: CompareConfig,
    task: Task,
    fold: Fold,
    folder: Path,
    target: Path,
    observer: TaskObserver,
) -> None:
    from sgm_core.device import pick_device
    from sgm_core.model.checkpoint import save_model
    from sgm_core.training.data import model_values
    from sgm_core.training.finetune import prediction_table
    from sgm_core.training.kept import keeper_of
    from sgm_core.training.label_draws import label_draws
    from sgm_core.training.labelled import labelled_fold, name_cells
    from sgm_core.training.pretrain import pretrain, pretrain_cells, weights_of
    from sgm_core.training.start import initial_state, set_pool

    pretraining, finetuning = settings(config, task.arm, task.fold, task.seed)
    device = pick_device(config.device)
    started = time.perf_counter()
    trained = bool(ARMS[task.arm])
    if trained:
        told = TaskObserver(observer, observer.slot, (0.0, 0.6), task.name)
        place = folder / STATE / task.name
        result = pretrain(dataset, pretraining, fold, told, state=place / "pretrain")
        model = result.model
        for name, table in told.tables.items():
            write_table(target / f"{name}.parquet", table.assign(fold=task.fold))
        write_table(target / "masks.parquet", result.masks)
        write_table(target / "masks_start.parquet", result.masks_start)
        write_table(target / "mask_cells.parquet", result.mask_cells)
        write_table(target / "reconstruction.parquet", result.reconstruction)
        save_model(target / "checkpoint", model, result.names, task.arm, weights_of(pretraining))
        values = model_values(dataset, model, result.names, device)
    else:
        seen = pretrain_cells(dataset, fold)[0]
        start = initial_state(dataset, pretraining, seen, device, random=task.arm == "no-pretraining")
        model, values = start.model, start.values
    pretrain_seconds = time.perf_counter() - started
    set_pool(model.backbone, finetuning.pool)
    part = labelled_fold(dataset, fold, config.label, finetuning.train_cells, task.seed)
    if not len(part.validation):
        observer.message(f"{task.name}: no validation cells of its classes, so the last epoch is kept")
    draws = label_draws(part, fold, [ALL, *config.few_labels], config.label_draws, config.seed)
    scores = _Scores(dataset, config, fold, "finetune", observer)
    # the probe first, whatever the order asked for: the other schemes change the model in place
    schemes = [scheme for scheme in SCHEMES if scheme in config.schemes]
    before = _kept(model, (len(schemes) - ("linear-probe" in schemes)) * len(draws))
    pooled: Pooled | None = None
    first = 0.7 if trained else 0.1
    for number, scheme in enumerate(schemes):
        observer.check()
        started = time.perf_counter()
        share = (
            first + (1 - first) * number / len(schemes),
            first + (1 - first) * (number + 1) / len(schemes),
        )
        within = TaskObserver(observer, observer.slot, share, task.name)
        where = {"arm": task.arm, "fold": task.fold, "seed": task.seed}
        compat = finetuning.compat if scheme == "official" else "corrected"
        own = replace(finetuning, scheme=scheme, compat=compat)
        if scheme == "linear-probe":
            pooled = _pooled(model, values, part.encoded, config, task, own, folder, within)
        for drawn in draws:
            if before is not None and scheme != "linear-probe":
                model.load_state_dict(before)
            whole = drawn.labels == ALL
            recipe = own if whole else few_recipe(own, drawn.part.cells.size)
            heard = within if whole else _Unheard(observer)
            keeper = None
            if whole:  # few labels take seconds
                place = folder / STATE / task.name / scheme
                keeper = keeper_of(recipe, place, dataset, fold, heard, arm=task.arm, seed=task.seed)
            probabilities, chosen = name_cells(
                model, values, drawn.part, recipe, pooled, heard, keeper, **where
            )
            keys = {"fold": task.fold, "arm": task.arm, "scheme": scheme, "seed": task.seed}
            table = prediction_table(dataset, part.test, part.classes, probabilities, config.label, **keys)
            scores.add(drawn, table, chosen, pretrain_seconds + time.perf_counter() - started)
    scores.write(target)


def _kept(model: "MaskedModel", changes: int) -> dict[str, "Tensor"] | None:
    """Return a copy of the weights where more than one scheme changes them, so that each starts from them."""
    if changes < 2:
        return None
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _pooled(
    model: "MaskedModel",
    values: "Values",
    needed: np.ndarray,
    config: CompareConfig,
    task: Task,
    finetuning: FinetuneConfig,
    folder: Path,
    observer: TaskObserver,
) -> "Pooled":
    """Return the pooled vectors of the cells `needed`, and of all where they are kept.

    Those of the original weights are the same for every fold. What is kept is what the model makes, without
    the genes that a head may read beside it.
    """
    from sgm_core.model.sizes import GENES
    from sgm_core.training.pooling import pooled_of, read_pooled, write_pooled

    shared = task.arm == "original"
    path = folder / "pooled" / (f"{task.arm}.npy" if shared else f"{task.arm}.fold{task.fold}.npy")
    if shared and path.exists():
        return read_pooled(path)
    how = finetuning.keep_summary, finetuning.precision, observer
    mapped = config.umap and task.fold == 0 and task.seed == config.seed and task.arm in MAPPED
    if shared or mapped:
        written = write_pooled(path, model, values, *how)
        if GENES not in model.backbone.config.pool:
            return written
    return pooled_of(model, values, needed, *how)


def _map(dataset: Dataset, seed: int) -> None:
    from sgm_core.analysis.embedding import dataset_umap

    stored = dataset.path / "embeddings" / "pca_umap.parquet"
    if not stored.exists():
        write_table(stored, dataset_umap(dataset, seed))
