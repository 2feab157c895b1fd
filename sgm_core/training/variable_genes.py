"""The most variable genes of cells that come in blocks."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

_BINS = 20


@dataclass(frozen=True)
class GeneSums:
    """Sums over cells, per gene; all (G,).

    Parameters
    ----------
    n_cells : number of cells
    detected : cells with a count, int64
    total, squares : of 10,000 count / total and of its square, float64
    """

    n_cells: int
    detected: np.ndarray
    total: np.ndarray
    squares: np.ndarray


def sums_of(blocks: Iterable[sparse.csr_matrix], n_genes: int) -> GeneSums:
    """Return the sums over cells that come as normalised ln1p values."""
    n_cells, detected = 0, np.zeros(n_genes, np.int64)
    total, squares = np.zeros(n_genes), np.zeros(n_genes)
    for block in blocks:
        values = np.expm1(block.data.astype(np.float64))
        total += np.bincount(block.indices, values, n_genes)
        squares += np.bincount(block.indices, values * values, n_genes)
        detected += np.bincount(block.indices, minlength=n_genes)
        n_cells += block.shape[0]
    return GeneSums(n_cells, detected, total, squares)


def variable_genes(sums: GeneSums, n: int) -> np.ndarray:
    """Return the columns of the `n` most variable genes, ascending: dispersion among genes of equal mean.

    The measure is Seurat's (Satija et al. 2015, doi:10.1038/nbt.3192), as
    `scanpy.pp.highly_variable_genes` has it (tested), which wants all cells in memory: log of variance / mean
    of the values before the logarithm, as a z-score within 20 bins of the mean. Genes that no cell expresses
    are left out first, since they would move the bins. Genes of equal score at the end are all taken.

    Parameters
    ----------
    sums : of the cells
    n : number of genes; all that vary where there are fewer
    """
    seen = np.flatnonzero(sums.detected)
    n = min(n, len(seen))
    mean = sums.total[seen] / sums.n_cells
    variance = (sums.squares[seen] - sums.n_cells * mean**2) / max(sums.n_cells - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        dispersion = np.log(np.where(variance > 1e-12 * mean**2, variance, np.nan) / mean)
    bins = pd.cut(pd.Series(np.log1p(mean)), bins=_BINS, labels=False)
    groups = pd.Series(dispersion).groupby(bins)
    centre, spread = groups.transform("mean"), groups.transform("std")
    alone = spread.isna()  # the only gene of its bin counts as one spread above
    score = ((dispersion - centre.where(~alone, 0)) / spread.where(~alone, centre)).to_numpy()
    finite = score[np.isfinite(score)]
    if not len(finite):
        return seen[:0]
    least = np.partition(finite, -min(n, len(finite)))[-min(n, len(finite))]
    return seen[np.nan_to_num(score, nan=-np.inf) >= least]
