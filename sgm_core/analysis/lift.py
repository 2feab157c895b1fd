"""How much more often a gene is hidden than genes of equal expression, over several models.

A model's draws tell exactly what that model prefers and nothing of what another would: the interval of a lift
holds the variance between seeds, moderated over genes so that two or three seeds are enough (Smyth 2004,
doi:10.2202/1544-6115.1027), and between donor folds.
"""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import false_discovery_control
from scipy.stats import t as student

from sgm_core.analysis.mask_models import ModelResiduals
from sgm_core.analysis.matching import true_variance

LIFT = ("lift", "lift_low", "lift_high", "lift_q")
"""What `lift_over_models` tells of a gene."""
LEFTOVER = 0.01
"""SD of the log frequency that matching by expression leaves where expression alone decides (about 0.01 on
simulated draws); the same in every model, so agreement between models can't tell it from a preference."""
ONE_MODEL = (
    "one model can't tell a preference from chance: pretrain with other seeds, or compare with two or more"
)


def lift_over_models(models: ModelResiduals, leftover: float = LEFTOVER) -> pd.DataFrame:
    """Estimate each gene's lift over seeds and folds.

    Log ratios are averaged over the folds of each seed, then over seeds. Their variance is that between seeds
    (sampling is part of it), moderated over genes, plus what donors (folds) and the match by expression add.
    The mean is shrunk towards 0 by the variance that comes back with every seed.

    Parameters
    ----------
    models
        The residuals of every model.
    leftover
        SD of what the match by expression leaves.

    Returns
    -------
    DataFrame
        One row a gene: lift, lift_low, lift_high (95 %, of this gene alone), lift_q (of no preference:
        two-sided t test of the mean before it is shrunk, Benjamini-Hochberg over the genes). With one seed
        lift is what the one model prefers, shrunk by its sampling noise, and the others are NaN.
    """
    residual, sampling = models.over_folds()
    n_seeds = residual.shape[1]
    table = pd.DataFrame(np.nan, index=models.genes, columns=list(LIFT))
    known = np.isfinite(residual).all(axis=1)
    x, v = residual[known], sampling[known]
    if n_seeds == 0 or len(x) < 10:
        return table
    if n_seeds == 1:
        tau2 = true_variance(x[:, 0], v[:, 0])
        kept = tau2 / (tau2 + v[:, 0]) if tau2 > 0 else 0.0
        table.loc[known, "lift"] = np.exp(kept * x[:, 0])
        return table
    noise = v.mean(axis=1)
    between, freedom = moderated_variance(x.var(axis=1, ddof=1), n_seeds - 1, noise)
    extra = leftover**2 + donor_variance(models)
    error2 = np.maximum(between, noise) / n_seeds + extra
    covariance, error = shared_variance(x, noise)
    # a variance that is estimated as 0 is known no better than its error
    tau2 = max(covariance - leftover**2, error)
    kept = tau2 / (tau2 + error2)
    mean = x.mean(axis=1)
    centre = kept * mean
    half = student.ppf(0.975, freedom) * np.sqrt(kept * error2)
    table.loc[known, list(LIFT[:3])] = np.exp(np.column_stack([centre, centre - half, centre + half]))
    p = 2 * student.sf(np.abs(mean) / np.sqrt(error2), freedom)
    table.loc[known, "lift_q"] = false_discovery_control(p)
    return table


def shared_variance(x: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """Return the variance over genes that all seeds share, and its standard error over genes.

    The mean covariance of pairs of seeds: noise and preferences of one seed alone drop out of it.

    Parameters
    ----------
    x
        Residuals (genes, seeds).
    noise
        Sampling variance of each gene (genes,): rare genes weigh less.
    """
    products, weights = shared_products(x, noise)
    mean = products.mean(axis=1)
    centre = float(weights @ mean)
    return centre, float(np.sqrt((weights**2 * (mean - centre) ** 2).sum()))


def shared_products(x: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the products of each gene's residuals in each pair of seeds (genes, pairs), and gene weights."""
    # Noise alone as a weight would favour genes that are hidden often, and so those that are preferred.
    spread = float(np.mean([true_variance(column - column.mean(), noise) for column in x.T]))
    weights = 1 / (noise + spread + 1e-12)
    weights = weights / weights.sum()
    centred = x - weights @ x
    first, second = np.triu_indices(x.shape[1], 1)
    return centred[:, first] * centred[:, second], weights


def donor_variance(models: ModelResiduals) -> float:
    """Return the variance that the choice of training donors adds to a mean over the folds.

    Pairs of seeds share more within a fold than across folds: the difference is what its donors bring. Folds
    share donors, so their mean varies more than 1 / folds of it (Nadeau and Bengio 2003,
    doi:10.1023/A:1024068626366).
    """
    n_folds = models.n_folds
    if n_folds < 2 or models.n_seeds < 2:
        return 0.0
    x = models.residual[np.isfinite(models.residual).all(axis=1)]
    if len(x) < 10:
        return 0.0
    covariance = np.cov(x, rowvar=False)
    other = models.seeds[:, None] != models.seeds[None]
    same = models.folds[:, None] == models.folds[None]
    if not (other & same).any() or not (other & ~same).any():
        return 0.0
    donors = float(covariance[other & same].mean() - covariance[other & ~same].mean())
    return max(0.0, donors) * (1 / n_folds + 1 / (n_folds - 1))


def moderated_variance(variance: np.ndarray, freedom: int, noise: np.ndarray) -> tuple[np.ndarray, float]:
    """Moderate sample variances of few values over genes, as limma's squeezeVar does.

    Smyth 2004, doi:10.2202/1544-6115.1027. The prior of a gene grows with its sampling noise: a rarely drawn
    gene varies more between models.

    Parameters
    ----------
    variance
        Sample variance of each gene.
    freedom
        Degrees of freedom of each.
    noise
        The part of it that sampling alone explains.

    Returns
    -------
    The posterior variances, and their degrees of freedom (infinite where all genes vary alike).
    """
    pooled = max(float(np.mean(variance - noise)), 0.0)
    expected = noise + pooled + 1e-12
    ratio = np.maximum(variance / expected, 1e-12)
    e = np.log(ratio) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(np.var(e, ddof=1) - polygamma(1, freedom / 2))
    if excess <= 0:
        return expected * float(ratio.mean()), np.inf
    prior = 2 * float(brentq(lambda y: polygamma(1, y) - excess, 1e-3, 1e7)) if excess < 1e6 else 2e-3
    scale = float(np.exp(e.mean() + digamma(prior / 2) - np.log(prior / 2)))
    return expected * (prior * scale + freedom * ratio) / (prior + freedom), prior + freedom
