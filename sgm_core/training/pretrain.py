"""Masked pretraining: a loop that can be read in one sitting."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import Fold, donor_folds, fold_cells
from sgm_core.errors import InputError
from sgm_core.model.backbone import BackboneConfig
from sgm_core.model.checkpoint import save_model
from sgm_core.model.masking import cell_noise
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.sizes import backbone_config
from sgm_core.progress import Observer
from sgm_core.training.config import PretrainConfig
from sgm_core.training.counts import MaskCounter, sum_folds
from sgm_core.training.data import Values, batches, informative_genes
from sgm_core.training.device import autocast, pick_device, schedule
from sgm_core.training.pooling import pooled_vectors

_TRAIN, _VALIDATE, _ORDER = range(3)  # purposes of random numbers
VALIDATION_CELLS = 512


@dataclass(frozen=True)
class Pretrained:
    """What pretraining gives: the model, its genes (columns of the dataset), and the tables of its masks."""

    model: MaskedModel
    genes: np.ndarray
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
    return MaskedModel(shape, config.to_dict(), torch.ones(shape.n_genes, dtype=torch.bool))


def pretrain(
    dataset: Dataset,
    config: PretrainConfig,
    fold: Fold | None,
    observer: Observer | None = None,
    shape: BackboneConfig | None = None,
) -> Pretrained:
    """Pretrain one backbone.

    Parameters
    ----------
    dataset : the cells; those without a label take part
    config : every choice
    fold : its test donors are never seen, neither by the weights nor by the choice of genes; None = shared
    observer : is told the metrics of each epoch
    shape : the backbone's shape, by default that of ``config.backbone``

    Raises
    ------
    Cancelled
        If the user asked for it.
    """
    observer = observer or Observer()
    device = pick_device(config.device)
    train, validation = pretrain_cells(dataset, fold)
    genes = informative_genes(dataset, train, config.n_genes)
    values = Values(dataset, genes, device)
    shape = shape or backbone_config(config.backbone, len(genes))
    model = untrained(shape, config).to(device)
    optimiser = torch.optim.Adam(
        [
            {
                "params": list(model.backbone.parameters()),
                "lr": config.lr_backbone,
                "base": config.lr_backbone,
            },
            {"params": model.new_parameters(), "lr": config.lr_new, "base": config.lr_new},
        ],
        weight_decay=config.weight_decay,
        amsgrad=config.amsgrad,
    )
    arm, fold_index = arm_name(config), -1 if fold is None else fold.index
    counter = MaskCounter(dataset, dataset.genes[genes], config.epochs)
    rng = np.random.default_rng([config.seed, _ORDER])
    validation = rng.permutation(validation)[:VALIDATION_CELLS]
    steps = config.epochs * -(-len(train) // (config.batch_size * config.accumulation))
    history: list[dict[str, float]] = []
    best, best_state, waited, update = np.inf, None, 0, 0
    for epoch in range(config.epochs):
        model.train()
        started, seen, last_said = time.perf_counter(), 0, 0.0
        sums = dict.fromkeys(("error", "share", "masked", "nonzero", "base"), 0.0)
        for number, rows in enumerate(batches(train, values.lengths, config.batch_size, rng), 1):
            observer.check()
            x = values.batch(rows)
            noise, subset = random_numbers(config, _TRAIN, epoch, rows, len(genes), device)
            with autocast(device, config.precision):
                drawn = model.draw(x, noise, subset)
                result = model(x, drawn.masked)
            (result.loss / config.accumulation).backward()
            counter.add(rows, epoch, x, drawn.masked, model.eligible)
            seen += len(rows)
            if number % config.accumulation == 0 or seen == len(train):
                if config.clip:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                for group in optimiser.param_groups:
                    group["lr"] = group["base"] * schedule(config.schedule, update, steps)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                update += 1
            sums["error"] += float(result.error.detach()) * len(rows)
            sums["share"] += float(drawn.effective_share.sum())
            sums["masked"] += float(drawn.masked.sum())
            sums["nonzero"] += float((drawn.masked & (x > 0)).sum())
            sums["base"] += float((x > 0).sum())
            if time.perf_counter() - last_said > 0.5:
                last_said = time.perf_counter()
                observer.progress(epoch + seen / len(train), config.epochs, f"pretraining, epoch {epoch + 1}")
        seconds = time.perf_counter() - started
        loss = validation_loss(model, values, validation, config, epoch)
        positions = len(train) * len(genes)
        row = {
            "epoch": epoch + 1,
            "train_loss": sums["error"] / len(train),
            "validation_loss": loss,
            "cells_per_s": len(train) / seconds,
            "effective_share": sums["share"] / len(train),
            "masked_share": sums["masked"] / positions,
            "nonzero_share": sums["nonzero"] / max(1.0, sums["masked"]),
            "base_rate": sums["base"] / positions,
            "rank_correlation": counter.rank_correlation(epoch),
        }
        history.append(row | {"cells": len(train)})
        observer.metric(phase="pretrain", arm=arm, fold=fold_index, **row)
        if loss < best:
            best, waited = loss, 0
            if config.patience is not None:
                best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        else:
            waited += 1
            if config.patience is not None and waited >= config.patience:
                observer.message(f"stopped after epoch {epoch + 1}: no improvement for {waited} epochs")
                break
    if best_state is not None:
        model.load_state_dict(best_state)
    columns = ["epoch", "cells", "effective_share", "masked_share", "nonzero_share", "base_rate"]
    mask_cells = pd.DataFrame(history)[columns]
    mask_cells.insert(0, "arm", arm)
    mask_cells.insert(1, "fold", fold_index)
    return Pretrained(model, genes, counter.table(arm, fold_index), mask_cells)


def random_numbers(
    config: PretrainConfig, purpose: int, epoch: int, rows: np.ndarray, n_genes: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return each cell's noise (B, G) and subset of latents (B, R), keyed by (purpose, epoch, cell)."""
    noise = cell_noise(config.seed, purpose, epoch, rows, n_genes + config.latents)
    subset = noise[:, n_genes:].topk(min(config.subset, config.latents), dim=1).indices
    if config.subset_per == "batch":
        subset = subset[:1].expand(len(rows), -1)
    return noise[:, :n_genes].to(device), subset.to(device)


@torch.no_grad()
def validation_loss(
    model: MaskedModel, values: Values, rows: np.ndarray, config: PretrainConfig, epoch: int
) -> float:
    """Return the mean squared error on the masked genes of the validation cells."""
    model.eval()
    key = epoch if config.validation_masks == "redrawn" else 0
    total = 0.0
    for batch in batches(rows, values.lengths, 64):
        x = values.batch(batch)
        noise, subset = random_numbers(config, _VALIDATE, key, batch, x.shape[1], values.device)
        with autocast(values.device, config.precision):
            total += float(model(x, model.draw(x, noise, subset).masked).error) * len(batch)
    return total / max(1, len(rows))


def pretrain_run(config: PretrainConfig, folder: Path, observer: Observer) -> None:
    """Pretrain as a run: tables through `observer`, the model under ``folder/checkpoint``."""
    dataset = open_dataset(config.data)
    fold = pick_fold(dataset, config.fold, config.n_folds, config.label)
    if fold is None:
        observer.message("shared pretraining: every donor is seen, so a test on any donor is optimistic")
    else:
        observer.message(f"fold {fold.index}: the test donors {', '.join(fold.test)} are never seen")
    result = pretrain(dataset, config, fold, observer)
    save_model(folder / "checkpoint", result.model, dataset.genes[result.genes], arm_name(config))
    values = Values(dataset, result.genes, pick_device(config.device))
    pooled = pooled_vectors(result.model, values, np.arange(dataset.n_cells), precision=config.precision)
    (folder / "pooled").mkdir(exist_ok=True)
    name = arm_name(config) if fold is None else f"{arm_name(config)}.fold{fold.index}"
    np.save(folder / "pooled" / f"{name}.npy", pooled)
    observer.table("mask_cells", result.mask_cells)
    masks = result.masks
    if fold is not None:
        masks = pd.concat([masks[masks["by"] == "all"], sum_folds(masks)], ignore_index=True)
    observer.table("masks", masks)
