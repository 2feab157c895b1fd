"""From a dataset on disk to batches of normalised values."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError

MIN_DETECTION = 0.01
"""A gene seen in fewer training cells than this share says too little to be a token."""


def informative_genes(dataset: Dataset, rows: np.ndarray, n_genes: int) -> np.ndarray:
    """Choose the genes with the largest variance-to-mean ratio of normalised values among the cells `rows`.

    Measured on the validation donors of the AML data against variance, detection and Seurat's
    dispersion: it keeps as much of the cell types with a quarter of the expressed genes a cell
    (`benchmarks/results/tiny_search.md`).

    Parameters
    ----------
    rows : row numbers of the training cells (never of test cells)
    n_genes : how many; fewer come back when fewer are detected in 1 % of the cells

    Returns
    -------
    Column numbers, ascending.
    """
    values = dataset.lognorm(rows)
    mean = np.asarray(values.mean(0)).ravel()
    variance = np.asarray(values.multiply(values).mean(0)).ravel() - mean**2
    detection = np.asarray((values > 0).mean(0)).ravel()
    ratio = np.where(detection >= MIN_DETECTION, variance / np.maximum(mean, 1e-9), -1.0)
    order = np.argsort(-ratio, kind="stable")[:n_genes]
    chosen = np.sort(order[ratio[order] > 0])
    if len(chosen) < 2:
        raise InputError(
            f"dataset {dataset.name!r} has {len(chosen)} genes that vary and are seen in at least "
            f"{MIN_DETECTION:.0%} of the training cells: a backbone needs more; check the counts and filters"
        )
    return chosen


class Values:
    """Normalised values of the chosen genes, sparse in memory, dense by the batch.

    Parameters
    ----------
    dataset, genes : the dataset and its chosen columns
    device : where batches go
    """

    def __init__(self, dataset: Dataset, genes: np.ndarray, device: torch.device) -> None:
        self.matrix: sparse.csr_matrix = dataset.lognorm(None, genes)
        self.device = device

    @property
    def lengths(self) -> np.ndarray:
        """Number of expressed chosen genes of every cell."""
        return np.diff(self.matrix.indptr)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Return the values (B, G) of the cells `rows`."""
        return torch.from_numpy(self.matrix[rows].toarray()).to(self.device)


def batches(
    rows: np.ndarray, lengths: np.ndarray, size: int, rng: np.random.Generator | None = None
) -> Iterator[np.ndarray]:
    """Yield batches of cells of similar length, so that little is padded.

    With `rng` the order is random: cells are shuffled, sorted by length within blocks of 16 batches, and
    the batches of a block shuffled again. Without it, cells come sorted by length.
    """
    if rng is None:
        ordered = rows[np.argsort(lengths[rows], kind="stable")]
        yield from (ordered[i : i + size] for i in range(0, len(ordered), size))
        return
    shuffled = rng.permutation(rows)
    for start in range(0, len(shuffled), 16 * size):
        block = shuffled[start : start + 16 * size]
        block = block[np.argsort(lengths[block], kind="stable")]
        for i in rng.permutation(np.arange(0, len(block), size)):
            yield block[i : i + size]
