"""The paired t test over folds whose training donors overlap: interval, p, power, and Holm's correction.

Folds of one cross-validation share most of their training donors, so the plain paired t test is too sure of
itself. The variance of a mean difference is therefore (1/k + n_test/n_train) times the sample variance of
the k differences (Nadeau and Bengio, Machine Learning 2003, doi:10.1023/A:1024068626366), with n counted in
donors.
"""

from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import nct
from scipy.stats import t as student_t

LEVEL = 0.05  # two-sided
POWER = 0.8


def t_edge(k: int, level: float = LEVEL) -> float:
    """Return the two-sided critical value of t over `k` folds; NaN with fewer than two."""
    return float(student_t.isf(level / 2, k - 1)) if k > 1 else float("nan")


def standard_error(sd: float, k: int, ratio: float) -> float:
    """Return the Nadeau-Bengio standard error of a mean difference over folds.

    Parameters
    ----------
    sd
        Sample SD of the k differences.
    ratio
        Test donors per training donor of a fold.
    """
    return float(sd * np.sqrt(1 / k + ratio)) if k > 1 else float("nan")


def p_value(mean: float, error: float, k: int) -> float:
    """Return the two-sided p of a mean difference, t with k - 1 degrees of freedom; NaN with one fold."""
    if k < 2:
        return float("nan")
    if error == 0:  # every fold says the same
        return 0.0 if mean else 1.0
    return float(2 * student_t.sf(abs(mean) / error, k - 1))


def detectable_difference(error: float, k: int, level: float = LEVEL, power: float = POWER) -> float:
    """Return the true difference that the test at `level` finds with probability `power`.

    By the noncentral t with k - 1 degrees of freedom; `error` is the standard error of the mean difference
    (an estimate, so this is one too). NaN with one fold.
    """
    return error * _noncentrality(k, level, power) if k > 1 else float("nan")


@lru_cache(maxsize=256)
def _noncentrality(k: int, level: float, power: float) -> float:
    """Return the true mean, in standard errors, that the test finds on its own side of zero."""
    edge = t_edge(k, level)
    return float(brentq(lambda shift: nct.sf(edge, k - 1, shift) - power, 0, 10 * edge))


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values corrected for their number (Holm, Scand. J. Statist. 1979), in the given order."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1)
    return corrected
