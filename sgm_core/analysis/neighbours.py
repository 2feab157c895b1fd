"""The nearest neighbours of cells: all pairs compared, or a search by nearest-neighbour descent."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import redirect_stdout

import numpy as np

EXACT_UP_TO = 80_000
"""Cells. Comparing all pairs takes 26 s there on one core; compiling the search by descent takes 35 s."""
_BLOCK = 2048
_ROUND = re.compile(r"(\d+)\s+/\s+(\d+)")

Tell = Callable[[float, str], None]
"""Is told the share of a step that is done (0 to 1), and the step in words."""


def nearest(
    vectors: np.ndarray, k: int, seed: int | None, threads: int, tell: Tell
) -> tuple[np.ndarray, np.ndarray]:
    """Return each cell's `k` nearest cells and their Euclidean distances; the cell itself is the first.

    Parameters
    ----------
    vectors
        Cells x width, float32.
    k
        How many, the cell itself among them.
    seed
        Of the approximate search, which starts with random trees.
    threads
        How many the approximate search may use.

    Returns
    -------
    tuple
        Row numbers (int32) and distances (float32), cells x k.
    """
    if len(vectors) <= EXACT_UP_TO:
        return exact(vectors, k, tell)
    return by_descent(vectors, k, seed, threads, tell)


def exact(vectors: np.ndarray, k: int, tell: Tell) -> tuple[np.ndarray, np.ndarray]:
    """Compare all pairs, block by block; see `nearest`."""
    from sklearn.neighbors import NearestNeighbors

    n = len(vectors)
    search = NearestNeighbors(algorithm="brute").fit(vectors)
    index, distance = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    for start in range(0, n, _BLOCK):
        tell(start / n, f"nearest neighbours of {start:,} of {n:,} cells")
        rows = slice(start, start + _BLOCK)
        distance[rows], index[rows] = search.kneighbors(vectors[rows], n_neighbors=k)
    return itself_first(index, distance)


def by_descent(
    vectors: np.ndarray, k: int, seed: int | None, threads: int, tell: Tell
) -> tuple[np.ndarray, np.ndarray]:
    """Search by nearest-neighbour descent (Dong et al. 2011, doi:10.1145/1963405.1963487); see `nearest`.

    On 345,897 cells x 50 it finds 99.7 % of the neighbours.
    """
    from pynndescent import NNDescent

    tell(0.0, "nearest neighbours: search trees")
    with redirect_stdout(_Rounds(tell)):  # type: ignore[type-var]
        search = NNDescent(vectors, n_neighbors=k, random_state=seed, n_jobs=threads, verbose=True)
    index, distance = search.neighbor_graph
    return itself_first(index.astype(np.int32), distance.astype(np.float32))


def itself_first(index: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put each cell in front of its neighbours; where others lie on the same spot the search may miss it."""
    rows = np.arange(len(index), dtype=index.dtype)[:, None]
    own = index == rows
    own[~own.any(axis=1), -1] = True
    shape = (len(index), index.shape[1] - 1)
    others, theirs = index[~own].reshape(shape), distance[~own].reshape(shape)
    return np.hstack([rows, others]), np.hstack([np.zeros_like(rows, np.float32), theirs])


class _Rounds:
    """Stands in for stdout while the search tells, in words, which of its rounds it begins."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._line = tell, ""

    def write(self, text: str) -> int:
        self._line += text
        if "\n" in text:
            if found := _ROUND.search(self._line):
                now, most = int(found[1]), int(found[2])
                # It stops when hardly a neighbour changes, mostly within five rounds.
                share = 0.6 + 0.4 * (now - 1) / most
                self._tell(share, f"nearest neighbours: round {now} of at most {most}")
            self._line = ""
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept."""
