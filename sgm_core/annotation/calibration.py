"""Temperature scaling (Guo et al., ICML 2017, arXiv:1706.04599) on cells of donors that did not train."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

_RANGE = (np.log(0.05), np.log(20.0))


def fit_temperature(logits: np.ndarray, codes: np.ndarray) -> float:
    """Return the temperature that makes the true classes most likely.

    Parameters
    ----------
    logits : (n, C) of cells whose donors trained nothing that made them
    codes : (n,) true class numbers
    """
    rows = np.arange(len(codes))

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[rows, codes].mean())

    found = minimize_scalar(loss, bounds=_RANGE, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return calibrated class probabilities (n, C)."""
    return softmax(logits / temperature, axis=1)  # type: ignore[no-any-return]


def cross_fitted(logits: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return probabilities (n, C), each fold's at the temperature of the other folds' cells.

    What is scored with them has neither trained nor calibrated what it is scored by.
    """
    result = np.empty(logits.shape)
    for fold in np.unique(folds):
        own = folds == fold
        others = ~own if (~own).any() else own
        result[own] = probabilities(logits[own], fit_temperature(logits[others], codes[others]))
    return result
