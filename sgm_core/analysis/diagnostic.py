"""Is a mask self-guided at all? Effect sizes against uniform draws and expression, and a verdict in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from sgm_core.analysis.masks import select_masks
from sgm_core.analysis.matching import log_frequency, matched_lift, true_variance

# Below these effect sizes a deviation is called none. At the counts of a run a p-value rejects trivia.
SMALL_SPREAD = 0.05  # SD of the gene frequencies beyond chance, relative to the mean frequency
SMALL_SHIFT = 0.05  # relative change of the non-zero share
SMALL_RESIDUAL = (
    0.05  # SD of the log frequency between genes of equal expression; expression alone gives 0.01
)
SMALL_SHARE = 0.05  # share of the variance of the log frequency that matching by expression leaves
UNEVEN = 0.95  # effective share below which the draws within a cell are called uneven


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
) -> dict[str, Any]:
    """Measure how far one arm's masks are from uniform ones, and from masks that follow expression.

    Parameters
    ----------
    masks, mask_cells
        The run tables.
    arm, fold
        As in `select_masks`; -1 takes all folds together.
    basis
        The configuration's `mask_basis`: ``all`` leaves the share of non-zeros free, ``strata`` fixes it.

    Returns
    -------
    dict
        arm, fold, basis, n_genes, draws (cells x draws, of the gene that had most);

        effective_share: mean over cells of exp(entropy of the sampling probabilities) / eligible genes, 1 =
        uniform, and effective_share_last_epoch; masked_share; nonzero_share and base_rate (share of non-zeros
        among the masked, among the eligible);

        mean_frequency; spread, spread_relative, spread_z: SD of the genes' true deviations from a uniform
        draw of the same number within each cell's zeros and non-zeros, the same divided by the mean
        frequency, and in standard errors of the null; spread_free, spread_free_relative: the same against a
        uniform draw over all eligible genes;

        rank_correlation, _low, _high: Spearman of frequency with mean expression, 95 %; residual_sd: SD
        between genes of equal expression of the true log frequency; residual_share: its variance over that of
        all genes;

        value_leak: share of a value's variance, beyond what its gene explains, that being masked explains.
    """
    rows = select_masks(masks, arm, fold)
    rows = rows[rows["opportunities"] > 0]
    arm = str(rows["arm"].iloc[0])
    n, masked = rows["opportunities"].to_numpy(float), rows["masked"].to_numpy(float)
    expression = rows["value_sum"].to_numpy(float) / n
    detection = rows["opportunities_nonzero"].to_numpy(float) / n
    mean = float(masked.sum() / n.sum())
    free_variance = n * mean * (1 - mean)
    spread, z = _spread(masked, rows["expected"].to_numpy(float), rows["variance"].to_numpy(float), n)
    spread_free, _ = _spread(masked, rows["expected_free"].to_numpy(float), free_variance, n)
    result: dict[str, Any] = {"arm": arm, "fold": fold, "basis": basis, "n_genes": len(rows)}
    result |= {"draws": int(n.max())} | _cell_means(mask_cells, arm, fold)
    result |= {"mean_frequency": mean, "spread": spread, "spread_relative": spread / mean, "spread_z": z}
    result |= {"spread_free": spread_free, "spread_free_relative": spread_free / mean}
    result |= _rank_correlation(masked / n, expression)
    result |= _residual(masked, n, expression, detection)
    return result | {"value_leak": value_leak(rows)}


def verdict(d: dict[str, Any]) -> str:
    """Say in one sentence what a `diagnostic` amounts to."""
    relative, shift = d["spread_relative"], d["nonzero_share"] / d["base_rate"] - 1 if d["base_rate"] else 0.0
    flat = relative < SMALL_SPREAD or d["spread_z"] < 3
    shifted = d["basis"] == "all" and abs(shift) > SMALL_SHIFT
    share = f"non-zero share {d['nonzero_share']:.2f} against a base rate of {d['base_rate']:.2f}"
    spread = f"gene frequencies differ by {relative:.1%} beyond chance"
    effective = f"effective share {d['effective_share']:.2f}"
    if flat and not shifted:
        if d["effective_share"] < UNEVEN:
            return f"Masks are uneven within a cell ({effective}), but prefer no gene across cells: {spread}"
        within = " within zeros and within non-zeros" if d["basis"] == "strata" else ""
        return f"Masks are indistinguishable from uniform{within}: {spread}, {effective}"
    alone = d["residual_sd"] < SMALL_RESIDUAL or d["residual_share"] < SMALL_SHARE
    rho = f"rank correlation with mean expression {d['rank_correlation']:.2f}"
    residual = f"genes of equal expression differ by {d['residual_sd']:.0%}"
    if flat:
        side = "non-zeros" if shift > 0 else "zeros"
        return f"Masks prefer {side} and pick no gene beyond that: {share}; within them {spread}"
    if alone:
        kind = "expression" if d["rank_correlation"] >= 0 else "low expression"
        return f"Masks follow {kind} alone: {rho}; {residual}"
    return f"Masks are guided beyond expression: {residual}, {spread}; {rho}"


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


def _spread(
    masked: np.ndarray, expected: np.ndarray, variance: np.ndarray, n: np.ndarray
) -> tuple[float, float]:
    """SD of the true deviations of the frequencies, and the excess in standard errors of its null."""
    excess = ((masked - expected) ** 2 - variance) / n**2
    error = np.sqrt(2 * ((variance / n**2) ** 2).sum()) / len(n)
    mean = float(excess.mean())
    return float(np.sqrt(max(0.0, mean))), float(mean / error) if error > 0 else 0.0


def _cell_means(mask_cells: pd.DataFrame, arm: str, fold: int) -> dict[str, float]:
    rows = mask_cells[mask_cells["arm"] == arm]
    if fold >= 0:
        rows = rows[rows["fold"] == fold]
    names = ["effective_share", "masked_share", "nonzero_share", "base_rate"]
    if rows.empty:
        return dict.fromkeys([*names, "effective_share_last_epoch"], float("nan"))
    means = {name: float(np.average(rows[name], weights=rows["cells"])) for name in names}
    last = rows[rows["epoch"] == rows.groupby("fold")["epoch"].transform("max")]
    means["effective_share_last_epoch"] = float(np.average(last["effective_share"], weights=last["cells"]))
    return means


def _rank_correlation(frequency: np.ndarray, expression: np.ndarray) -> dict[str, float]:
    """Spearman with a 95 % interval (Bonett and Wright 2000, doi:10.1007/BF02294183)."""
    names = ("rank_correlation", "rank_correlation_low", "rank_correlation_high")
    if len(frequency) < 5 or np.ptp(frequency) == 0 or np.ptp(expression) == 0:
        return dict.fromkeys(names, float("nan"))
    r = float(spearmanr(frequency, expression).statistic)
    half = 1.959964 * np.sqrt((1 + r**2 / 2) / (len(frequency) - 3))
    centre = np.arctanh(np.clip(r, -0.999999, 0.999999))
    return dict(zip(names, (r, float(np.tanh(centre - half)), float(np.tanh(centre + half)))))


def _residual(
    masked: np.ndarray, n: np.ndarray, expression: np.ndarray, detection: np.ndarray
) -> dict[str, float]:
    y, noise = log_frequency(masked, n)
    total = true_variance(y - np.average(y, weights=1 / noise), noise)
    sd = matched_lift(masked, n, expression, detection).attrs["sd"]
    # Of a spread that is next to nothing, a share would be noise.
    share = min(1.0, sd**2 / total) if total > SMALL_SPREAD**2 / 4 else float("nan")
    return {"residual_sd": sd, "residual_share": share}
