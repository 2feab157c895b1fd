"""One classifier of an annotation model: what it reads of a cell, its scale, its weights, its space."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from sgm_core.analysis.pca import apply_pca, fit_blocks
from sgm_core.annotation.arms import KEEPABLE
from sgm_core.annotation.reader import Reader, baseline_reader
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.baselines import C_GENES, C_PCA, N_COMPONENTS
from sgm_core.progress import Observer
from sgm_core.training.logistic import FEW, FEW_STRENGTHS, STRENGTHS, Linear, Scale, logistic_path, scale_of
from sgm_core.training.train_cells import FINETUNING, ONE_DRAW, train_cells
from sgm_core.training.validation import validation_score

_BASELINES = dict(zip(KEEPABLE, (C_GENES, C_PCA), strict=True))
REFERENCE = 6000
"""Cells of a model's reference: drawn as evenly over classes and donors as they allow."""
NEIGHBOURS = 15
_BLOCK = 4096


@dataclass(frozen=True)
class Member:
    """A classifier and its space.

    Parameters
    ----------
    reader : what it reads of a cell, a vector of P numbers
    scale : of the vectors (P,)
    linear : logistic regression on the scaled vectors
    space : mean (P,) and components (q, P) of the scaled vectors, in which distances are measured
    reference : the reference cells in that space, float32 (m, q)
    reference_rows : row numbers of these cells in the dataset (m,)
    """

    reader: Reader
    scale: Scale
    linear: Linear
    space: tuple[np.ndarray, np.ndarray]
    reference: np.ndarray
    reference_rows: np.ndarray

    def vectors(self, values: sparse.csr_matrix, totals: np.ndarray) -> np.ndarray:
        """Return the scaled vectors (n, P) of cells.

        Parameters
        ----------
        values : ln(1 + 10,000 count / total) of all genes (n, G)
        totals : counts of each cell (n,)
        """
        return self.scale.apply(self.reader.read(values, totals))

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


def penalties(arm: str, n_train: int) -> tuple[float, ...]:
    """Return the inverse strengths of the penalty that validation donors choose from, as the comparison's.

    Parameters
    ----------
    arm : a baseline, or any other for a probe
    n_train : number of training cells
    """
    return _BASELINES.get(arm) or (FEW_STRENGTHS if n_train < FEW else STRENGTHS)


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
    reader: Reader | None = None,
) -> Member:
    """Train one classifier as the comparison trains its baseline, or its linear probe, of the same name.

    Parameters
    ----------
    dataset : the cells
    rows, codes : the training cells (n,), ascending, and their class numbers 0..C-1, each of which occurs
    arm : of the comparison
    observer : is asked whether to stop
    validation : rows and class numbers of the cells that choose the penalty
    strength : the penalty's inverse strength, in place of a choice
    asked : the field ``train_cells``
    seed : for a uniform call; the solver is deterministic
    reader : the backbone that a probe reads cells by; None = a baseline, which fits its own on these cells

    Raises
    ------
    InputError
        If no gene varies.
    """
    drawn, own = drawn_cells(dataset, rows, codes, asked)
    reads = reader or baseline_reader(arm, dataset, drawn, observer)
    train = reads.of_cells(dataset, drawn, observer)
    scale = scale_of(train)
    train = scale.apply(train)
    choice = penalties(arm, len(drawn))
    if strength is not None:
        linear = next(logistic_path(train, own, [strength], seed))
    elif validation is None or not len(validation[0]):
        linear = next(logistic_path(train, own, [choice[len(choice) // 2]], seed))
    else:
        path = list(logistic_path(train, own, choice, seed))
        said: list[list[np.ndarray]] = [[] for _ in path]
        for start in range(0, len(validation[0]), _BLOCK):
            block = scale.apply(reads.of_cells(dataset, validation[0][start : start + _BLOCK], observer))
            for one, fitted in zip(said, path, strict=True):
                one.append(fitted.classify(block))
        scores = [validation_score(validation[1], np.concatenate(one)) for one in said]
        linear = path[max(range(len(path)), key=lambda number: scores[number])]  # of equal ones the first
    return with_space(dataset, reads, scale, linear, train, drawn, own)


def drawn_cells(
    dataset: Dataset, rows: np.ndarray, codes: np.ndarray, asked: int | str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the training cells that a probe or baseline takes of `rows`, and their class numbers."""
    drawn = train_cells(dataset, rows, codes, asked, ONE_DRAW, FINETUNING).epoch(0)  # type: ignore[arg-type]
    return drawn, codes[np.searchsorted(rows, drawn)]


def with_space(
    dataset: Dataset,
    reader: Reader,
    scale: Scale,
    linear: Linear,
    train: np.ndarray,
    drawn: np.ndarray,
    codes: np.ndarray,
) -> Member:
    """Return a classifier with the space of its training cells.

    Parameters
    ----------
    dataset : of the cells
    reader, scale, linear : the classifier
    train : the scaled vectors of the training cells (n, P)
    drawn, codes : their row and class numbers (n,)
    """
    space = fit_blocks([train], min(N_COMPONENTS, train.shape[1]))
    some = train_cells(dataset, drawn, codes, REFERENCE, ONE_DRAW, FINETUNING).epoch(0)
    reference = apply_pca(train[np.searchsorted(drawn, some)], *space)
    kept = tuple(part.astype(np.float32) for part in space)
    weights = Linear(linear.weight.astype(np.float32), linear.bias.astype(np.float32), linear.strength)
    return Member(reader, scale, weights, (kept[0], kept[1]), reference, some)
