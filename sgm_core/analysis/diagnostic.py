"""Is a mask self-guided at all? Effect sizes against uniform draws, expression and the untrained masker."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sgm_core.analysis.agreement import agreement
from sgm_core.analysis.mask_models import ModelResiduals, model_residuals, model_rows, seeds_of
from sgm_core.analysis.masks import default_arm, select_masks
from sgm_core.analysis.matching import log_frequency, true_variance

SMALL_SPREAD = 0.05
"""SD of the gene frequencies beyond chance, relative to the mean frequency, below which it is called none: at
the counts of a run a p-value rejects trivia."""

# What the presets of `sgm_core.training.config` take, which lies above this package; a test holds them equal.
PRESET_BASIS = {"sgm": "strata", "paper": "all", "authors": "all"}


def mask_basis(parameters: Mapping[str, Any]) -> str:
    """Return the `mask_basis` that a run's parameters (a comparison's: its pretraining's) ask for."""
    fields = parameters.get("pretrain") or parameters
    return fields.get("mask_basis") or PRESET_BASIS[fields.get("preset") or "sgm"]


def diagnostic(
    masks: pd.DataFrame,
    mask_cells: pd.DataFrame,
    arm: str | None = None,
    fold: int = -1,
    basis: str = "all",
    start: pd.DataFrame | None = None,
    residuals: ModelResiduals | None = None,
    before: ModelResiduals | None = None,
) -> dict[str, Any]:
    """Measure how far one arm's masks are from uniform ones, from expression, and from those before training.

    Every model (seed, fold) is measured by itself and the figures are averaged: in a sum over models the
    preferences of each would cancel. What the models have in common is in `agreement`.

    Parameters
    ----------
    masks, mask_cells
        The run tables; rows of `mask_cells` with epoch 0 are those before the first update.
    arm, fold
        As in `select_masks`; -1 takes all folds together.
    basis
        The configuration's `mask_basis`: ``all`` leaves the share of non-zeros free, ``strata`` fixes it.
    start
        The run table `masks_start`, the masks of the same arm before the first update; None in runs that
        kept none.
    residuals, before
        The `model_residuals` of the arm's models in `masks` and in `start`, where they are at hand: they take
        most of the time.

    Returns
    -------
    dict
        arm, fold, basis, n_genes, draws (cells x draws, of the gene that had most, over all models);

        effective_share: mean over cells of exp(entropy of the sampling probabilities) / eligible genes, 1 =
        uniform, effective_share_last_epoch and effective_share_start; masked_share; nonzero_share and
        base_rate (share of non-zeros among the masked, among the eligible); hidden_counts (mean over cells of
        the hidden share of their counts; NaN in runs that did not measure it);

        mean_frequency; spread, spread_relative, spread_z: SD of the genes' true deviations from a uniform
        draw of the same number within each cell's zeros and non-zeros, the same divided by the mean
        frequency, and in standard errors of the null; spread_free, spread_free_relative: the same against a
        uniform draw over all eligible genes;

        rank_correlation, _low, _high: Spearman of frequency with mean expression, 95 %; residual_sd: SD
        between genes of equal expression of the true log frequency; residual_share: its variance over that of
        all genes;

        value_leak: share of a value's variance, beyond what its gene explains, that being masked explains;

        all of `sgm_core.analysis.agreement.agreement`;

        added_sd: SD over genes of the true change of the log frequency at equal expression from before
        training to after; start: spread_relative, residual_sd and the figures of `agreement` before training,
        or None.
    """
    arm = arm or default_arm(masks)
    rows = select_masks(masks, arm, fold)
    rows = rows[rows["opportunities"] > 0]
    n, masked = rows["opportunities"].to_numpy(float), rows["masked"].to_numpy(float)
    models = model_rows(masks, arm, fold)
    models = models[models["opportunities"] > 0]
    residuals = model_residuals(models) if residuals is None else residuals
    result: dict[str, Any] = {"arm": arm, "fold": fold, "basis": basis, "n_genes": len(rows)}
    result |= {"draws": int(n.max())} | _cell_means(mask_cells, arm, fold)
    result |= spreads(models)
    result |= _rank_correlation(masked / n, rows["value_sum"].to_numpy(float) / n)
    result |= {"residual_sd": _residual_sd(residuals)}
    result |= {"residual_share": _residual_share(models, result["residual_sd"])}
    leaks = [value_leak(model) for _, model in models.groupby(["seed", "fold"])]
    result |= {"value_leak": float(np.mean(leaks))} | agreement(residuals)
    return result | _training(residuals, start, arm, fold, before)


def spreads(models: pd.DataFrame) -> dict[str, float]:
    """Return the mean frequency, and how far frequencies spread beyond both nulls, over the models.

    Parameters
    ----------
    models
        From `sgm_core.analysis.mask_models.model_rows`.

    Returns
    -------
    dict
        mean_frequency, spread, spread_relative, spread_z, spread_free and spread_free_relative, as in
        `diagnostic`.
    """
    parts = []
    for _, rows in models.groupby(["seed", "fold"]):
        names = ("opportunities", "masked", "expected", "variance", "expected_free")
        n, masked, expected, variance, free = (rows[name].to_numpy(float) for name in names)
        mean = float(masked.sum() / n.sum())
        null = _excess(masked, expected, variance, n)
        parts.append((mean, *null, _excess(masked, free, n * mean * (1 - mean), n)[0]))
    frequencies, excess, error, excess_free = (np.array(column) for column in zip(*parts))
    spread, spread_free = (float(np.sqrt(max(0.0, part.mean()))) for part in (excess, excess_free))
    total = float(np.sqrt((error**2).sum()))
    z = float(excess.sum() / total) if total > 0 else 0.0
    frequency = float(frequencies.mean())
    result = {"mean_frequency": frequency, "spread": spread, "spread_relative": spread / frequency}
    result |= {"spread_z": z, "spread_free": spread_free}
    return result | {"spread_free_relative": spread_free / frequency}


def value_leak(rows: pd.DataFrame) -> float:
    """Return the share of the values' within-gene variance that being masked explains, less chance.

    A predictor that sees only the mask and the gene can do this well; 0 = the mask tells nothing of the
    value. It is the omega squared of a two-group analysis of variance, nested in genes.

    Parameters
    ----------
    rows
        Rows of `masks`, one a gene.
    """
    names = ("opportunities", "masked", "value_sum", "value_sq_sum", "value_sum_masked")
    n, m, total, squares, inside = (rows[c].to_numpy(float) for c in names)
    both = (m > 0) & (m < n)
    n, m, total, squares, inside = (v[both] for v in (n, m, total, squares, inside))
    within = float((squares - total**2 / n).sum())
    between = float((inside**2 / m + (total - inside) ** 2 / (n - m) - total**2 / n).sum())
    freedom = float((n - 2).sum())
    if within <= 0 or freedom <= 0:
        return float("nan")
    error = (within - between) / freedom
    return max(0.0, (between - len(n) * error) / (within + error))


def _excess(
    masked: np.ndarray, expected: np.ndarray, variance: np.ndarray, n: np.ndarray
) -> tuple[float, float]:
    """Return the variance of the frequencies beyond a null, and its standard error under the null."""
    excess = ((masked - expected) ** 2 - variance) / n**2
    return float(excess.mean()), float(np.sqrt(2 * ((variance / n**2) ** 2).sum()) / len(n))


def _cell_means(mask_cells: pd.DataFrame, arm: str, fold: int) -> dict[str, float]:
    rows = mask_cells[mask_cells["arm"] == arm]
    if fold >= 0:
        rows = rows[rows["fold"] == fold]
    rows = rows.assign(seed=seeds_of(rows))
    before, rows = rows[rows["epoch"] == 0], rows[rows["epoch"] > 0]
    last = rows[rows["epoch"] == rows.groupby(["seed", "fold"])["epoch"].transform("max")]
    names = ["effective_share", "masked_share", "nonzero_share", "base_rate", "hidden_counts"]
    rows = rows.reindex(columns=[*rows.columns.union(names, sort=False)])
    means = {name: _average(rows, name) for name in names}
    means["effective_share_last_epoch"] = _average(last, "effective_share")
    return means | {"effective_share_start": _average(before, "effective_share")}


def _average(rows: pd.DataFrame, name: str) -> float:
    return float(np.average(rows[name], weights=rows["cells"])) if len(rows) else float("nan")


def _rank_correlation(frequency: np.ndarray, expression: np.ndarray) -> dict[str, float]:
    """Spearman with a 95 % interval (Bonett and Wright 2000, doi:10.1007/BF02294183)."""
    names = ("rank_correlation", "rank_correlation_low", "rank_correlation_high")
    if len(frequency) < 5 or np.ptp(frequency) == 0 or np.ptp(expression) == 0:
        return dict.fromkeys(names, float("nan"))
    r = float(spearmanr(frequency, expression).statistic)
    half = 1.959964 * np.sqrt((1 + r**2 / 2) / (len(frequency) - 3))
    centre = np.arctanh(np.clip(r, -0.999999, 0.999999))
    return dict(zip(names, (r, float(np.tanh(centre - half)), float(np.tanh(centre + half)))))


def _residual_sd(models: ModelResiduals) -> float:
    """SD between genes of equal expression of the true log frequency, over the models."""
    return _true_sd(models.residual, models.variance)


def _true_sd(effects: np.ndarray, variance: np.ndarray) -> float:
    """Root mean square over the columns (models) of the SD of the true effects; NaN where none is known."""
    found = []
    for effect, noise in zip(effects.T, variance.T):
        known = np.isfinite(effect)
        if known.any():
            found.append(true_variance(effect[known], noise[known]))
    return float(np.sqrt(np.mean(found))) if found else float("nan")


def _residual_share(models: pd.DataFrame, sd: float) -> float:
    """Share of the variance of the log frequency between genes that matching by expression leaves."""
    totals = []
    for _, rows in models.groupby(["seed", "fold"]):
        y, noise = log_frequency(rows["masked"].to_numpy(float), rows["opportunities"].to_numpy(float))
        totals.append(true_variance(y - np.average(y, weights=1 / noise), noise))
    total = float(np.mean(totals))
    # Of a spread that is next to nothing, a share would be noise.
    return min(1.0, sd**2 / total) if total > SMALL_SPREAD**2 / 4 else float("nan")


def _training(
    trained: ModelResiduals,
    start: pd.DataFrame | None,
    arm: str,
    fold: int,
    before: ModelResiduals | None = None,
) -> dict[str, Any]:
    """Return what the same arm's masks were before the first update, and how far training moved them."""
    models = None if start is None else model_rows(start, arm, fold)
    if models is None or models.empty:
        return {"added_sd": float("nan"), "start": None}
    models = models[models["opportunities"] > 0]
    before = model_residuals(models) if before is None else before
    facts = {"residual_sd": _residual_sd(before), "spread_relative": spreads(models)["spread_relative"]}
    at = {key: k for k, key in enumerate(zip(before.seeds.tolist(), before.folds.tolist()))}
    keys = list(zip(trained.seeds.tolist(), trained.folds.tolist()))
    both = [k for k, key in enumerate(keys) if key in at]
    same = [at[keys[k]] for k in both]
    place = pd.Index(before.genes).get_indexer(trained.genes)
    known = place >= 0
    change = trained.residual[known][:, both] - before.residual[place[known]][:, same]
    noise = trained.variance[known][:, both] + before.variance[place[known]][:, same]
    return {"added_sd": _true_sd(change, noise), "start": facts | agreement(before)}
