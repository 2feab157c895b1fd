"""Which genes a backbone has and how many tokens each cell gives it, from the dataset, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.facts import GeneMoments, gene_moments
from sgm_core.cells.kept_arrays import kept_array
from sgm_core.cells.vocabulary import place_genes
from sgm_core.model.sizes import token_lengths

MIN_DETECTION = 0.01
"""A gene seen in fewer cells than this share says too little to be a token."""
_SAMPLE, _CHUNK = 400, 4096
_TOKENS = "tokens-1"
"""Folder of what `known_genes` keeps."""


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


def most_informative(genes: GeneMoments, n_genes: int) -> np.ndarray:
    """Return the columns of the genes whose normalised values have the largest variance-to-mean ratio.

    Parameters
    ----------
    genes : their moments over some cells
    n_genes : how many; fewer come back when fewer are seen in 1 % of the cells

    Returns
    -------
    Column numbers, the most informative first.
    """
    ratio = genes.variance / np.maximum(genes.mean, 1e-9)
    ratio = np.where(genes.detection >= MIN_DETECTION, ratio, -1.0)
    order = np.argsort(-ratio, kind="stable")[:n_genes]
    return order[ratio[order] > 0]


def moments_of(dataset: Dataset, rows: np.ndarray) -> GeneMoments:
    """Return the moments of each gene's normalised values over some cells.

    Known from the import where they are all the cells of some donors; any others are read, in blocks.

    Parameters
    ----------
    dataset : the cells
    rows : row numbers, each once
    """
    codes, names = pd.factorize(dataset.donors())
    of_each, chosen = np.bincount(codes), np.bincount(codes[rows], minlength=len(names))
    whole = chosen == of_each
    if (whole | (chosen == 0)).all():
        return gene_moments(dataset).over(names[whole])
    total, squares, detected = np.zeros((3, dataset.n_genes))
    for start in range(0, len(rows), _CHUNK):
        x = dataset.lognorm(rows[start : start + _CHUNK])
        values = x.data.astype(np.float64)
        total += np.bincount(x.indices, values, dataset.n_genes)
        squares += np.bincount(x.indices, values * values, dataset.n_genes)
        detected += np.bincount(x.indices, minlength=dataset.n_genes)
    mean = total / len(rows)
    variance = np.maximum(squares / len(rows) - mean**2, 0)
    return GeneMoments(len(rows), mean, variance, detected / len(rows))


def known_genes(dataset: Dataset, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many of the genes `known` each cell has, and how many counts of them.

    Worked out once for a choice of genes and kept beside the dataset.

    Parameters
    ----------
    dataset : the cells
    known : (n_genes,) bool

    Returns
    -------
    tuple
        Genes, int64 (n_cells,), and counts, float64 (n_cells,).
    """
    genes, counts = kept_array(
        dataset, _TOKENS, np.packbits(known).tobytes(), partial(_known, dataset, known)
    )
    return genes.astype(np.int64), counts


def _known(dataset: Dataset, known: np.ndarray) -> np.ndarray:
    genes, counts = np.empty((2, dataset.n_cells))
    for start in range(0, dataset.n_cells, _CHUNK):
        block = dataset.take(slice(start, start + _CHUNK))
        ours = known[block.indices]
        before = np.concatenate([[0], np.cumsum(ours)])
        part = slice(start, start + block.shape[0])
        genes[part] = np.diff(before[block.indptr])
        cell = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
        counts[part] = np.bincount(cell[ours], block.data[ours], block.shape[0])
    return np.stack([genes, counts])


def informative_tokens(dataset: Dataset, n_genes: int, depth_tokens: bool = False) -> Tokens:
    """Return the tokens of the `n_genes` most informative genes.

    The genes are chosen on 400 of the cells, so the counts are off by a few per cent; those that a run
    trains on are chosen on all its training cells.
    """
    return _informative(dataset, dataset.content_hash, n_genes, depth_tokens)


def vocabulary_tokens(dataset: Dataset, vocabulary: tuple[str, ...], shape: Mapping[str, Any]) -> Tokens:
    """Return the tokens of a backbone with a fixed vocabulary, exactly; `shape` has its `BackboneConfig`.

    Raises
    ------
    InputError
        If less than 20 % of the dataset's genes are in the vocabulary.
    """
    known = place_genes(dataset.genes, vocabulary, f"dataset {dataset.name!r}") >= 0
    return Tokens(token_lengths(shape, known_genes(dataset, known)[0]), len(vocabulary), exact=True)


@lru_cache(maxsize=16)
def _informative(dataset: Dataset, content_hash: str, n_genes: int, depth_tokens: bool) -> Tokens:
    detected = dataset.n_genes_per_cell()
    rows = np.unique(np.linspace(0, dataset.n_cells - 1, min(_SAMPLE, dataset.n_cells)).astype(int))
    values = dataset.lognorm(rows)
    mean = np.asarray(values.mean(0)).ravel()
    variance = np.asarray(values.multiply(values).mean(0)).ravel() - mean**2
    detection = np.asarray((values > 0).mean(0)).ravel()
    chosen = most_informative(GeneMoments(len(rows), mean, variance, detection), n_genes)
    share = values[:, chosen].nnz / max(1, values.nnz)
    counts = np.maximum(1, np.round(detected * share)) + 2 * depth_tokens
    return Tokens(counts, max(2, len(chosen)), exact=False)
