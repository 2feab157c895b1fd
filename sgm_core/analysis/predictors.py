"""Simple predictors of hidden gene values, fitted on training cells: what a trained model is held against.

Masks hide a larger share of a cell's non-zero genes than of its zeros, so that a gene is more likely to be
expressed where it is hidden than it is on average. A model learns that from the masks alone. So that this
does not count as knowledge of the cell, every predictor here knows the shares too (`HiddenShares.expected`).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, svds

COMPONENTS = (2, 4, 8, 16, 32, 64)
NEIGHBOURS = (10, 30, 100, 300)
_LEAST = 1e-6  # share of a gene's mean below which a prediction is taken as this


@dataclass(frozen=True)
class HiddenShares:
    """Shares of a cell's non-zero genes and of its zeros that a mask hides, each in 0..1."""

    nonzero: float
    zero: float

    def odds(self, detected: np.ndarray) -> np.ndarray:
        """Return by what a mean over all cells is multiplied to be one over the cells that hide the gene.

        Parameters
        ----------
        detected : probabilities that the gene is not zero
        """
        return np.asarray(self.nonzero / (self.nonzero * detected + self.zero * (1 - detected)))


class Training:
    """Training cells as the predictors need them.

    Parameters
    ----------
    x : values, cells x genes
    shares : what the masks hide

    Attributes
    ----------
    mean : (G,) mean values over all cells
    detected : (G,) shares of the cells in which a gene is not zero
    hidden_mean : (G,) mean values over the cells in which a gene is hidden
    """

    def __init__(self, x: sparse.csr_matrix, shares: HiddenShares) -> None:
        self.x, self.shares = x, shares
        self.mean = np.asarray(x.mean(axis=0), np.float64).ravel()
        self.detected = np.bincount(x.indices, x.data > 0, minlength=x.shape[1]) / max(1, x.shape[0])
        self.hidden_mean = self.expected(np.broadcast_to(self.mean, (1, x.shape[1])))[0]

    def expected(self, values: np.ndarray) -> np.ndarray:
        """Return expected values (B, G) where a gene is hidden from those over all cells.

        A gene of mean m that a share d of the cells has is taken as zero with the probability
        (1 - d) ** (value / m), as under Poisson counts: that is 1 - d at the mean.
        """
        mean = np.maximum(self.mean, 1e-12)
        values = np.maximum(values, _LEAST * mean)
        nothing = np.log1p(-np.minimum(self.detected, 1 - 1e-9))
        detected = np.where(self.detected >= 1, 1.0, -np.expm1(nothing * values / mean))
        with np.errstate(invalid="ignore", divide="ignore"):
            found = values * self.shares.odds(detected)
        return np.where(self.mean > 0, found, 0.0)


class Predictor(Protocol):
    """Predicts all genes of cells of which some are hidden."""

    def predict(self, values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return predictions (B, G) from values (B, G), of which those `hidden` (B, G) are not read."""


class GeneMean:
    """Each gene's mean over the training cells, where it is hidden."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def predict(self, values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return the same row for every cell; see `Predictor`."""
        return np.broadcast_to(self.training.hidden_mean, values.shape)


class Components:
    """Principal components of the training cells; a cell's scores come from its visible genes alone.

    Scores are the least squares of the visible genes with the prior that the training cells give them, whose
    weight is the variance that the components leave: the posterior mean of probabilistic PCA with missing
    values (Tipping and Bishop 1999, doi:10.1111/1467-9868.00196).

    Parameters
    ----------
    training : cells to fit on
    k : number of components; fewer when there are fewer cells or genes
    """

    def __init__(self, training: Training, k: int) -> None:
        self.training = training
        x, mean = training.x, training.mean.astype(np.float32)
        n, width = x.shape
        k = max(1, min(k, n - 2, width - 1))
        if min(n, width) <= 3 * k:  # so small that all of it fits
            _, sizes, right = np.linalg.svd(x.toarray() - mean, full_matrices=False)
            sizes, right = sizes[:k], right[:k]
        else:
            centred = LinearOperator(
                x.shape,
                matvec=lambda v: x @ v - mean @ v,
                rmatvec=lambda u: x.T @ u - mean * u.sum(),
                matmat=lambda v: x @ v - mean @ v,
                rmatmat=lambda u: x.T @ u - np.outer(mean, u.sum(axis=0)),
                dtype=np.float32,
            )
            start = np.random.default_rng(0).standard_normal(min(x.shape)).astype(np.float32)
            _, sizes, right = svds(centred, k, v0=start, tol=1e-3)
        variances = np.square(sizes, dtype=np.float64) / n
        total = (x.multiply(x).sum() - n * np.square(training.mean).sum()) / n
        noise = max((total - variances.sum()) / max(1, width - k), 1e-9)
        self.rows = right.astype(np.float64)  # (k, G)
        self.prior = noise / np.maximum(variances, 1e-12)

    def predict(self, values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return the prediction from the visible genes; see `Predictor`."""
        mean = self.training.mean
        visible = np.where(hidden, 0.0, values - mean)
        known = visible @ self.rows.T
        found = np.empty_like(known)
        ridge = np.eye(len(self.rows)) + np.diag(self.prior)
        for cell, mask in enumerate(hidden):
            lost = self.rows[:, mask]  # rows are orthonormal: what is visible is what is not lost
            found[cell] = np.linalg.solve(ridge - lost @ lost.T, known[cell])
        return self.training.expected(mean + found @ self.rows)


class Neighbours:
    """The mean of the k training cells that are nearest on the visible genes, by the angle between the cells.

    By Euclidean distance cells of few counts are near to all others: on the AML data that is worse than the
    gene's mean (R2 -0.09 with 100 neighbours, by the angle 0.12).
    """

    def __init__(self, training: Training, k: int) -> None:
        self.training, self.k = training, min(k, training.x.shape[0])
        self._squares = training.x.multiply(training.x).tocsr()

    def predict(self, values: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Return the mean of the neighbours; see `Predictor`."""
        x = self.training.x
        length = np.sqrt(np.maximum(self._squares @ (~hidden).T.astype(np.float32), 1e-12))
        cosine = (x @ np.where(hidden, 0, values).T) / length  # times the cell's own length
        nearest = np.argpartition(-cosine, self.k - 1, axis=0)[: self.k].T
        cell = np.repeat(np.arange(len(values)), self.k)
        weights = sparse.csr_matrix(
            (np.full(cell.size, 1 / self.k), (cell, nearest.ravel())), shape=(len(values), x.shape[0])
        )
        return self.training.expected((weights @ x).toarray())


def fit(everything: Training, others: Training, held: np.ndarray, hidden: np.ndarray) -> dict[str, Predictor]:
    """Return the three predictors; numbers of components and neighbours are the best on held-out cells.

    Parameters
    ----------
    everything : cells to fit on
    others : those of them without the held-out cells and their donors
    held : (B, G) values of held-out cells
    hidden : (B, G) bool, what is hidden of those
    """

    def best(kind: type[Components] | type[Neighbours], numbers: tuple[int, ...]) -> Predictor:
        errors = [np.square(kind(others, k).predict(held, hidden) - held)[hidden].sum() for k in numbers]
        return kind(everything, numbers[int(np.argmin(errors))])

    return {
        "gene-mean": GeneMean(everything),
        "pca": best(Components, COMPONENTS),
        "neighbours": best(Neighbours, NEIGHBOURS),
    }
