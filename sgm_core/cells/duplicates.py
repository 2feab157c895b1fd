"""The same cell in two datasets, found by its counts whatever it and its donor are called."""

from functools import partial

import numpy as np

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.kept_arrays import kept_array

_KIND, _CHUNK = "prints-1", 4096
_STEP, _FIRST, _SECOND = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def common_genes(first: Dataset, second: Dataset) -> np.ndarray:
    """Return the symbols that both datasets have, sorted."""
    return np.intersect1d(first.genes, second.genes)


def cell_prints(dataset: Dataset, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for each cell that follows from its raw counts of some genes.

    Two cells with the same counts of all these genes have the same number; two others have it with a chance
    of 1 in 2^64. Cells with few counts can be equal without being the same cell. The counts are read in
    blocks, once for a choice of genes: the numbers are kept beside the dataset.

    Parameters
    ----------
    dataset
        The cells.
    genes
        Symbols, sorted; the dataset has all of them.

    Returns
    -------
    prints, detected
        uint64 (n_cells,), and how many of the genes each cell has a count of, int64 (n_cells,).
    """
    key = "\n".join(genes).encode()
    prints, detected = kept_array(dataset, _KIND, key, partial(_make, dataset, genes))
    return prints, detected.astype(np.int64)


def _make(dataset: Dataset, genes: np.ndarray) -> np.ndarray:
    rank = np.zeros(dataset.n_genes, np.uint64)  # 0 = not among the genes
    rank[dataset.gene_columns(genes)] = np.arange(1, len(genes) + 1, dtype=np.uint64)
    result = np.zeros((2, dataset.n_cells), np.uint64)
    for start in range(0, dataset.n_cells, _CHUNK):
        block = dataset.take(slice(start, start + _CHUNK))
        gene = rank[block.indices]
        ours = (gene > 0) & (block.data > 0)
        mixed = np.where(ours, _mixed((gene << np.uint64(32)) | block.data.astype(np.uint64)), np.uint64(0))
        part = slice(start, start + block.shape[0])
        for row, values in enumerate((mixed, ours)):
            # sums that wrap at 2^64, whose differences do too: the order of a cell's genes plays no part
            before = np.concatenate([[np.uint64(0)], np.cumsum(values, dtype=np.uint64)])
            result[row, part] = np.diff(before[block.indptr])
    return result


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return well-spread 64-bit numbers: SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    mixed = numbers * _STEP + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
