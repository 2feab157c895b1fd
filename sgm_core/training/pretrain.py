"""Masked pretraining: a loop that can be read in one sitting."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.seen import keep_donors
from sgm_core.cells.split import Fold, donor_folds, fold_cells
from sgm_core.errors import InputError
from sgm_core.home import whole_file
from sgm_core.model.backbone import BackboneConfig
from sgm_core.model.checkpoint import save_model
from sgm_core.model.masking import cell_noise
from sgm_core.model.reconstruction import Drawn, MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.backbones import corpus_sentence, is_bundle
from sgm_core.training.config import PretrainConfig
from sgm_core.training.counts import MaskCounter, sum_folds
from sgm_core.training.data import Values, ahead, batches, group_size, model_values, to_device, token_batches
from sgm_core.training.device import autocast, pick_device, schedule
from sgm_core.training.pooling import pooled_vectors
from sgm_core.training.start import begin
from sgm_core.training.stopping import EarlyStopping

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
    """

    model: MaskedModel
    genes: np.ndarray
    names: np.ndarray
    masks: pd.DataFrame
    mask_cells: pd.DataFrame


def arm_name(config: PretrainConfig) -> str:
    """Return the arm that a configuration is: its masker, with ``+summary`` where it has that path."""
    if config.masker == "self-guided":
        return "self-guided"
    return config.masker if config.summary == "none" else f"{config.masker}+summary"


def pick_fold(dataset: Dataset, index: int | None, n_folds: int, label: str | None) -> Fold | None:
    """Return the donor fold `index`, or None for shared pretraining."""
    if index is None:
        return None
    if not 0 <= index < n_folds:
        raise InputError(f"fold is {index}: with {n_folds} folds it is 0 to {n_folds - 1}")
    return donor_folds(dataset, "cv", n_folds, 0, label)[index]


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
    return [{"params": parameters, "lr": rate, "base": rate} for parameters, rate in rates]


@dataclass(frozen=True)
class Batch:
    """Cells ready for a step: what the model sees and what it is to predict (B, L), and random numbers."""

    rows: np.ndarray
    x: Tensor
    target: Tensor
    noise: Tensor
    subset: Tensor


def prepare(values: Values, config: PretrainConfig, purpose: int, epoch: int, rows: np.ndarray) -> Batch:
    """Make the batch of the cells `rows`; in training, a share of them may be thinned."""
    target = x = values.batch(rows)
    if config.downsample and purpose == _TRAIN:
        x = values.thinned(rows, config.downsample, (config.seed, _THIN, epoch))
    noise, subset = random_numbers(config, purpose, epoch, rows, values.n_positions, values.device)
    return Batch(rows, x, target, noise, subset)


def pretrain(
    dataset: Dataset,
    config: PretrainConfig,
    fold: Fold | None,
    observer: Observer | None = None,
    shape: BackboneConfig | None = None,
) -> Pretrained:
    """Pretrain one backbone, from random or from imported weights.

    Parameters
    ----------
    dataset : the cells; those without a label take part
    config : every choice
    fold : its test donors are never seen, neither by the weights nor by the choice of genes; None = shared
    observer : is told the metrics of each epoch
    shape : the backbone's shape, by default that of ``config.backbone``

    Raises
    ------
    InputError
        If the dataset does not fit the imported weights, or cells are too long.
    Cancelled
        If the user asked for it.

    Notes
    -----
    A batch's loss is the mean over its masked positions, an update's the mean over its batches.
    """
    observer = observer or Observer()
    device = pick_device(config.device)
    train, validation = pretrain_cells(dataset, fold)
    start = begin(dataset, config, train, device, shape)
    model, values = start.model, start.values
    optimiser = torch.optim.Adam(
        parameter_groups(model, config), weight_decay=config.weight_decay, amsgrad=config.amsgrad
    )
    arm, fold_index = arm_name(config), -1 if fold is None else fold.index
    measured = None if values.measured.all() else np.flatnonzero(values.measured)
    measured_names = start.names if measured is None else start.names[measured]
    counter = MaskCounter(dataset, measured_names, config.epochs, measured)
    rng = np.random.default_rng([config.seed, _ORDER])
    features = torch.Generator().manual_seed(config.seed * 8 + _FEATURES)
    validation = rng.permutation(validation)[:VALIDATION_CELLS]
    updates = config.epochs * -(-len(train) // (config.batch_size * config.accumulation))
    history: list[dict[str, float]] = []
    official = config.compat == "official"
    interval = config.redraw_interval or (OFFICIAL_INTERVAL if official else None)
    calls = int(model.backbone.redraw_calls) if official else 0  # steps since the features were drawn
    stopping = None if config.patience is None else EarlyStopping(config.patience, [model])
    update = 0
    for epoch in range(config.epochs):
        model.train()
        started, seen, last_said = time.perf_counter(), 0, 0.0
        sums = torch.zeros(5, dtype=torch.float64, device=device)  # error, share, masked, non-zero, base
        order = list(batches(train, values.lengths, config.batch_size, rng))
        ready = ahead(partial(prepare, values, config, _TRAIN, epoch), order, device)
        for number, batch in enumerate(ready):
            observer.check()
            if interval and calls >= interval:
                model.backbone.redraw_features(features)
                calls = 0
            calls += 1
            with autocast(device, config.precision):
                drawn = model.draw(batch.x, batch.noise, batch.subset)
                result = model(batch.x, drawn.masked, batch.target)
            (result.loss / group_size(number, len(order), config.accumulation)).backward()
            counter.add(batch.rows, epoch, batch.x, drawn.masked, model.eligible, batch.target)
            seen += len(batch.rows)
            if (number + 1) % config.accumulation == 0 or number + 1 == len(order):
                if config.clip:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                for group in optimiser.param_groups:
                    group["lr"] = group["base"] * schedule(config.schedule, update, updates)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                update += 1
            sums += _sums(batch.x, drawn, result.error.detach(), model.eligible)
            if time.perf_counter() - last_said > 0.5:
                last_said = time.perf_counter()
                observer.progress(epoch + seen / len(train), config.epochs, f"pretraining, epoch {epoch + 1}")
        error, share, masked, nonzero, base = sums.tolist()
        seconds = time.perf_counter() - started
        loss = validation_loss(model, values, validation, config, epoch)
        positions = len(train) * int(values.measured.sum())
        row = {
            "epoch": epoch + 1,
            "train_loss": error / len(train),
            "validation_loss": loss,
            "cells_per_s": len(train) / seconds,
            "effective_share": share / len(train),
            "masked_share": masked / positions,
            "nonzero_share": nonzero / max(1.0, masked),
            "base_rate": base / positions,
            "rank_correlation": counter.rank_correlation(epoch),
        }
        history.append(row | {"cells": len(train)})
        observer.metric(phase="pretrain", arm=arm, fold=fold_index, **row)
        if stopping is not None and stopping.ends(loss):
            stopped = f"stopped after epoch {epoch + 1}: no improvement for {stopping.patience} epochs"
            observer.message(stopped)
            break
    if stopping is not None:
        stopping.restore()
    if official:
        model.backbone.redraw_calls.fill_(calls)
    columns = ["epoch", "cells", "effective_share", "masked_share", "nonzero_share", "base_rate"]
    mask_cells = pd.DataFrame(history)[columns]
    mask_cells.insert(0, "arm", arm)
    mask_cells.insert(1, "fold", fold_index)
    return Pretrained(model, start.genes, start.names, counter.table(arm, fold_index), mask_cells)


def _sums(x: Tensor, drawn: Drawn, error: Tensor, eligible: Tensor) -> Tensor:
    """Return a batch's sums over cells (5,): error, effective share, masked, masked non-zero, non-zero."""
    nonzero = (x > 0) & eligible
    parts = (
        error * len(x),
        drawn.effective_share.sum(),
        drawn.masked.sum(),
        (drawn.masked & nonzero).sum(),
        nonzero.sum(),
    )
    return torch.stack([part.double() for part in parts])


def random_numbers(
    config: PretrainConfig,
    purpose: int,
    epoch: int,
    rows: np.ndarray,
    n_positions: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Return each cell's noise (B, L) and subset of latents (B, R), keyed by (purpose, epoch, cell)."""
    noise = cell_noise(config.seed, purpose, epoch, rows, n_positions + config.latents)
    subset = noise[:, n_positions:].topk(min(config.subset, config.latents), dim=1).indices
    if config.subset_per == "batch":
        subset = subset[:1].expand(len(rows), -1)
    return to_device(noise[:, :n_positions].contiguous(), device), to_device(subset.contiguous(), device)


@torch.no_grad()
def validation_loss(
    model: MaskedModel, values: Values, rows: np.ndarray, config: PretrainConfig, epoch: int
) -> float:
    """Return the mean squared error on the masked genes of the validation cells."""
    model.eval()
    key = epoch if config.validation_masks == "redrawn" else 0
    total = torch.zeros((), dtype=torch.float64, device=values.device)
    size = max(1, min(64, _POSITIONS // values.n_positions))
    order = token_batches(rows, values.lengths, size)
    for batch in ahead(partial(prepare, values, config, _VALIDATE, key), order, values.device):
        with autocast(values.device, config.precision):
            drawn = model.draw(batch.x, batch.noise, batch.subset)
            total += model(batch.x, drawn.masked, batch.target).error.double() * len(batch.rows)
    return float(total) / max(1, len(rows))


def pretrain_run(config: PretrainConfig, folder: Path, observer: Observer) -> None:
    """Pretrain as a run: tables through `observer`, the model under ``folder/checkpoint``."""
    dataset = open_dataset(config.data)
    fold = pick_fold(dataset, config.fold, config.n_folds, config.label)
    keep_donors(folder, fold, dataset)
    if fold is None:
        observer.message("shared pretraining: every donor is seen, so a test on any donor is optimistic")
    else:
        observer.message(f"fold {fold.index}: the test donors {', '.join(fold.test)} are never seen")
    if is_bundle(config.backbone):
        observer.message(corpus_sentence(dataset, config.backbone))
    result = pretrain(dataset, config, fold, observer)
    save_model(folder / "checkpoint", result.model, result.names, arm_name(config), weights_of(config))
    values = model_values(dataset, result.model, result.names, pick_device(config.device))
    everyone = np.arange(dataset.n_cells)
    pooled = pooled_vectors(result.model, values, everyone, True, config.precision, observer)
    name = arm_name(config) if fold is None else f"{arm_name(config)}.fold{fold.index}"
    with whole_file(folder / "pooled" / f"{name}.npy") as temporary, temporary.open("wb") as stream:
        np.save(stream, pooled)
    observer.table("mask_cells", result.mask_cells)
    masks = result.masks
    if fold is not None:
        masks = pd.concat([masks[masks["by"] == "all"], sum_folds(masks)], ignore_index=True)
    observer.table("masks", masks)


def weights_of(config: PretrainConfig) -> tuple[str, str] | None:
    """Return name and key of the imported weights that a pretraining starts from, None for a size."""
    return (config.backbone, config.weights_key) if is_bundle(config.backbone) else None
