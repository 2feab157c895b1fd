"""Principal components of cells, from blocks of them: memory doesn't grow with the number of cells."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from scipy import linalg, sparse

BLOCK = 4096  # cells; with 2,000 genes a dense block takes 33 MB

Blocks = Callable[[], Iterable[np.ndarray | sparse.csr_matrix]]
"""Gives the same cells each time that it is called: blocks of values, cells x genes, in order."""


def most_detected(x: sparse.csr_matrix, n: int = 2000) -> np.ndarray:
    """Return the column numbers of the `n` genes that most cells have, in ascending order.

    Parameters
    ----------
    x
        Values, cells x genes; stored values count as detected.
    """
    return most_counted(np.bincount(x.indices, minlength=x.shape[1]), n)


def most_counted(detected: np.ndarray, n: int = 2000) -> np.ndarray:
    """Return the column numbers of the `n` genes that most cells have, in ascending order.

    Parameters
    ----------
    detected
        Number of cells that have each gene (genes,); of equal numbers the first columns are taken, and a gene
        that no cell has is left out.
    """
    order = np.argsort(-detected, kind="stable")[:n]
    return np.sort(order[detected[order] > 0])


def fit_pca(x: sparse.csr_matrix, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Fit an exact PCA through the covariance.

    Parameters
    ----------
    x
        Values, cells x genes (not centred, not scaled).
    n
        Number of components; fewer when there are fewer cells or genes.

    Returns
    -------
    tuple
        Means (genes,) and components (n x genes), largest variance first; each component's largest loading is
        positive, so that the same data gives the same signs.
    """
    return fit_blocks(_slices(x), n)


def fit_blocks(
    blocks: Iterable[np.ndarray | sparse.csr_matrix], n: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """Fit an exact PCA to cells that come block by block; see `fit_pca`.

    Products are float32 and summed in float64. Each block is centred on the first one's mean, which keeps
    the float32 exact enough, and what that mean is off by is put right at the end.
    """
    n_cells, shift = 0, np.zeros(0, np.float32)
    total, scatter = np.zeros(0), np.zeros((0, 0))
    for block in blocks:
        dense = (block.toarray() if isinstance(block, sparse.csr_matrix) else block).astype(np.float32)
        if not n_cells:
            shift = dense.mean(axis=0, dtype=np.float64).astype(np.float32)
            total, scatter = np.zeros(shift.size), np.zeros((shift.size, shift.size))
        dense -= shift
        total += dense.sum(axis=0, dtype=np.float64)
        scatter += dense.T @ dense
        n_cells += len(dense)
    off = total / max(n_cells, 1)
    scatter -= n_cells * np.outer(off, off)
    return shift + off, _leading(scatter, min(n, max(n_cells - 1, 1)))


def _leading(scatter: np.ndarray, n: int) -> np.ndarray:
    """Return the first eigenvectors as rows, each with its largest entry positive."""
    size = len(scatter)
    n = min(n, size)
    _, vectors = linalg.eigh(scatter, subset_by_index=[size - n, size - 1])
    components = vectors.T[::-1]
    signs = np.sign(components[np.arange(n), np.abs(components).argmax(axis=1)])
    return components * signs[:, None]


def apply_pca(x: sparse.csr_matrix | np.ndarray, mean: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Project cells on fitted components; float32, cells x components."""
    return np.asarray(x @ components.T - components @ mean, dtype=np.float32)


def pca(x: sparse.csr_matrix, n: int = 50) -> np.ndarray:
    """Return the first `n` principal components' scores of `x` (cells x genes), float32, cells x n."""
    return apply_pca(x, *fit_pca(x, n))


def pca_of_blocks(blocks: Blocks, n_cells: int, n: int = 50) -> np.ndarray:
    """Return the first `n` principal components' scores, float32, cells x n; the blocks are read twice."""
    mean, components = fit_blocks(blocks(), n)
    scores = np.empty((n_cells, len(components)), np.float32)
    start = 0
    for block in blocks():
        scores[start : start + block.shape[0]] = apply_pca(block, mean, components)
        start += block.shape[0]
    return scores


def _slices(x: sparse.csr_matrix) -> Iterator[sparse.csr_matrix]:
    for start in range(0, x.shape[0], BLOCK):
        yield x[start : start + BLOCK]
