"""UMAP (McInnes et al. 2018, arXiv:1802.03426) step by step, so that it can say how far it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from sgm_core.analysis.neighbours import EXACT_UP_TO, Tell, nearest
from sgm_core.analysis.pca import BLOCK, apply_pca, fit_blocks
from sgm_core.device import thread_count
from sgm_core.errors import InputError

NEIGHBOURS, MIN_DIST = 15, 0.3
FEWEST = 5  # cells
_SPECTRAL_UP_TO = 80_000  # cells; the eigenvectors take minutes and gigabytes from there on


def epochs(n_cells: int) -> int:
    """Return how many epochs the layout gets: 500 up to 10,000 cells, else 200, as umap-learn has it."""
    return 500 if n_cells <= 10_000 else 200


def check_cells(n_cells: int) -> None:
    """Refuse to map too few cells.

    Raises
    ------
    InputError
        If there are fewer than 5.
    """
    if n_cells < FEWEST:
        raise InputError(f"{n_cells} cells are too few for a map: it needs {FEWEST}")


def threads_of(seed: int | None) -> int:
    """Return how many threads a map uses: one if a seed has to give the same map again, else all cores."""
    return thread_count() if seed is None else 1


def seconds(n_cells: int, threads: int) -> dict[str, float]:
    """Return about how long each step takes, which places it on the bar; measured on two cores."""
    many = n_cells > EXACT_UP_TO
    return {
        "neighbours": 38 + 7e-5 * n_cells / threads if many else 0.5 + 4e-9 * n_cells**2 / threads,
        "graph": 5 + 1e-5 * n_cells,
        "start": 1e-5 * n_cells if n_cells > _SPECTRAL_UP_TO else 0.2 + 1e-4 * n_cells,
        "layout": 1 + 2.6e-6 * n_cells * epochs(n_cells) / threads,
    }


def umap(vectors: np.ndarray, seed: int | None = 0, tell: Tell | None = None) -> np.ndarray:
    """Return a UMAP of `vectors`.

    Parameters
    ----------
    vectors
        Cells x width, float32.
    seed
        The same seed gives the same map, on one thread; None takes all cores, and no two maps are the same.
    tell
        Is told the share that is done (0 to 1), and the step in words.

    Returns
    -------
    numpy.ndarray
        Cells x 2, float32.

    Raises
    ------
    InputError
        If there are fewer than 5 cells.
    """
    check_cells(len(vectors))
    import numba
    from umap.umap_ import find_ab_params, fuzzy_simplicial_set, simplicial_set_embedding

    tell = tell or _silent
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    n, threads = len(vectors), threads_of(seed)
    steps = Steps(seconds(n, threads), tell)
    random = np.random.RandomState(seed)
    k = min(NEIGHBOURS, n - 1)
    before = numba.get_num_threads()
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(threads, most))
    try:
        index, distance = nearest(vectors, k, seed, numba.get_num_threads(), steps.within("neighbours"))
        steps.within("graph")(0.0, "graph of neighbours")
        graph = fuzzy_simplicial_set(vectors, k, random, "euclidean", knn_indices=index, knn_dists=distance)[
            0
        ]
        del index, distance
        steps.within("start")(0.0, "first places")
        a, b = find_ab_params(1.0, MIN_DIST)
        layout: dict[str, Any] = {
            "n_components": 2,
            "initial_alpha": 1.0,
            "a": a,
            "b": b,
            "gamma": 1.0,
            "negative_sample_rate": 5,
            "n_epochs": epochs(n),
            "init": "spectral" if n <= _SPECTRAL_UP_TO else _principal(vectors, random),
            "random_state": random,
            "metric": "euclidean",
            "metric_kwds": {},
            "densmap": False,
            "densmap_kwds": {},
            "output_dens": False,
            "parallel": threads > 1,
            "tqdm_kwds": _bar(steps.within("layout")),
        }
        return simplicial_set_embedding(vectors, graph, **layout)[0].astype(np.float32)
    finally:
        numba.set_num_threads(before)


def _principal(vectors: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Return the first two principal components, the largest value 10, with a little noise."""
    blocks = [vectors[start : start + BLOCK] for start in range(0, len(vectors), BLOCK)]
    mean, components = fit_blocks(blocks, 2)
    start = np.zeros((len(vectors), 2), np.float32)
    start[:, : len(components)] = apply_pca(vectors, mean, components)
    start *= 10 / max(float(np.abs(start).max()), 1e-12)
    return start + random.normal(scale=1e-4, size=start.shape).astype(np.float32)


def _bar(tell: Tell) -> dict[str, Any]:
    """Return what makes umap-learn's own progress bar, one of tqdm's, tell of each epoch."""
    return {
        "disable": False,
        "file": _Epochs(tell),
        "bar_format": "{n_fmt}/{total_fmt}\n",
        "mininterval": 0.2,
        "leave": False,
    }


class _Epochs:
    """Stands in for the file that a progress bar is drawn in."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def write(self, text: str) -> int:
        done, _, total = text.strip().partition("/")
        if done.isdigit() and total.isdigit():
            self._tell(int(done) / int(total), f"layout: epoch {int(done)} of {int(total)}")
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept."""


class Steps:
    """Steps one after the other, each with its part of the whole.

    Parameters
    ----------
    lengths
        How long each step takes, in any unit, in their order.
    tell
        Is told the share of the whole.
    """

    def __init__(self, lengths: dict[str, float], tell: Tell) -> None:
        self._lengths, self._tell = lengths, tell

    def within(self, step: str) -> Tell:
        """Return what is to be told the share of that step which is done."""
        names, total = list(self._lengths), sum(self._lengths.values())
        before = sum(self._lengths[name] for name in names[: names.index(step)])
        return lambda share, what: self._tell((before + share * self._lengths[step]) / total, what)


def _silent(share: float, what: str) -> None:
    """Tell nobody."""
