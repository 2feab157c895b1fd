"""Does a list of genes hold more of a set than lists of genes that are expressed alike?"""

from collections.abc import Collection
from functools import lru_cache
from math import comb
from typing import NamedTuple

import numpy as np
import pandas as pd

STRIP, BIN = 100, 25
"""Genes in a strip of equal detection, and in a bin of it of equal level where detected."""


class Overlap(NamedTuple):
    """How many genes of a set are in a list, and in random lists that match it bin by bin.

    `expected`, `low` and `high` are mean and 95 % range over all such lists; `p` is P(at least `hits`).
    """

    hits: int
    expected: float
    low: int
    high: int
    p: float


def expression_bins(genes: pd.DataFrame) -> np.ndarray:
    """Return the number of each gene's bin (genes,): about equal detection, then level where detected.

    Parameters
    ----------
    genes
        expression (mean ln1p value) and detection, a row a gene. Genes that are equal share a bin.
    """
    detection = genes["detection"].to_numpy(float)
    level = genes["expression"].to_numpy(float) / np.maximum(detection, 1e-12)
    strip = (pd.Series(detection).rank().to_numpy() - 1) // STRIP
    within = (pd.Series(level).groupby(strip).rank().to_numpy() - 1) // BIN
    return np.unique(np.column_stack([strip, within]), axis=0, return_inverse=True)[1].ravel()


def overlap(listed: np.ndarray, member: np.ndarray, bins: np.ndarray) -> Overlap:
    """Hold a list's overlap with a set against that of every list with as many genes of each bin.

    The distribution over all such lists is exact, a sum of hypergeometric variables, one a bin: a p value
    needs no seed and is not bounded by a number of draws.

    Parameters
    ----------
    listed, member
        Whether each gene is in the list, in the set; bool (genes,).
    bins
        From `expression_bins`.
    """
    size = np.bincount(bins)
    chosen, marked = (np.bincount(bins, mask, len(size)).astype(int) for mask in (listed, member))
    total = np.ones(1)
    for n, k, m in zip(size.tolist(), chosen.tolist(), marked.tolist()):
        if k and m:
            total = np.convolve(total, _hypergeometric(n, m, k))
    hits, below = int((listed & member).sum()), np.cumsum(total)
    low, high = (int(np.searchsorted(below, edge)) for edge in (0.025, 0.975))
    return Overlap(hits, float(total @ np.arange(len(total))), low, high, min(1.0, float(total[hits:].sum())))


@lru_cache(maxsize=4096)
def _hypergeometric(size: int, marked: int, drawn: int) -> np.ndarray:
    """Return P(0), P(1) ... of marked genes among those drawn."""
    most = min(marked, drawn)
    ways = [comb(marked, k) * comb(size - marked, drawn - k) for k in range(most + 1)]
    return np.array([each / comb(size, drawn) for each in ways])


def members(genes: Collection[str], of: Collection[str]) -> np.ndarray:
    """Return which of `genes` are in `of`; bool (genes,)."""
    return np.isin(np.asarray(list(genes), dtype=object).astype(str), list(of))
