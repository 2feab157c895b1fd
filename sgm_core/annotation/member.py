"""One classifier of an annotation model: what it reads of a cell, its scale, its weights, its space."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from sgm_core.analysis.pca import apply_pca, fit_blocks, most_counted
from sgm_core.annotation.arms import KEEPABLE
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.baselines import C_GENES, C_PCA, N_COMPONENTS, N_DETECTED, Cells, blocks
from sgm_core.comparison.config import N_VARIABLE
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.training.logistic import Linear, Scale, logistic_path, scale_of
from sgm_core.training.train_cells import FINETUNING, ONE_DRAW, train_cells
from sgm_core.training.validation import validation_score
from sgm_core.training.variable_genes import sums_of, variable_genes

ARMS = dict(zip(KEEPABLE, (C_GENES, C_PCA), strict=True))
"""What can be kept as a model, and the penalties that its validation donors choose from."""
REFERENCE = 6000
"""Cells of a model's reference: drawn as evenly over classes and donors as they allow."""
NEIGHBOURS = 15


@dataclass(frozen=True)
class Member:
    """A classifier and its space.

    Parameters
    ----------
    genes : columns of the values that it reads (p,)
    pca : mean (p,) and components (P, p) of what it reads, or None where it reads the genes themselves
    scale : of the vectors (P,)
    linear : logistic regression on the scaled vectors
    space : mean (P,) and components (q, P) of the scaled vectors, in which distances are measured
    reference : the reference cells in that space, float32 (m, q)
    reference_rows : row numbers of these cells in the dataset (m,)
    """

    genes: np.ndarray
    pca: tuple[np.ndarray, np.ndarray] | None
    scale: Scale
    linear: Linear
    space: tuple[np.ndarray, np.ndarray]
    reference: np.ndarray
    reference_rows: np.ndarray

    def vectors(self, values: sparse.csr_matrix) -> np.ndarray:
        """Return the scaled vectors (n, P) of cells, from ln(1 + 10,000 count / total) of all genes."""
        return self.scale.apply(_read(values, self.genes, self.pca))

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """Return the class logits (n, C) of scaled vectors."""
        return vectors @ self.linear.weight.T + self.linear.bias

    def place(self, vectors: np.ndarray) -> np.ndarray:
        """Return scaled vectors in the model's space, float32 (n, q)."""
        return apply_pca(vectors, *self.space)

    def nearest(self, placed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return distances to, and numbers of, the nearest reference cells (n, k) of cells in the space."""
        k = min(NEIGHBOURS, len(self.reference))
        search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(self.reference)
        distance, index = search.kneighbors(placed)
        return distance, index


def train_member(
    dataset: Dataset,
    rows: np.ndarray,
    codes: np.ndarray,
    arm: str,
    observer: Observer,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    strength: float | None = None,
    asked: int | str | None = None,
    seed: int = 0,
) -> Member:
    """Train one classifier as the comparison trains its baseline of the same name.

    Parameters
    ----------
    dataset : the cells
    rows, codes : the training cells (n,), ascending, and their class numbers 0..C-1, each of which occurs
    arm : one of `ARMS`
    observer : is asked whether to stop
    validation : rows and class numbers of the cells that choose the penalty
    strength : the penalty's inverse strength, in place of a choice
    asked : the field ``train_cells``
    seed : for a uniform call; the solver is deterministic

    Raises
    ------
    InputError
        If no gene varies.
    """
    drawn = train_cells(dataset, rows, codes, asked, ONE_DRAW, FINETUNING).epoch(0)  # type: ignore[arg-type]
    own = codes[np.searchsorted(rows, drawn)]
    cells = Cells(dataset, drawn, observer)
    sums = sums_of(blocks(cells), dataset.n_genes)
    pca = None
    if arm == "hvg-logistic":
        genes = variable_genes(sums, N_VARIABLE)
    else:
        genes = most_counted(sums.detected, N_DETECTED)
        pca = fit_blocks((block[:, genes] for block in blocks(cells)), N_COMPONENTS)
    if not len(genes):
        raise InputError("no gene varies among the training cells: check the counts and the filters")
    read = np.concatenate([_read(block, genes, pca) for block in blocks(cells)])
    scale = scale_of(read)
    train = scale.apply(read)
    if strength is not None:
        linear = next(logistic_path(train, own, [strength], seed))
    elif validation is None or not len(validation[0]):
        linear = next(logistic_path(train, own, [ARMS[arm][len(ARMS[arm]) // 2]], seed))
    else:
        tested = np.concatenate(
            [scale.apply(_read(b, genes, pca)) for b in blocks(Cells(dataset, validation[0], observer))]
        )
        path = logistic_path(train, own, ARMS[arm], seed)
        linear = max(path, key=lambda fitted: validation_score(validation[1], fitted.classify(tested)))
    space = fit_blocks([train], min(N_COMPONENTS, train.shape[1]))
    some = train_cells(dataset, drawn, own, REFERENCE, ONE_DRAW, FINETUNING).epoch(0)
    reference = apply_pca(train[np.searchsorted(drawn, some)], *space)
    kept = tuple(part.astype(np.float32) for part in space)
    weights = Linear(linear.weight.astype(np.float32), linear.bias.astype(np.float32), linear.strength)
    return Member(genes, pca, scale, weights, (kept[0], kept[1]), reference, some)


def _read(
    values: sparse.csr_matrix, genes: np.ndarray, pca: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """Return what a member reads of cells, float32, before scaling."""
    part = values[:, genes]
    return apply_pca(part, *pca) if pca else part.toarray().astype(np.float32, copy=False)
