"""How often the genes that a cell expresses were masked during pretraining."""

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.errors import NotFoundError

_BLOCK_CELLS = 8192


def masking_rates(masks: pd.DataFrame, arm: str) -> pd.Series:
    """Return how often each gene was masked where it was expressed, over all models of an arm.

    Parameters
    ----------
    masks
        The run table ``masks``.
    arm
        One of its arms.

    Returns
    -------
    Series
        Masked positions per expressed position (0 to 1), by gene; genes never seen expressed are left out.

    Raises
    ------
    NotFoundError
        If the table has no masks of the arm.
    """
    mine = masks[(masks["by"] == "all") & (masks["arm"] == arm)]
    if mine.empty:
        raise NotFoundError(f"the run counted no masks of the arm {arm!r}: it has none in pretraining")
    sums = mine.groupby("gene")[["masked_nonzero", "opportunities_nonzero"]].sum()
    sums = sums[sums["opportunities_nonzero"] > 0]
    return sums["masked_nonzero"] / sums["opportunities_nonzero"]


def masked_share(dataset: Dataset, rates: pd.Series) -> np.ndarray:
    """Return how often the genes of each cell were masked: the mean of `rates` over the genes it expresses.

    The counts are read once, some thousand cells at a time.

    Parameters
    ----------
    dataset
        Where the cells are.
    rates
        Masked share of each gene, by gene (`masking_rates`).

    Returns
    -------
    ndarray
        float32 (n_cells,), 0 to 1; NaN where a cell expresses none of the genes.
    """
    dataset.require_counts("the masked share of a cell's genes")
    rate = rates.reindex(pd.Index(dataset.genes)).to_numpy(np.float64)
    known = np.isfinite(rate)
    both = np.column_stack([np.where(known, rate, 0), known]).astype(np.float64)
    shares = np.empty(dataset.n_cells, dtype=np.float32)
    for start in range(0, dataset.n_cells, _BLOCK_CELLS):
        counts = dataset.take(slice(start, start + _BLOCK_CELLS))
        expressed = counts.astype(bool).astype(np.float32)
        total, n = (expressed @ both).T
        with np.errstate(invalid="ignore"):
            shares[start : start + len(n)] = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    return shares
