"""The same cell in two datasets, found by its counts whatever it and its donor are called."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.kept_arrays import kept_array

BANDS = 8
"""Parts that genes are dealt into: a copy with other counts of a few genes is found by the other parts."""
SURE_GENES = 20
"""Two cells with the same counts of so many expressed genes are one cell; of fewer it may be chance."""
_KIND, _CHUNK = "prints-1", 2048
_STEP, _FIRST, _SECOND = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


@dataclass(frozen=True)
class Prints:
    """Numbers that follow from the raw counts of each cell.

    Parameters
    ----------
    prints : uint64 (BANDS, n_cells), equal where all counts of a band's genes are, else with a chance of 1 in
        2^64
    detected : int64 (BANDS, n_cells), how many of the band's genes the cell has a count of
    """

    prints: np.ndarray
    detected: np.ndarray

    def copies_of(self, others: "Prints", rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Say which cells are copies of the cells `rows` of another dataset.

        A copy has the same counts of all genes, or of those of one band of which it expresses `SURE_GENES`:
        other counts of some genes are left by gene names that were brought up to date and added up.

        Parameters
        ----------
        others : the other dataset's, of the same genes
        rows : row numbers there

        Returns
        -------
        found, sure
            Bool (n_cells,); sure are those whose equal counts are no chance, which with few expressed genes
            they may be.
        """
        whole, theirs = (one.sum(axis=0, dtype=np.uint64) for one in (self.prints, others.prints))
        found = np.isin(whole, theirs[rows])
        sure = found & (self.detected.sum(axis=0) >= SURE_GENES)
        for mine, other, detected in zip(self.prints, others.prints, self.detected, strict=True):
            sure |= (detected >= SURE_GENES) & np.isin(mine, other[rows])
        return found | sure, sure


def common_genes(first: Dataset, second: Dataset) -> np.ndarray:
    """Return the symbols that both datasets have, sorted."""
    return np.intersect1d(first.genes, second.genes)


def cell_prints(dataset: Dataset, genes: np.ndarray) -> Prints:
    """Return the numbers by which a dataset's cells are found in another.

    The counts are read in blocks, once for a choice of genes: the numbers are kept beside the dataset.

    Parameters
    ----------
    dataset
        The cells.
    genes
        Symbols, sorted; the dataset has all of them.
    """
    key = "\n".join(genes).encode()
    kept = kept_array(dataset, _KIND, key, partial(_make, dataset, genes))
    return Prints(kept[:BANDS], kept[BANDS:].astype(np.int64))


def _make(dataset: Dataset, genes: np.ndarray) -> np.ndarray:
    rank = np.zeros(dataset.n_genes, np.uint64)  # 0 = not among the genes
    rank[dataset.gene_columns(genes)] = np.arange(1, len(genes) + 1, dtype=np.uint64)
    result = np.zeros((2 * BANDS, dataset.n_cells), np.uint64)
    for start in range(0, dataset.n_cells, _CHUNK):
        block = dataset.take(slice(start, start + _CHUNK))
        cell = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        gene = rank[block.indices]
        ours = (gene > 0) & (block.data > 0)
        gene, counts = gene[ours], block.data[ours].astype(np.uint64)
        band = (gene % np.uint64(BANDS)).astype(np.uint8)
        order = np.argsort(band, kind="stable")  # by band, and by cell within it
        # sums that wrap at 2^64, whose differences do too: the order of a cell's genes plays no part
        mixed = np.cumsum(_mixed((gene << np.uint64(32)) | counts)[order], dtype=np.uint64)
        where = band.astype(np.int64) * block.shape[0] + cell[ours]
        ends = np.cumsum(np.bincount(where, minlength=BANDS * block.shape[0]))
        before = np.concatenate([[np.uint64(0)], mixed])[np.concatenate([[0], ends])]
        part = slice(start, start + block.shape[0])
        result[:BANDS, part] = np.diff(before).reshape(BANDS, -1)
        result[BANDS:, part] = np.diff(ends, prepend=0).reshape(BANDS, -1)
    return result


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Return well-spread 64-bit numbers: SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    mixed = numbers * _STEP + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))
