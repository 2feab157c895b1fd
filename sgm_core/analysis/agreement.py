"""Does a preference come back with another seed, and with other donors?"""

from typing import Any

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student

from sgm_core.analysis.lift import shared_products
from sgm_core.analysis.mask_models import ModelResiduals
from sgm_core.analysis.matching import true_variance

TOP = 50
_RESAMPLES = 200
_MIN_GENES = 10


def agreement(models: ModelResiduals) -> dict[str, Any]:
    """Measure how far models of different seeds prefer the same genes among those of equal expression.

    Two models of one seed start from the same random weights, so they are never compared.

    Parameters
    ----------
    models
        The residuals of every model.

    Returns
    -------
    dict
        seeds, folds: how many; agreement_between_seeds: mean rank correlation of the residuals over pairs of
        models with another seed and the same fold; agreement_between_donors: the same over pairs with another
        seed and another fold; each with _low and _high (95 %). donors_shared: share of the training donors
        that two folds have in common, if validation donors are left aside.

        shared_top: how many of each one's first `TOP` genes two models with another seed and the same fold
        share; shared_top_chance: how many by chance.

        reproducible_sd, _low, _high: SD over genes of the log frequency that all seeds share, from the
        covariance between seeds, which sampling noise and the preferences of one seed do not enter; own_sd:
        SD of what one seed alone prefers, sampling noise taken out.

        An interval is the wider of two: a bootstrap over genes, and, with three seeds or more, a t interval
        over pairs of seeds. Genes that are hidden together count as independent in the first: two seeds alone
        can agree by luck more widely than it says. NaN where there is nothing to compare.
    """
    n_seeds, n_folds = models.n_seeds, models.n_folds
    result: dict[str, Any] = {"seeds": n_seeds, "folds": n_folds}
    result["donors_shared"] = (n_folds - 2) / (n_folds - 1) if n_folds > 1 else float("nan")
    known = models.known()
    enough = n_seeds > 1 and len(known.genes) >= _MIN_GENES
    residual, variance = known.residual, known.variance
    i, j = np.triu_indices(len(models.seeds), 1)
    other = models.seeds[i] != models.seeds[j]
    same = models.folds[i] == models.folds[j]
    for name, chosen in (("seeds", other & same), ("donors", other & ~same)):
        key = f"agreement_between_{name}"
        found = (float("nan"),) * 3
        if enough and chosen.any():
            found = rank_correlation(residual, i[chosen], j[chosen], models.seeds)
        result |= dict(zip((key, f"{key}_low", f"{key}_high"), found))
    result |= {"shared_top": float("nan"), "shared_top_chance": float("nan")}
    if enough and (other & same).any():
        result |= _shared_top(residual, variance, i[other & same], j[other & same])
    names = ("reproducible_sd", "reproducible_sd_low", "reproducible_sd_high", "own_sd")
    return result | dict(zip(names, _shared_sd(models) if enough else (float("nan"),) * 4))


def rank_correlation(
    residual: np.ndarray, i: np.ndarray, j: np.ndarray, seeds: np.ndarray
) -> tuple[float, float, float]:
    """Return the mean rank correlation of pairs of models with its 95 % interval, as in `agreement`.

    Parameters
    ----------
    residual
        A row a gene, a column a model, no NaN.
    i, j
        Columns of each pair.
    seeds
        The seed of each column.
    """
    ranks = rankdata(residual, axis=0)
    ranks = (ranks - ranks.mean(axis=0)) / np.maximum(ranks.std(axis=0), 1e-12)
    n_genes = len(ranks)
    pairs = ranks[:, i] * ranks[:, j]
    each = pairs.mean(axis=0)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(n_genes, np.full(n_genes, 1 / n_genes), _RESAMPLES) / n_genes
    mean, square = weights @ ranks, weights @ ranks**2
    sd = np.sqrt(np.maximum(square - mean**2, 1e-12))
    drawn = (weights @ pairs - mean[:, i] * mean[:, j]) / (sd[:, i] * sd[:, j])
    half = 1.959964 * float(drawn.mean(axis=1).std(ddof=1))
    half = max(half, _half_over_seeds(each, seeds[i], seeds[j]))
    centre = float(each.mean())
    return centre, max(-1.0, centre - half), min(1.0, centre + half)


def _half_over_seeds(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Return half a 95 % t interval of a mean over pairs of seeds; 0 with two seeds, which have one pair.

    Pairs that share a seed are not independent, so they count as no more than there are seeds.
    """
    low, high = np.minimum(first, second), np.maximum(first, second)
    pairs, where = np.unique(np.column_stack([low, high]), axis=0, return_inverse=True)
    n_seeds = len(np.unique(pairs))
    if n_seeds < 3:
        return 0.0
    means = np.bincount(where.ravel(), values) / np.bincount(where.ravel())
    return float(student.ppf(0.975, n_seeds - 1) * means.std(ddof=1) / np.sqrt(n_seeds))


def _shared_top(residual: np.ndarray, variance: np.ndarray, i: np.ndarray, j: np.ndarray) -> dict[str, float]:
    n = min(TOP, len(residual) // 2)
    sets = []
    for column in range(residual.shape[1]):
        tau2 = true_variance(residual[:, column], variance[:, column])
        shrunk = residual[:, column] * tau2 / (tau2 + variance[:, column])
        sets.append(set(np.argsort(shrunk if tau2 > 0 else residual[:, column])[-n:].tolist()))
    shared = float(np.mean([len(sets[a] & sets[b]) for a, b in zip(i, j)]))
    return {"shared_top": shared, "shared_top_chance": n * n / len(residual)}


def _shared_sd(models: ModelResiduals) -> tuple[float, float, float, float]:
    x, sampling = models.over_folds()
    known = np.isfinite(x).all(axis=1)
    x, noise = x[known], sampling[known].mean(axis=1)
    products, weights = shared_products(x, noise)
    each, by_gene = weights @ products, products.mean(axis=1)
    centre = float(each.mean())
    half = 1.959964 * float(np.sqrt((weights**2 * (by_gene - centre) ** 2).sum()))
    first, second = np.triu_indices(x.shape[1], 1)
    half = max(half, _half_over_seeds(each, first, second))
    own = float(weights @ (x.var(axis=1, ddof=1) - noise))
    low, middle, high, alone = (
        float(np.sqrt(max(0.0, value))) for value in (centre - half, centre, centre + half, own)
    )
    return middle, low, high, alone
