"""Principal components of a dataset's expression, read from its counts block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from sgm_core.analysis.neighbours import Tell
from sgm_core.analysis.pca import BLOCK, most_counted, pca_of_blocks
from sgm_core.cells.dataset import Dataset

N_GENES, N_COMPONENTS = 2000, 50


def expression_pca(dataset: Dataset, rows: np.ndarray | None, tell: Tell) -> np.ndarray:
    """Return PCA(50) of the log-normalised 2,000 genes that most of the cells have.

    Parameters
    ----------
    dataset
        The cells.
    rows
        Row numbers of the cells to take, in ascending order; None for all. Genes and components are theirs.
    tell
        Is told the share that is done (0 to 1), and the step in words; it may raise to stop.

    Returns
    -------
    numpy.ndarray
        Cells x components, float32.
    """
    n_cells = dataset.n_cells if rows is None else len(rows)
    genes = most_counted(_detected(dataset, rows), N_GENES)
    passes = iter(("genes' variation", "principal components"))
    shares = iter((0.0, 0.5))

    def blocks() -> Iterator[sparse.csr_matrix]:
        what, first, done = next(passes), next(shares), 0
        for some in _parts(n_cells, rows):
            tell(first + done / n_cells / 2, f"{what}: {done:,} of {n_cells:,} cells")
            block = dataset.lognorm(some, genes)
            done += block.shape[0]
            yield block

    return pca_of_blocks(blocks, n_cells, N_COMPONENTS)


def _detected(dataset: Dataset, rows: np.ndarray | None) -> np.ndarray:
    """Return how many of the cells have each gene: known from the import for all of them."""
    if rows is None:
        return dataset.var["n_cells"].to_numpy()
    detected = np.zeros(dataset.n_genes, np.int64)
    for some in _parts(len(rows), rows):
        detected += np.bincount(dataset.take(some).indices, minlength=dataset.n_genes)
    return detected


def _parts(n_cells: int, rows: np.ndarray | None) -> Iterator[np.ndarray | slice]:
    """Give the cells block by block."""
    for start in range(0, n_cells, BLOCK):
        end = min(start + BLOCK, n_cells)
        yield slice(start, end) if rows is None else rows[start:end]
