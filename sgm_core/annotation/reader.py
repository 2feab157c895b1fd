"""What a classifier reads of a cell, before it is scaled."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from sgm_core.analysis.pca import apply_pca, fit_blocks, most_counted
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.baselines import N_COMPONENTS, N_DETECTED, Cells, blocks
from sgm_core.comparison.config import N_VARIABLE
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.training.variable_genes import sums_of, variable_genes


class Reader(Protocol):
    """Turns cells into vectors.

    Attributes
    ----------
    genes : columns of the values that it reads (p,)
    """

    @property
    def genes(self) -> np.ndarray: ...  # noqa: D102

    def read(self, values: sparse.csr_matrix, totals: np.ndarray) -> np.ndarray:
        """Return the vectors (n, P), float32, of cells.

        Parameters
        ----------
        values : ln(1 + 10,000 count / total) of all genes (n, G)
        totals : counts of each cell (n,)
        """
        ...

    def of_cells(self, dataset: Dataset, rows: np.ndarray, observer: Observer) -> np.ndarray:
        """Return the vectors (n, P), float32, of cells of a dataset."""
        ...


@dataclass(frozen=True)
class GenesReader:
    """Reads the values of some genes, or their principal components.

    Parameters
    ----------
    genes : columns of the values (p,)
    pca : mean (p,) and components (P, p), or None where the genes themselves are read
    """

    genes: np.ndarray
    pca: tuple[np.ndarray, np.ndarray] | None

    def read(self, values: sparse.csr_matrix, totals: np.ndarray | None = None) -> np.ndarray:
        """Return the vectors (n, P), see `Reader`; counts play no part."""
        part = values[:, self.genes]
        return apply_pca(part, *self.pca) if self.pca else part.toarray().astype(np.float32, copy=False)

    def of_cells(self, dataset: Dataset, rows: np.ndarray, observer: Observer) -> np.ndarray:
        """Return the vectors (n, P) of cells of a dataset."""
        return np.concatenate([self.read(block) for block in blocks(Cells(dataset, rows, observer))])


def baseline_reader(arm: str, dataset: Dataset, rows: np.ndarray, observer: Observer) -> GenesReader:
    """Return what a baseline reads, fitted on training cells as the comparison does.

    Raises
    ------
    InputError
        If no gene varies.
    """
    cells = Cells(dataset, rows, observer)
    sums = sums_of(blocks(cells), dataset.n_genes)
    pca = None
    if arm == "hvg-logistic":
        genes = variable_genes(sums, N_VARIABLE)
    else:
        genes = most_counted(sums.detected, N_DETECTED)
        pca = fit_blocks((block[:, genes] for block in blocks(cells)), N_COMPONENTS)
    if not len(genes):
        raise InputError("no gene varies among the training cells: check the counts and the filters")
    return GenesReader(genes, pca)
