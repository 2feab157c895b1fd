"""How many tokens each cell gives a backbone, counted from the dataset without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.vocabulary import place_genes

MIN_DETECTION = 0.01
"""A gene seen in fewer cells than this share says too little to be a token."""
_SAMPLE, _CHUNK = 400, 4096


@dataclass(frozen=True)
class Tokens:
    """Tokens per cell of a dataset, for one backbone.

    Parameters
    ----------
    counts : (n_cells,) expressed genes that the backbone knows, and T and S where it has them
    n_genes : genes G that the backbone has
    exact : False where they follow from a sample of the cells
    """

    counts: np.ndarray
    n_genes: int
    exact: bool

    @property
    def mean(self) -> float:
        """Mean over the cells."""
        return float(self.counts.mean())

    @property
    def mean_square(self) -> float:
        """Mean of the square, which the attention's cost goes with."""
        return float(np.square(self.counts, dtype=np.float64).mean())

    @property
    def p95(self) -> float:
        """95 % of the cells have at most this many."""
        return float(np.percentile(self.counts, 95))

    @property
    def longest(self) -> int:
        """The longest cell's."""
        return int(self.counts.max())

    def over(self, limit: int) -> int:
        """Return how many cells have more than `limit`."""
        return int((self.counts > limit).sum())


def most_informative(values: sparse.csr_matrix, n_genes: int) -> np.ndarray:
    """Return the columns of the normalised `values` with the largest variance-to-mean ratio.

    Parameters
    ----------
    values : cells x genes
    n_genes : how many; fewer come back when fewer are seen in 1 % of the cells

    Returns
    -------
    Column numbers, the most informative first.
    """
    mean = np.asarray(values.mean(0)).ravel()
    variance = np.asarray(values.multiply(values).mean(0)).ravel() - mean**2
    detection = np.asarray((values > 0).mean(0)).ravel()
    ratio = np.where(detection >= MIN_DETECTION, variance / np.maximum(mean, 1e-9), -1.0)
    order = np.argsort(-ratio, kind="stable")[:n_genes]
    return order[ratio[order] > 0]


def informative_tokens(dataset: Dataset, n_genes: int, depth_tokens: bool = False) -> Tokens:
    """Return the tokens of the `n_genes` most informative genes.

    The genes are chosen on 400 of the cells, so the counts are off by a few per cent; those that a run
    trains on are chosen on all its training cells.
    """
    return _informative(dataset, dataset.content_hash, n_genes, depth_tokens)


def vocabulary_tokens(dataset: Dataset, vocabulary: tuple[str, ...], depth_tokens: bool = True) -> Tokens:
    """Return the tokens of a backbone with a fixed vocabulary, exactly.

    Raises
    ------
    InputError
        If less than 20 % of the dataset's genes are in the vocabulary.
    """
    known = place_genes(dataset.genes, vocabulary, f"dataset {dataset.name!r}") >= 0
    counts = np.empty(dataset.n_cells, np.int64)
    for start in range(0, dataset.n_cells, _CHUNK):
        part = dataset.take(slice(start, start + _CHUNK))
        before = np.concatenate([[0], np.cumsum(known[part.indices])])
        counts[start : start + _CHUNK] = np.diff(before[part.indptr])
    return Tokens(counts + 2 * depth_tokens, len(vocabulary), exact=True)


@lru_cache(maxsize=16)
def _informative(dataset: Dataset, content_hash: str, n_genes: int, depth_tokens: bool) -> Tokens:
    detected = np.diff(dataset.counts().indptr)
    rows = np.unique(np.linspace(0, dataset.n_cells - 1, min(_SAMPLE, dataset.n_cells)).astype(int))
    values = dataset.lognorm(rows)
    chosen = most_informative(values, n_genes)
    share = values[:, chosen].nnz / max(1, values.nnz)
    counts = np.maximum(1, np.round(detected * share)) + 2 * depth_tokens
    return Tokens(counts, max(2, len(chosen)), exact=False)
