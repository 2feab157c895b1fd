"""What a gene's mask frequency would be if only its expression mattered, and how far it is from that.

A frequently masked gene may simply be a highly expressed one. So each gene is compared with genes of about
equal detection and equal expression where detected: a local linear fit (Cleveland 1979, doi:10.2307/2286407)
of the log frequency, the gene itself left out.
"""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial import cKDTree

NEIGHBOURS = 60
MIN_OPPORTUNITIES = 100


def matched_residuals(
    masked: np.ndarray, opportunities: np.ndarray, expression: np.ndarray, detection: np.ndarray
) -> pd.DataFrame:
    """Hold each gene's mask frequency in one model against that of genes with equal expression and detection.

    Parameters
    ----------
    masked, opportunities
        How often each gene was hidden, and could have been (genes,).
    expression
        Mean ln1p value over the opportunities.
    detection
        Share of the opportunities where the gene was not zero.

    Returns
    -------
    DataFrame
        One row a gene: matched_frequency (what equals get), residual (log of frequency over matched
        frequency) and residual_variance (its sampling variance: that of other draws by the same model, not of
        other models). NaN for genes with fewer than `MIN_OPPORTUNITIES` opportunities, and for all where
        fewer than ten genes have them.
    """
    columns = ["matched_frequency", "residual", "residual_variance"]
    table = pd.DataFrame(np.nan, index=np.arange(len(masked)), columns=columns)
    enough = np.flatnonzero(np.asarray(opportunities) >= MIN_OPPORTUNITIES)
    if len(enough) < 10:
        return table
    m, n = np.asarray(masked, float)[enough], np.asarray(opportunities, float)[enough]
    y, noise = log_frequency(m, n)
    place = _coordinates(np.asarray(expression, float)[enough], np.asarray(detection, float)[enough], n)
    fit, fit_variance = _local_linear(y, noise, place)
    fit = np.minimum(fit, 0.0)
    table.iloc[enough] = np.column_stack([np.exp(fit), y - fit, noise + fit_variance])
    return table


def log_frequency(masked: np.ndarray, opportunities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log frequency, half a count added, and its binomial variance (delta method)."""
    hits, misses = masked + 0.5, opportunities - masked + 0.5
    return np.log(hits / (opportunities + 1)), misses / (hits * (opportunities + 1))


def true_variance(residual: np.ndarray, variance: np.ndarray) -> float:
    """Return the variance of the true effects behind noisy ones.

    Paule and Mandel 1982, doi:10.6028/jres.087.022.

    Parameters
    ----------
    residual
        Observed effects around zero.
    variance
        The sampling variance of each.
    """

    def excess(tau2: float) -> float:
        return float((residual**2 / (tau2 + variance)).mean() - 1)

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, float((residual**2).max()) + 1e-12))


def _coordinates(expression: np.ndarray, detection: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Place genes by logit detection and by mean value where detected, both on a robust unit scale."""
    seen = np.clip(detection, 0.5 / n, 1 - 0.5 / n)
    level = np.where(detection > 0, expression / np.maximum(detection, 1e-12), 0.0)
    level[detection == 0] = np.median(level[detection > 0]) if (detection > 0).any() else 0.0
    place = np.column_stack([np.log(seen / (1 - seen)), level])
    scale = np.diff(np.quantile(place, [0.25, 0.75], axis=0), axis=0)[0]
    return (place - np.median(place, axis=0)) / np.where(scale > 0, scale, 1.0)


def _local_linear(y: np.ndarray, noise: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predict each gene from its neighbours, itself left out; a second pass plays down outliers."""
    k = min(NEIGHBOURS, len(y) - 1)
    distance, near = cKDTree(place).query(place, k=k + 1)
    itself = near == np.arange(len(y))[:, None]
    itself[~itself.any(axis=1), -1] = True  # among more than k equals a gene may miss itself
    distance, near = distance[~itself].reshape(-1, k), near[~itself].reshape(-1, k)
    width = np.maximum(distance[:, -1:] * 1.001, 1e-9)
    relative = np.minimum(distance / width, 1)
    closeness = 1 - relative * relative * relative
    tricube = closeness * closeness * closeness + 1e-6
    # columns apart: sums over neighbours go through contiguous memory
    across, up = (column[near] - column[:, None] for column in place.T)
    y_near, noise_near = y[near], noise[near]
    trust, spread = np.ones_like(y), float(noise.mean())
    for _ in range(2):
        weights = tricube * trust[near] / (noise_near + spread)
        fit, leverage = _weighted_fit(across, up, y_near, weights)
        residual = y - fit
        scale = 1.4826 * np.median(np.abs(residual))
        spread = max(scale**2 - float(np.median(noise)), 0.0)
        trust = np.maximum(1 - (residual / max(6 * scale, 1e-12)) ** 2, 0.0) ** 2 + 1e-6
    return fit, leverage * (spread + noise_near.mean(axis=1))


def _weighted_fit(
    across: np.ndarray, up: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve all local fits at once; returns the prediction at each gene and its neighbours' leverage.

    Parameters
    ----------
    across, up
        Where the neighbours lie, seen from the gene (genes, neighbours).
    y, weights
        Of the neighbours, the same shape.
    """
    weights = weights / weights.sum(axis=1, keepdims=True)
    w_across, w_up = weights * across, weights * up
    gram = np.empty((len(y), 3, 3))
    gram[:, 0, 0] = weights.sum(axis=1)
    gram[:, 0, 1] = gram[:, 1, 0] = w_across.sum(axis=1)
    gram[:, 0, 2] = gram[:, 2, 0] = w_up.sum(axis=1)
    gram[:, 1, 1] = np.einsum("gk,gk->g", w_across, across) + 1e-4
    gram[:, 1, 2] = gram[:, 2, 1] = np.einsum("gk,gk->g", w_across, up)
    gram[:, 2, 2] = np.einsum("gk,gk->g", w_up, up) + 1e-4
    first = np.linalg.solve(gram, np.broadcast_to(np.array([1.0, 0, 0])[:, None], (len(y), 3, 1)))[..., 0]
    coefficients = weights * first[:, :1] + w_across * first[:, 1:2] + w_up * first[:, 2:]
    return np.einsum("gk,gk->g", coefficients, y), np.einsum("gk,gk->g", coefficients, coefficients)
