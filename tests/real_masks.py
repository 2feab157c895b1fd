"""Masks of real models on the small simulated dataset: before the first update, and over training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.model.sizes import backbone_config
from sgm_core.training.config import PretrainConfig
from sgm_core.training.counts import MaskCounter
from sgm_core.training.data import batches
from sgm_core.training.pretrain import arm_name, prepare, pretrain, pretrain_cells
from sgm_core.training.start import initial_state

N_GENES = 200
FIELDS: dict[str, Any] = {
    "n_genes": N_GENES, "latents": 4, "latent_width": 16, "latent_heads": 2, "subset": 2, "epochs": 2,
    "device": "cpu", "batch_size": 64,
}  # fmt: skip
SHAPE = backbone_config("tiny", N_GENES, width=8)


@dataclass(frozen=True)
class RealMasks:
    """The run tables of a small comparison of one arm: trained, and before the first update."""

    masks: pd.DataFrame
    start: pd.DataFrame
    cells: pd.DataFrame


def untrained_masks(
    dataset: Dataset,
    config: PretrainConfig,
    fold_index: int,
    first: int = 0,
    draws: int = 2,
    random_key: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the masks of the training cells by a model without an update; returns `masks`, `mask_cells`.

    Parameters
    ----------
    first, draws
        Number of the first draw, and how often each cell is drawn.
    random_key
        Make the key projection random, whatever the configuration starts it from: masks are then not uniform.
    """
    train, _ = pretrain_cells(dataset, donor_folds(dataset, n_folds=3)[fold_index])
    start = initial_state(dataset, config, train, torch.device("cpu"), SHAPE)
    model, arm = start.model, arm_name(config)
    if random_key:
        assert model.latents is not None
        torch.manual_seed(config.seed)
        model.latents.key.reset_parameters()
    counter, rows = MaskCounter(dataset, start.names, draws), []
    for draw in range(draws):
        shares = []
        for batch_rows in batches(train, start.values.lengths, 128, np.random.default_rng(draw)):
            batch = prepare(start.values, config, 0, first + draw, batch_rows)
            drawn = model.draw(batch.x, batch.noise, batch.subset)
            counter.add(batch_rows, draw, batch.x, drawn.masked, drawn.eligible, batch.target)
            shares.append(drawn.effective_share)
        row = {"arm": arm, "fold": fold_index, "seed": config.seed, "epoch": draw + 1, "cells": len(train)}
        rows.append(row | {"effective_share": float(torch.cat(shares).mean())})
    table = counter.table(arm, fold_index, config.seed)
    table = table[table["by"] == "all"]
    facts = table[["masked", "opportunities", "masked_nonzero", "opportunities_nonzero"]].sum()
    cells = pd.DataFrame(rows).assign(
        masked_share=facts["masked"] / facts["opportunities"],
        nonzero_share=facts["masked_nonzero"] / facts["masked"],
        base_rate=facts["opportunities_nonzero"] / facts["opportunities"],
    )
    return table, cells


def real_masks(dataset: Dataset, seeds: int, folds: int, train: bool = True, **fields: Any) -> RealMasks:
    """Take a model for each seed and fold, trained or not; keep what it hides and hid before training."""
    masks, start, cells = [], [], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model loses more to waiting for threads than they bring
    for seed in range(seeds):
        config = PretrainConfig(data=dataset.name, seed=seed, **FIELDS | fields)
        for k in range(folds):
            start.append(untrained_masks(dataset, config, k, random_key=not train)[0])
            if train:
                result = pretrain(dataset, config, donor_folds(dataset, n_folds=3)[k], shape=SHAPE)
                table, rows = result.masks[result.masks["by"] == "all"], result.mask_cells
            else:
                table, rows = untrained_masks(dataset, config, k, first=10, random_key=True)
            masks.append(table.assign(seed=seed))
            cells.append(rows.assign(seed=seed))
    torch.set_num_threads(threads)
    return RealMasks(*(pd.concat(parts, ignore_index=True) for parts in (masks, start, cells)))
