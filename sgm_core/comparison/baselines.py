"""What a model must beat: four classifiers without pretraining, on the same donors and the same values.

Everything (gene choice, scaling, PCA) is fitted on the training cells, and the strength of each one's
penalty (or the number of neighbours) is chosen on the fold's validation donors, as the heads of the models
choose theirs. Logistic regressions weight the classes by inverse frequency ("balanced"), the models'
classifiers by its square root.

Cells are read in blocks. What lies in memory is what is read of the cells, 6 kB a cell for 1,500 genes and
0.2 kB for 50 components: of the training cells, and up to `KEPT_BYTES` of the validation and of the test
cells, which are named several times.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from sgm_core.analysis.pca import BLOCK, apply_pca, fit_blocks, most_counted
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import KEPT_BYTES, N_VARIABLE
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.training.logistic import logistic_path, scale_of
from sgm_core.training.validation import validation_score
from sgm_core.training.variable_genes import GeneSums, sums_of, variable_genes

BASELINES = ("majority", "hvg-logistic", "pca-logistic", "pca-knn")
N_DETECTED, N_COMPONENTS = 2000, 50
C_GENES = (0.0003, 0.001, 0.003, 0.01, 0.03)
"""Inverse strengths of the penalty on 1,500 genes that the validation donors choose from."""
C_PCA = (0.003, 0.01, 0.1, 1.0)
NEIGHBOURS = (5, 15, 30, 60)


@dataclass(frozen=True)
class Cells:
    """Some cells of a dataset, whose normalised values are read when they are asked for.

    Parameters
    ----------
    dataset : where they are
    rows : row numbers (n,), ascending
    observer : is asked whether to stop before each block
    """

    dataset: Dataset
    rows: np.ndarray
    observer: Observer

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return len(self.rows), self.dataset.n_genes

    def __getitem__(self, part: slice) -> sparse.csr_matrix:
        """Return ln(1 + 10,000 count / total) of some of the cells, all genes."""
        self.observer.check()
        return self.dataset.lognorm(self.rows[part])


Values: TypeAlias = "sparse.csr_matrix | Cells"
"""Normalised values ln(1 + 10,000 count / total), cells x all genes of the dataset."""


class Read:
    """What a baseline reads of some cells, block by block: kept where it fits, else read at every pass.

    Parameters
    ----------
    x : the cells
    features : what is read of a block
    """

    def __init__(self, x: Values, features: "_Features") -> None:
        self.x, self.features = x, features
        self._kept: list[np.ndarray] = []

    def __len__(self) -> int:
        return self.x.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._kept:
            yield from self._kept
            return
        read: list[np.ndarray] = []
        for block in blocks(self.x):
            made = self.features(block)
            if len(self) * (made.nbytes // len(made)) <= KEPT_BYTES:
                read.append(made)
            yield made
        self._kept = read


@dataclass(frozen=True)
class Fitted:
    """What a baseline says of the test cells: classes (C,), probabilities (test cells, C), the choice."""

    classes: np.ndarray
    probabilities: np.ndarray
    chosen: str


def reader(name: str, x: Values, sums: GeneSums | None = None) -> "_Features":
    """Return what a baseline reads of a block of cells, fitted on the cells `x` without their labels.

    Parameters
    ----------
    name
        A baseline that reads cells, see `run_baseline`.
    x
        The training cells.
    sums
        Of the same cells (`sums_of`), where they are known.

    Raises
    ------
    InputError
        If no gene varies.
    """
    sums = sums or sums_of(blocks(x), x.shape[1])
    if name == "hvg-logistic":
        genes = variable_genes(sums, N_VARIABLE)
        if not len(genes):
            raise InputError("no gene varies among the training cells: check the counts and the filters")
        features: _Features = lambda block: block[:, genes].toarray()  # noqa: E731
    else:
        genes = most_counted(sums.detected, N_DETECTED)
        fit = fit_blocks((block[:, genes] for block in blocks(x)), N_COMPONENTS)
        features = lambda block: apply_pca(block[:, genes], *fit)  # noqa: E731
    if name == "pca-knn":
        return features
    scale = scale_of(_filled(x, features))
    return lambda block: scale.apply(features(block))


def run_baseline(
    name: str,
    x_train: Values,
    y_train: np.ndarray,
    x_validation: Values,
    y_validation: np.ndarray,
    x_test: "Values | Read",
    seed: int = 0,
    read: "_Features | None" = None,
    strengths: Iterable[float] | None = None,
) -> Fitted:
    """Train one baseline and predict the test cells.

    Parameters
    ----------
    name
        ``majority``: the training donors' most frequent class; ``hvg-logistic``: logistic regression on the
        1,500 most variable genes, standardised; ``pca-logistic``: on PCA(50) of the 2,000 most detected
        genes; ``pca-knn``: nearest neighbours on the same PCA(50).
    x_train, x_validation, x_test
        The cells; of the test cells also what `read` gives, which further calls then have.
    y_train, y_validation
        Label of each cell.
    seed
        Kept for a uniform call; the four are deterministic.
    read
        What it reads of a cell (`reader`), by default fitted on `x_train`. With few labelled cells, those
        without a label are there too, and it is fitted on them all.
    strengths
        Inverse strengths of the penalty to choose from, by default `C_GENES` or `C_PCA`.

    Raises
    ------
    InputError
        If the baseline is unknown.
    """
    if name not in BASELINES:
        raise InputError(f"unknown baseline {name!r}: the baselines are {', '.join(BASELINES)}")
    classes, codes = np.unique(np.asarray(y_train, dtype=str), return_inverse=True)
    shares = np.bincount(codes) / len(codes)
    if name == "majority" or len(classes) == 1:
        n_test = len(x_test) if isinstance(x_test, Read) else x_test.shape[0]
        return Fitted(classes, np.tile(shares, (n_test, 1)), "nothing to choose")
    y_validation = np.asarray(y_validation, dtype=str)
    known = np.isin(y_validation, classes)
    truth = np.searchsorted(classes, y_validation[known])
    features = read or reader(name, x_train)
    train = _filled(x_train, features)
    if name == "pca-knn":
        models = _neighbours(train, codes)
    else:
        usual = C_PCA if name == "pca-logistic" else C_GENES
        path = logistic_path(train, codes, strengths or usual, seed)
        models = ((f"C {fitted.strength:g}", fitted.classify) for fitted in path)

    validation = Read(x_validation, features)
    tested = x_test if isinstance(x_test, Read) else Read(x_test, features)

    def named(predict: Callable[[np.ndarray], np.ndarray], cells: Read) -> np.ndarray:
        return np.concatenate([predict(block) for block in cells])

    best: tuple[float, float] | None = None
    for what, predict in models:
        score = validation_score(truth, named(predict, validation)[known]) if len(truth) else (0.0, 0.0)
        if best is None or score > best:
            best, winner, chosen = score, predict, what
    return Fitted(classes, named(winner, tested), chosen)


_Features = Callable[[sparse.csr_matrix], np.ndarray]


def blocks(x: Values) -> Iterator[sparse.csr_matrix]:
    """Give the values of cells block by block."""
    for start in range(0, x.shape[0], BLOCK):
        yield x[start : start + BLOCK]


def _filled(x: Values, features: _Features) -> np.ndarray:
    """Return what a classifier reads of the cells, float32 (cells, features)."""
    made = np.empty((0, 0), np.float32)
    for number, block in enumerate(blocks(x)):
        part = features(block)
        if number == 0:
            made = np.empty((x.shape[0], part.shape[1]), np.float32)
        made[number * BLOCK : number * BLOCK + len(part)] = part
    return made


_Model = tuple[str, Callable[[np.ndarray], np.ndarray]]


def _neighbours(x: np.ndarray, codes: np.ndarray) -> Iterable[_Model]:
    from sklearn.neighbors import KNeighborsClassifier

    for k in sorted({min(k, len(x)) for k in NEIGHBOURS}):
        model = KNeighborsClassifier(k, algorithm="brute").fit(x, codes)
        yield f"{k} neighbours", model.predict_proba
