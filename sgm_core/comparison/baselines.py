"""What a model must beat: four classifiers without pretraining, on the same donors and the same values.

Everything (gene choice, scaling, PCA) is fitted on the training cells, and the strength of each one's
penalty (or the number of neighbours) is chosen on the fold's validation donors, as the heads of the models
choose theirs. Logistic regressions weight the classes by inverse frequency ("balanced"), the models'
classifiers by its square root.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sgm_core.analysis.embedding import apply_pca, fit_pca, most_detected
from sgm_core.errors import InputError
from sgm_core.training.validation import validation_score

BASELINES = ("majority", "hvg-logistic", "pca-logistic", "pca-knn")
N_VARIABLE, N_DETECTED, N_COMPONENTS = 1500, 2000, 50
C_GENES = (0.0003, 0.001, 0.003, 0.01, 0.03)
"""Inverse strengths of the penalty on 1,500 genes that the validation donors choose from."""
C_PCA = (0.003, 0.01, 0.1, 1.0)
NEIGHBOURS = (5, 15, 30, 60)
_CLIP = 10.0


@dataclass(frozen=True)
class Fitted:
    """What a baseline says of the test cells: classes (C,), probabilities (test cells, C), the choice."""

    classes: np.ndarray
    probabilities: np.ndarray
    chosen: str


def run_baseline(
    name: str,
    x_train: sparse.csr_matrix,
    y_train: np.ndarray,
    x_validation: sparse.csr_matrix,
    y_validation: np.ndarray,
    x_test: sparse.csr_matrix,
    seed: int = 0,
) -> Fitted:
    """Train one baseline and predict the test cells.

    Parameters
    ----------
    name
        ``majority``: the training donors' most frequent class; ``hvg-logistic``: logistic regression on the
        1,500 most variable genes, standardised; ``pca-logistic``: on PCA(50) of the 2,000 most detected
        genes; ``pca-knn``: nearest neighbours on the same PCA(50).
    x_train, x_validation, x_test
        Normalised values ln(1 + 10,000 count / total), cells x all genes of the dataset.
    y_train, y_validation
        Label of each cell.
    seed
        Kept for a uniform call; the four are deterministic.

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
        return Fitted(classes, np.tile(shares, (x_test.shape[0], 1)), "nothing to choose")
    y_validation = np.asarray(y_validation, dtype=str)
    known = np.flatnonzero(np.isin(y_validation, classes))
    x_validation, truth = x_validation[known], np.searchsorted(classes, y_validation[known])
    parts = (x_train, x_validation, x_test)
    if name == "hvg-logistic":
        genes = variable_genes(x_train, N_VARIABLE)
        train, validation, test = _standardised(*(x[:, genes].toarray() for x in parts))
        models = _logistics(train, codes, C_GENES, seed)
    else:
        genes = most_detected(x_train, N_DETECTED)
        fit = fit_pca(x_train[:, genes], N_COMPONENTS)
        train, validation, test = (apply_pca(x[:, genes], *fit) for x in parts)
        if name == "pca-logistic":
            train, validation, test = _standardised(train, validation, test)
            models = _logistics(train, codes, C_PCA, seed)
        else:
            models = _neighbours(train, codes)
    best, probabilities, chosen = (-np.inf, -np.inf), np.empty(0), ""
    for what, predict in models:
        score = validation_score(truth, predict(validation)) if len(truth) else (0.0, 0.0)
        if score > best:
            best, probabilities, chosen = score, predict(test), what
    return Fitted(classes, probabilities, chosen)


_Model = tuple[str, Callable[[np.ndarray], np.ndarray]]


def variable_genes(x: sparse.csr_matrix, n: int) -> np.ndarray:
    """Return the columns of the `n` most variable genes, ascending: dispersion among equal means.

    The measure is Seurat's (Satija et al. 2015, doi:10.1038/nbt.3192): log of variance / mean of the values
    before the logarithm, as a z-score within 20 bins of the mean.

    Parameters
    ----------
    x
        Normalised ln1p values, cells x genes.
    """
    linear = x.copy()
    linear.data = np.expm1(linear.data)
    mean = np.asarray(linear.mean(axis=0), dtype=np.float64).ravel()
    linear.data **= 2
    variance = np.asarray(linear.mean(axis=0), dtype=np.float64).ravel() - mean**2
    seen = np.flatnonzero((mean > 0) & (variance > 0))
    log_mean, dispersion = np.log1p(mean[seen]), np.log(variance[seen] / mean[seen])
    edges = np.linspace(log_mean.min(), log_mean.max(), 21)
    which = np.clip(np.digitize(log_mean, edges) - 1, 0, 19)
    size = np.bincount(which, minlength=20)
    centre = np.bincount(which, dispersion, 20) / np.maximum(size, 1)
    spread = np.sqrt(np.bincount(which, (dispersion - centre[which]) ** 2, 20) / np.maximum(size - 1, 1))
    # A bin of one gene has no spread of its own: the gene gets a typical variable one's score, as in Seurat.
    score = np.where(spread[which] > 0, (dispersion - centre[which]) / np.maximum(spread[which], 1e-12), 1.0)
    return np.sort(seen[np.argsort(-score, kind="stable")[:n]])


def _standardised(train: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Scale by mean and spread of the training cells, and clip."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread == 0] = 1
    return [np.clip((x - mean) / spread, -_CLIP, _CLIP).astype(np.float32) for x in (train, *others)]


def _logistics(x: np.ndarray, codes: np.ndarray, strengths: Iterable[float], seed: int) -> Iterable[_Model]:
    """Fit class-balanced multinomial logistic regressions, from the strongest penalty on."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    # each starts from the one before: the same optimum in a fraction of the steps
    model = LogisticRegression(max_iter=200, class_weight="balanced", random_state=seed, warm_start=True)
    for strength in sorted(strengths):
        model.set_params(C=strength)
        with warnings.catch_warnings():
            # 200 steps are part of the baseline's definition.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, codes)
        yield f"C {strength:g}", model.predict_proba


def _neighbours(x: np.ndarray, codes: np.ndarray) -> Iterable[_Model]:
    from sklearn.neighbors import KNeighborsClassifier

    for k in sorted({min(k, len(x)) for k in NEIGHBOURS}):
        model = KNeighborsClassifier(k, algorithm="brute").fit(x, codes)
        yield f"{k} neighbours", model.predict_proba
