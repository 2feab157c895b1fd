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
    """Return the columns of the `n` most variable genes, ascending, by scanpy: dispersion among equal means.

    The measure is Seurat's (Satija et al. 2015, doi:10.1038/nbt.3192): log of variance / mean of the values
    before the logarithm, as a z-score within 20 bins of the mean. Genes that no cell expresses are left out
    first, since they would move the bins. Genes of equal score at the end are all taken.

    Parameters
    ----------
    x
        Normalised ln1p values, cells x genes. Beside them it takes two to three times their memory; nothing
        becomes dense.
    n
        Number of genes; all that vary where there are fewer.
    """
    import scanpy as sc
    from anndata import AnnData

    expressed = np.bincount(x.indices, minlength=x.shape[1]) > 0
    seen = np.flatnonzero(expressed)
    if len(seen) < x.shape[1]:  # columns numbered anew: the values are shared
        columns = (np.cumsum(expressed) - 1).astype(x.indices.dtype)[x.indices]
        x = sparse.csr_matrix((x.data, columns, x.indptr), shape=(x.shape[0], len(seen)))
    table = sc.pp.highly_variable_genes(
        AnnData(x), flavor="seurat", n_top_genes=min(n, len(seen)), inplace=False
    )
    return seen[table["highly_variable"].to_numpy()]


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
