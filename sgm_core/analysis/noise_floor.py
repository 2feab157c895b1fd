"""What Poisson sampling alone leaves unexplained of values ln(1 + 10,000 count / total)."""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from sgm_core.analysis.predictors import HiddenShares
from sgm_core.cells.dataset import TARGET_SUM

_EXACT = 50.0  # expected count up to which the moments are summed over all counts, beyond by the delta method
_COUNTS = np.arange(121)
_MEANS = np.concatenate([np.geomspace(1e-5, _EXACT, 160), np.geomspace(_EXACT * 1.01, 1e5, 40)])
_LOG_P = _COUNTS * np.log(_MEANS[:160, None]) - _MEANS[:160, None] - gammaln(_COUNTS + 1)
_P = np.exp(_LOG_P)


class Noise(NamedTuple):
    """Expected squared errors (G,) of a hidden value of one cell: of any, and of one that is not zero."""

    hidden: np.ndarray
    nonzero: np.ndarray


def sampling_noise(predicted: np.ndarray, total: float, shares: HiddenShares) -> Noise:
    """Return the squared error that a predictor of the true rates has, in one cell.

    Counts are taken as Poisson, each with the expected count at which a hidden value's mean is the one that
    is predicted: smoothed predictions stand in for the true rates, so that what really differs between cells
    and was not predicted does not count as noise. Expected counts up to 50 are summed exactly, larger ones by
    the delta method (variance of y is (dy/dcount) ** 2 times the count).

    Parameters
    ----------
    predicted : (G,) expected values where a gene is hidden
    total : what the cell's counts are divided by
    shares : what the masks hide
    """
    scale = TARGET_SUM / total
    y = np.log1p(scale * _COUNTS)
    large = _MEANS[160:]
    mean = np.concatenate([_P @ y, np.log1p(scale * large)])
    variance = (scale / (1 + scale * large)) ** 2 * large
    square = np.concatenate([_P @ y**2, mean[160:] ** 2 + variance])
    detected = -np.expm1(-_MEANS)
    odds = shares.odds(detected)
    mean_hidden = mean * odds
    hidden = square * odds - mean_hidden**2
    nonzero = square / detected - 2 * mean_hidden * mean / detected + mean_hidden**2
    return Noise(*(np.interp(predicted, mean_hidden, each) for each in (hidden, nonzero)))
