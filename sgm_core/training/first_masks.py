"""The masks that a model draws before its first step: what trained masks are compared with."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sgm_core.device import autocast
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.training.config import PretrainConfig
from sgm_core.training.counts import MaskCounter
from sgm_core.training.data import Values, token_batches
from sgm_core.training.draws import mask_shares, mask_sums, random_numbers

FIRST_CELLS = 2000
_PURPOSE = 16  # of random numbers, apart from those of `sgm_core.training.pretrain`
_POSITIONS = 262_144  # of a batch


@dataclass(frozen=True)
class FirstMasks:
    """Masks at step 0: the run table `masks` over all cells, and the row of `mask_cells` (epoch 0)."""

    masks: pd.DataFrame
    cells: dict[str, float]


@torch.no_grad()
def first_masks(
    model: MaskedModel,
    values: Values,
    config: PretrainConfig,
    train: np.ndarray,
    genes: np.ndarray,
    positions: np.ndarray | None,
) -> FirstMasks:
    """Draw the masks of up to 2,000 training cells as the untrained model would.

    Parameters
    ----------
    model, values, config : as they go into training
    train : rows of the training cells
    genes, positions : see `MaskCounter`

    Returns
    -------
    FirstMasks
        ``arm`` and ``fold`` of the table are left to the caller.
    """
    rng = np.random.default_rng([config.seed, _PURPOSE])
    rows = np.sort(rng.permutation(train)[:FIRST_CELLS])
    counter = MaskCounter(values.dataset, genes, 1, positions, groups=False)
    was_training = model.training
    model.eval()
    sums = torch.zeros(5, dtype=torch.float64, device=values.device)
    width = values.n_positions
    for batch in token_batches(rows, values.lengths, max(1, min(128, _POSITIONS // width))):
        x = values.batch(batch)
        noise, subset = random_numbers(config, _PURPOSE, 0, batch, width, values.device)
        with autocast(values.device, config.precision):
            drawn = model.draw(x, noise, subset)
        counter.add(batch, 0, x, drawn.masked, drawn.eligible)
        sums += mask_sums(x, drawn)
    model.train(was_training)
    shares = mask_shares(sums.tolist(), len(rows), int(values.measured.sum()))
    cells = {"epoch": 0, "cells": len(rows), **shares}
    table = counter.table("", -1, config.seed)
    return FirstMasks(table[table["by"] == "all"].reset_index(drop=True), cells)
