"""Masked pretraining: what is masked, what the loss is, what an epoch measures; the loop is `loop.py`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.seen import keep_donors
from sgm_core.cells.split import Fold, fold_cells
from sgm_core.device import autocast, pick_device
from sgm_core.model.checkpoint import save_model
from sgm_core.model.interface import BackboneConfig
from sgm_core.model.parts import cells as cells_of_batch
from sgm_core.model.parts import idle
from sgm_core.model.reconstruction import Drawn, MaskedModel
from sgm_core.progress import Observer
from sgm_core.saved import FOLDER as STATE
from sgm_core.training.backbones import is_bundle, say_of_weights
from sgm_core.training.config import PretrainConfig
from sgm_core.training.corpus import (
    CorpusCells,
    corpus_sentences,
    corpus_table,
)
from sgm_core.training.counts import MaskCounter, sum_models
from sgm_core.training.data import CorpusValues, Values, ahead, batches, model_values, token_batches
from sgm_core.training.draws import mask_shares, mask_sums, random_numbers
from sgm_core.training.first_masks import first_masks
from sgm_core.training.folds import run_fold
from sgm_core.training.kept import keeper_of
from sgm_core.training.loop import Loop, Task, who_asks
from sgm_core.training.pooling import write_pooled
from sgm_core.training.reconstruction_check import check_reconstruction
from sgm_core.training.start import Start, initial_state, with_corpus
from sgm_core.training.train_cells import PRETRAINING, TrainCells, train_cells
from sgm_core.world import ALONE, World, leave, world

_TRAIN, _VALIDATE, _ORDER, _THIN, _FEATURES = range(5)  # purposes of random numbers
VALIDATION_CELLS = 512
OFFICIAL_INTERVAL = 1000
"""Steps after which the released code draws the decoder's random features anew."""
_POSITIONS = 131_072  # of a batch that is validated: 64 cells of 2,000 genes, 6 of the full vocabulary


@dataclass(frozen=True)
class Pretrained:
    """What pretraining gives.

    Parameters
    ----------
    model : the trained model
    genes : columns of the dataset that it reads
    names : symbols of all its genes, those that the dataset lacks among them
    masks, mask_cells : the tables of its masks
    masks_start : the table of the masks that it drew before its first step
    reconstruction : the table of its reconstruction against simple predictors
    """

    model: MaskedModel
    genes: np.ndarray
    names: np.ndarray
    masks: pd.DataFrame
    mask_cells: pd.DataFrame
    masks_start: pd.DataFrame
    reconstruction: pd.DataFrame


def arm_name(config: PretrainConfig) -> str:
    """Return the arm that a configuration is: its masker, with ``+summary`` where it has that path."""
    if config.masker == "self-guided":
        return "self-guided"
    return config.masker if config.summary == "none" else f"{config.masker}+summary"


def pretrain_cells(dataset: Dataset, fold: Fold | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to train and to validate on: no test donor; when shared, 5 % of all cells validate."""
    if fold is not None:
        train, validation, _ = fold_cells(dataset, fold)
        return train, validation
    shuffled = np.random.default_rng(0).permutation(dataset.n_cells)
    cut = max(1, dataset.n_cells // 20)
    return np.sort(shuffled[cut:]), np.sort(shuffled[:cut])


def untrained(shape: BackboneConfig, config: PretrainConfig) -> MaskedModel:
    """Return a model with seeded random weights; arms share the backbone's weights."""
    torch.manual_seed(config.seed)
    eligible = torch.arange(shape.n_positions) < shape.n_genes
    return MaskedModel(shape, config.to_dict(), eligible)


def parameter_groups(model: MaskedModel, config: PretrainConfig) -> list[dict[str, Any]]:
    """Return the optimiser's two groups, the backbone's parameters and all others, by module identity."""
    backbone, new = list(model.backbone.parameters()), model.new_parameters()
    assert sorted(map(id, [*backbone, *new])) == sorted(map(id, model.parameters())), "each in one group"
    rates = ((backbone, config.lr_backbone), (new, config.lr_new))
    return [{"params": parameters, "lr": rate} for parameters, rate in rates]


@dataclass(frozen=True)
class Batch:
    """Cells ready for a step: what the model sees and what it is to predict (B, L), and random numbers."""

    rows: np.ndarray
    x: Tensor
    target: Tensor
    noise: Tensor
    subset: Tensor


def prepare(
    values: Values,
    config: PretrainConfig,
    purpose: int,
    epoch: int,
    rows: np.ndarray,
    lead: np.ndarray | None = None,
) -> Batch:
    """Make the batch of the cells `rows`; in training, a share of them may be thinned.

    Where they are a part of a batch, `lead` (1,) is the first cell of the whole.
    """
    target = x = values.batch(rows)
    if config.downsample and purpose == _TRAIN:
        x = values.thinned(rows, config.downsample, (config.seed, _THIN, epoch))
    noise, subset = random_numbers(config, purpose, epoch, rows, values.n_positions, values.device, lead)
    return Batch(rows, x, target, noise, subset)


def pretrain(
    dataset: Dataset,
    config: PretrainConfig,
    fold: Fold | None,
    observer: Observer | None = None,
    shape: BackboneConfig | None = None,
    state: Path | None = None,
) -> Pretrained:
    """Pretrain one backbone, from random or from imported weights.

    Parameters
    ----------
    dataset : the cells; those without a label take part
    config : every choice
    fold : its test donors are never seen, neither by the weights nor by the choice of genes; None = shared
    observer : is told the metrics of each epoch
    shape : the backbone's shape, by default that of ``config.backbone``
    state : folder of the training's checkpoints, from which it goes on; None = none

    Raises
    ------
    InputError
        If the dataset does not fit the imported weights, cells are too long, or other code made the
        checkpoint.
    TrainingError
        If a loss or a weight is not a finite number.
    Cancelled
        If the user asked for it.

    Notes
    -----
    A batch's loss is the mean over its masked positions, an update's the mean over its batches.
    """
    return pretrained(dataset, config, fold, observer or Observer(), shape, state).result()


def pretrained(
    dataset: Dataset,
    config: PretrainConfig,
    fold: Fold | None,
    observer: Observer,
    shape: BackboneConfig | None = None,
    state: Path | None = None,
) -> "Pretraining":
    """Return a pretraining that was carried out, before its tables are made; parameters as in `pretrain`."""
    task = pretraining(dataset, config, fold, observer, shape)
    keeper = None if state is None else keeper_of(config, state, dataset, fold, observer)
    Loop(task, config, observer, config.patience is not None, keeper).run()
    return task


def pretraining(
    dataset: Dataset,
    config: PretrainConfig,
    fold: Fold | None,
    observer: Observer,
    shape: BackboneConfig | None = None,
) -> "Pretraining":
    """Return the task that `pretrain` trains, before its first step; parameters and errors are the same."""
    train, validation = pretrain_cells(dataset, fold)
    start = initial_state(dataset, config, train, pick_device(config.device), shape)
    classes = pd.factorize(dataset.labels(config.label).iloc[train], use_na_sentinel=False)[0]
    if config.corpus:
        start, cells = _corpus(config, start, classes, observer)
    else:
        cells = train_cells(dataset, train, classes, config.train_cells, config.seed, PRETRAINING)
    return Pretraining(config, start, cells, validation, -1 if fold is None else fold.index, observer)


def _corpus(
    config: PretrainConfig, start: Start, classes: np.ndarray, observer: Observer
) -> tuple[Start, TrainCells]:
    """Return the start and the training cells of a pretraining on several datasets; say what they are."""
    start = with_corpus(start, config)
    how = config.corpus_genes
    said = corpus_sentences(start.members, config.corpus, start.names, how, start.informative)
    observer.message(said if config.fold is None else f"fold {config.fold}, {said}")
    observer.table("corpus", corpus_table(start.members, start.names))
    assert isinstance(start.values, CorpusValues)
    members = [one for one in start.members if one.dataset in start.values.datasets]
    return start, CorpusCells(members, start.values.starts, classes, config.train_cells, config.seed)


class Pretraining(Task[Batch]):
    """Masked pretraining as a task of the loop.

    Parameters
    ----------
    config : every choice
    start : the model and its values
    cells : the cells that each epoch trains on
    validation : row numbers of the cells of which some validate
    fold : number of the fold, for the tables; -1 = shared
    observer : is told the metrics of each epoch
    """

    phase, rates = "pretraining", "lr_new, lr_backbone"

    def __init__(
        self,
        config: PretrainConfig,
        start: Start,
        cells: TrainCells,
        validation: np.ndarray,
        fold: int,
        observer: Observer,
    ) -> None:
        self.config, self.start, self.cells, self.fold, self.observer = config, start, cells, fold, observer
        self.model, self.values = start.model, start.values
        self.device, self.modules, self.arm = start.values.device, [start.model], arm_name(config)
        self.corpus = self.values if isinstance(self.values, CorpusValues) else None
        self.facts = {"phase": "pretrain", "arm": self.arm, "fold": fold, "seed": config.seed}
        self.n_batches = sum(-(-len(rows) // config.batch_size) for rows in self._together(cells.epoch(0)))
        measured = None if self.values.measured.all() else np.flatnonzero(self.values.measured)
        counted = start.names if measured is None else start.names[measured]
        self.counter = MaskCounter(self.values.dataset, counted, config.epochs, measured)
        self._own = cells.rows if self.corpus is None else cells.rows[self.corpus.own(cells.rows)]
        self.model.strategy.progress = 0.0
        self.first = first_masks(self.model, self.values, config, self._own, counted, measured)
        self.history: list[dict[str, float]] = [self.first.cells]
        self.order: np.random.Generator = np.random.default_rng([config.seed, _ORDER])
        self._features = torch.Generator().manual_seed(config.seed * 8 + _FEATURES)
        self.validation = self.order.permutation(validation)[:VALIDATION_CELLS]
        # of scFoundation and scBERT: the released code counts its steps, and draws random features anew
        self._official = config.compat == "official" and hasattr(self.model.backbone, "redraw_calls")
        self._interval = config.redraw_interval or (OFFICIAL_INTERVAL if self._official else None)
        # steps since the features were drawn
        self._calls = int(self.model.backbone.redraw_calls) if self._official else 0
        self._epoch, self._sums = 0, torch.zeros(6, dtype=torch.float64, device=self.device)
        self._step, self._steps = 0, self.n_batches  # batches of this epoch: done, and all
        # cells of `data` in this epoch, whose masks the tables count
        self._counted = torch.zeros((), dtype=torch.int64)

    def groups(self) -> list[dict[str, Any]]:
        """Return the backbone's group and that of all others."""
        return parameter_groups(self.model, self.config)

    def start_epoch(self, epoch: int) -> list[np.ndarray]:
        """Return cells of similar length, in random order."""
        self.model.train()
        self._epoch = epoch
        self._counted.zero_()
        self._sums.zero_()
        lengths, size = self.values.lengths, self.config.batch_size
        parts = self._together(self.cells.epoch(epoch))
        order = [batch for rows in parts for batch in batches(rows, lengths, size, self.order)]
        self._step, self._steps = 0, len(order)
        return order if len(parts) == 1 else [order[i] for i in self.order.permutation(len(order))]

    def _together(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the cells that may share a batch: all, or those of each dataset where their genes differ."""
        if self.corpus is None or not self.corpus.differs:
            return [rows]
        part = self.corpus.part_of(rows)
        return [rows[part == number] for number in np.unique(part)]

    def make(self, epoch: int, rows: np.ndarray) -> Batch:
        """Make a batch of training cells, or this process's part of it."""
        return prepare(self.values, self.config, _TRAIN, epoch, world().part(rows), rows[:1])

    def loss(self, batch: Batch) -> Tensor:
        """Draw the masks, reconstruct, and count what was masked."""
        if self._interval and self._calls >= self._interval:
            self.model.backbone.redraw_features(self._features)
            self._calls = 0
        self._calls += 1
        self._set_progress(self._epoch + min(1.0, self._step / self._steps))
        self.model.backbone.steps = self._epoch * self._steps + self._step
        self._step += 1
        with autocast(self.device, self.config.precision), self._measured(batch.rows) as lacking:
            drawn = self.model.draw(batch.x, batch.noise, batch.subset)
            hidden = drawn.masked if lacking is None else drawn.masked | lacking
            result = self.model(batch.x, hidden, batch.target)
        if not idle():
            self._sums[0] += (result.error.detach() * cells_of_batch(len(batch.x))).double()
            self._count(batch, drawn)
        return result.loss  # type: ignore[no-any-return]

    def _set_progress(self, epochs: float) -> None:
        """Tell the strategy how much of the training is done; it depends on the batch's place alone."""
        self.model.strategy.progress = epochs / self.config.epochs

    @contextmanager
    def _measured(self, rows: np.ndarray) -> Iterator[Tensor | None]:
        """Let what the cells' dataset measured be eligible; yield the genes that it lacks (L,), None = none.

        They are hidden as a masked gene is, so that the decoder takes none of them for a zero.
        """
        part = int(self.corpus.part_of(rows[:1])[0]) if self.corpus and self.corpus.differs else 0
        if self.corpus is None or part == 0:
            yield None
            return
        before = self.model.eligible
        measured = torch.from_numpy(self.corpus.measured_by(part)).to(self.device)
        genes = torch.arange(len(measured), device=self.device) < len(self.start.names)
        self.model.eligible = measured
        try:
            yield genes & ~measured
        finally:
            self.model.eligible = before

    def _count(self, batch: Batch, drawn: Drawn) -> None:
        """Count the masks of the cells of `data`: those of further datasets have no labels or groups here."""
        rows, x, target = batch.rows, batch.x, batch.target
        if self.corpus is not None:
            own = self.corpus.own(rows)
            if not own.any():
                return
            at = torch.from_numpy(np.flatnonzero(own)).to(self.device)
            rows, x, target = rows[own], x[at], target[at]
            drawn = Drawn(*(part[at] for part in drawn))
        self._counted += len(rows)
        self.counter.add(rows, self._epoch, x, drawn.masked, drawn.eligible, target)
        self._sums[1:] += mask_sums(x, drawn)

    def end_epoch(self, epoch: int, seconds: float) -> tuple[float]:
        """Measure the validation loss and report the epoch."""
        error, *sums = self._sums.tolist()
        self._set_progress(epoch + 1)
        # where each process has a part of the weights, all go through the same cells
        among = ALONE if self.config.parallel == "fsdp" else world()
        asked = who_asks(self.observer)
        loss = validation_loss(self.model, self.values, self.validation, self.config, epoch, among, asked)
        n_cells = self.cells.size
        counted = max(1, int(self._counted))
        row = {
            "epoch": epoch + 1,
            "step": (epoch + 1) * self.n_batches,
            "train_loss": error / n_cells,
            "validation_loss": loss,
            "cells_per_s": n_cells / seconds,
            **mask_shares(sums, counted, int(self.values.measured.sum())),
            "rank_correlation": self.counter.rank_correlation(epoch),
        }
        self.history.append(row | {"cells": counted})
        self.observer.metric(**self.facts, **row)
        return (-loss,)

    def take(self, modules: Sequence[nn.Module]) -> None:
        """Go on with the model as one process has it."""
        for module in modules:
            assert isinstance(module, MaskedModel)
            self.model, self.modules = module, [module]

    def counted(self) -> list[Tensor]:
        """Return the sums of the epoch, and the counts of the masks."""
        # a process that had none of the cells so far has not moved its counts yet
        self.counter.sums = self.counter.sums.to(self.device)
        return [self._sums, self._counted, self.counter.sums]

    def cell_names(self, rows: np.ndarray) -> list[str]:
        """Return the names of cells."""
        return self.values.cell_names(rows)

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the features' random sequence, the counts so far and the epochs' figures."""
        return {
            "features": self._features.get_state(),
            "calls": self._calls,
            "counts": self.counter.sums,
            "history": self.history,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` returned."""
        self._features.set_state(state["features"])
        self._calls, self.counter.sums = state["calls"], state["counts"]
        self.history = list(state["history"])

    def within_epoch(self) -> dict[str, Any]:
        """Return the sums of the epoch under way."""
        return {"sums": self._sums, "step": self._step, "counted": int(self._counted)}

    def go_on_within(self, state: dict[str, Any]) -> None:
        """Go back to what `within_epoch` returned."""
        self._sums.copy_(state["sums"])
        self._step = state["step"]
        self._counted.fill_(state["counted"])

    def result(self) -> Pretrained:
        """Return the trained model and the tables of its masks."""
        if self._official:
            self.model.backbone.redraw_calls.fill_(self._calls)
        shares = ["effective_share", "masked_share", "nonzero_share", "base_rate", "hidden_counts"]
        mask_cells = pd.DataFrame(self.history).reindex(columns=["epoch", "cells", *shares])
        mask_cells.insert(0, "arm", self.arm)
        mask_cells.insert(1, "fold", self.fold)
        mask_cells.insert(2, "seed", self.config.seed)
        masks = self.counter.table(self.arm, self.fold, self.config.seed)
        masks_start = self.first.masks.assign(arm=self.arm, fold=self.fold)
        names = self.start.genes, self.start.names
        return Pretrained(self.model, *names, masks, mask_cells, masks_start, self._reconstruction())

    def _reconstruction(self) -> pd.DataFrame:
        if not world().first:
            return pd.DataFrame()
        if not self.model.backbone.predicts_values:
            self.observer.message(
                "no comparison with simple predictors: this backbone predicts classes of values, of which "
                "counts say nothing"
            )
            return pd.DataFrame()
        self.observer.message("hidden genes of validation cells: the model against simple predictors")
        return check_reconstruction(
            self.model, self.values, self._own, self.validation, self.config, self.observer
        ).assign(arm=self.arm, fold=self.fold, seed=self.config.seed)


@torch.no_grad()
def validation_loss(
    model: MaskedModel,
    values: Values,
    rows: np.ndarray,
    config: PretrainConfig,
    epoch: int,
    among: World = ALONE,
    observer: Observer | None = None,
) -> float:
    """Return the mean squared error on the masked genes of the validation cells.

    The processes `among` which it is shared each compute a part of it, and all have the same.
    """
    model.eval()
    observer = observer or Observer()
    key = epoch if config.validation_masks == "redrawn" else 0
    size = max(1, min(64, _POSITIONS // values.n_positions))
    order = list(token_batches(rows, values.lengths, size))
    errors = torch.zeros(len(order), dtype=torch.float64, device=values.device)
    make, own = partial(prepare, values, config, _VALIDATE, key), among.deal(range(len(order)))
    for number, batch in zip(own, ahead(make, (order[i] for i in own), values.device), strict=True):
        observer.check()
        with autocast(values.device, config.precision):
            drawn = model.draw(batch.x, batch.noise, batch.subset)
            error = model(batch.x, drawn.masked, batch.target).error
        errors[number] = error.double() * len(batch.rows)
    return reduce(add, among.sum(errors).tolist(), 0.0) / max(1, len(rows))


def pretrain_run(config: PretrainConfig, folder: Path, observer: Observer) -> None:
    """Pretrain as a run: tables through `observer`, the model under ``folder/checkpoint``.

    Processes that train together part as the training ends; what follows the first does alone.
    """
    dataset = open_dataset(config.data)
    fold = run_fold(dataset, config)
    if world().first:
        keep_donors(folder, fold, dataset)
    if fold is None:
        observer.message("shared pretraining: every donor is seen, so a test on any donor is optimistic")
    else:
        observer.message(f"fold {fold.index}: the test donors {', '.join(fold.test)} are never seen")
    if is_bundle(config.backbone):
        say_of_weights(dataset, config.backbone, observer)
    result = pretrain(dataset, config, fold, observer, state=folder / STATE / "pretrain")
    first = world().first
    leave()
    if not first:
        return
    save_model(folder / "checkpoint", result.model, result.names, arm_name(config), weights_of(config))
    values = model_values(dataset, result.model, result.names, pick_device(config.device))
    name = arm_name(config) if fold is None else f"{arm_name(config)}.fold{fold.index}"
    path = folder / "pooled" / f"{name}.npy"
    write_pooled(path, result.model, values, True, config.precision, observer)
    observer.table("mask_cells", result.mask_cells)
    observer.table("masks_start", result.masks_start)
    observer.table("reconstruction", result.reconstruction)
    masks = result.masks
    if fold is not None:
        masks = pd.concat([masks[masks["by"] == "all"], sum_models(masks)], ignore_index=True)
    observer.table("masks", masks)


def weights_of(config: PretrainConfig) -> tuple[str, str] | None:
    """Return name and key of the imported weights that a pretraining starts from, None for a size."""
    return (config.backbone, config.weights_key) if is_bundle(config.backbone) else None
