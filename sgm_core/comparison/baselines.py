"""What a model must beat: four classifiers without pretraining, on the same donors and the same values.

Everything (gene choice, scaling, PCA) is fitted on the training cells. Logistic regressions weight the
classes by inverse frequency, as the model's own classifier does, since macro F1 counts every class alike.
"""

import warnings

import numpy as np
from scipy import sparse

from sgm_core.analysis.embedding import apply_pca, fit_pca, most_detected
from sgm_core.errors import InputError

BASELINES = ("majority", "hvg-logistic", "pca-logistic", "pca-knn")
N_VARIABLE, N_DETECTED, N_COMPONENTS, N_NEIGHBOURS = 1500, 2000, 50, 15
_CLIP = 10.0
# Inverse strength of the penalty, chosen for macro F1 on AML329 and AML420B (validation donors, AML set).
_C_GENES, _C_PCA = 0.003, 1.0


def run_baseline(
    name: str, x_train: sparse.csr_matrix, y_train: np.ndarray, x_test: sparse.csr_matrix, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Train one baseline and predict the test cells.

    Parameters
    ----------
    name
        ``majority``: the training donors' most frequent class; ``hvg-logistic``: logistic regression on the
        1,500 most variable genes, standardised; ``pca-logistic``: on PCA(50) of the 2,000 most detected
        genes; ``pca-knn``: 15 nearest neighbours on the same PCA(50).
    x_train, x_test
        Normalised values ln(1 + 10,000 count / total), cells x all genes of the dataset.
    y_train
        Label of each training cell.
    seed
        Kept for a uniform call; the four are deterministic.

    Returns
    -------
    tuple
        Classes (sorted) and probabilities (test cells x classes).
    """
    y_train = np.asarray(y_train, dtype=str)
    classes, counts = np.unique(y_train, return_counts=True)
    if name == "majority" or len(classes) == 1:
        return classes, np.tile(counts / counts.sum(), (x_test.shape[0], 1))
    if name == "hvg-logistic":
        genes = variable_genes(x_train, N_VARIABLE)
        return _logistic(x_train[:, genes].toarray(), y_train, x_test[:, genes].toarray(), _C_GENES, seed)
    if name not in BASELINES:
        raise InputError(f"unknown baseline {name!r}: the baselines are {', '.join(BASELINES)}")
    genes = most_detected(x_train, N_DETECTED)
    fit = fit_pca(x_train[:, genes], N_COMPONENTS)
    train, test = (apply_pca(x[:, genes], *fit) for x in (x_train, x_test))
    if name == "pca-logistic":
        return _logistic(train, y_train, test, _C_PCA, seed)
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(N_NEIGHBOURS, len(train)), algorithm="brute").fit(train, y_train)
    return model.classes_, model.predict_proba(test)


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


def _logistic(
    train: np.ndarray, y: np.ndarray, test: np.ndarray, strength: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Standardise by the training cells, then fit a class-balanced multinomial logistic regression."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread == 0] = 1
    train, test = (np.clip((x - mean) / spread, -_CLIP, _CLIP).astype(np.float32) for x in (train, test))
    model = LogisticRegression(C=strength, max_iter=200, class_weight="balanced", random_state=seed)
    with warnings.catch_warnings():
        # 200 steps are part of the baseline's definition.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train, y)
    return model.classes_, model.predict_proba(test)
