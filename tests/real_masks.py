"""Masks of real models on the small simulated dataset: before the first update, and over training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.training.config import PretrainConfig
from sgm_core.training.counts import MaskCounter
from sgm_core.training.data import batches
from sgm_core.training.pretrain import arm_name, prepare, pretrain, pretrain_cells
from sgm_core.training.start import begin

FIELDS: dict[str, Any] = {
    "n_genes": 300, "latents": 4, "latent_width": 16, "latent_heads": 2, "subset": 2, "epochs": 2,
    "device": "cpu", "batch_size": 64,
}  # fmt: skip


@dataclass(frozen=True)
class RealMasks:
    """The run tables of a small comparison of one arm: trained, and before the first update."""

    masks: pd.DataFrame
    start: pd.DataFrame
    cells: pd.DataFrame


def untrained_masks(dataset: Dataset, config: PretrainConfig, fold_index: int, draws: int = 1) -> pd.DataFrame:
    """Draw the masks of the training cells by the model as it is before the first update."""
    fold = donor_folds(dataset, n_folds=3)[fold_index]
    train, _ = pretrain_cells(dataset, fold)
    start = begin(dataset, config, train, torch.device("cpu"))
    counter = MaskCounter(dataset, start.names, draws)
    rng = np.random.default_rng(0)
    start.model.eval()
    for epoch in range(draws):
        for rows in batches(train, start.values.lengths, 128, rng):
            batch = prepare(start.values, config, 0, epoch, rows)
            drawn = start.model.draw(batch.x, batch.noise, batch.subset)
            counter.add(rows, epoch, batch.x, drawn.masked, start.model.eligible, batch.target)
    table = counter.table(arm_name(config), fold_index)
    return table[table["by"] == "all"].assign(seed=config.seed)


def real_masks(dataset: Dataset, seeds: int, folds: int, **fields: Any) -> RealMasks:
    """Train a model for each seed and fold, and keep what it hid while training and before."""
    masks, start, cells = [], [], []
    for seed in range(seeds):
        config = PretrainConfig(data=dataset.name, seed=seed, **FIELDS | fields)
        for k in range(folds):
            result = pretrain(dataset, config, donor_folds(dataset, n_folds=3)[k])
            table = result.masks[result.masks["by"] == "all"]
            masks.append(table.assign(seed=seed))
            cells.append(result.mask_cells.assign(seed=seed))
            start.append(untrained_masks(dataset, config, k, draws=2))
    return RealMasks(*(pd.concat(parts, ignore_index=True) for parts in (masks, start, cells)))
