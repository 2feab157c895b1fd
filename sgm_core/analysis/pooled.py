"""Macro F1 of the predictions of all folds together, with its bootstrap over donors.

A fold's score hangs on its few donors; pooled, every scored class is counted over all of them. Donors, not
cells, are drawn with replacement. The trained models stay as they are, so the interval speaks of new donors,
not of new training runs: it stands beside the interval over folds and doesn't replace it.

Every cell is looked at once, for its donor's counts per class (hits, support, named: `DonorCounts`); a draw
of donors is then a weighted sum of these, so 2,000 draws cost the same for 10,000 cells and for a million.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from sgm_core.analysis.inference import t_edge
from sgm_core.analysis.metrics import MIN_TEST_CELLS, per_class, per_donor
from sgm_core.analysis.statistics import PRIMARY_METRIC
from sgm_core.analysis.tally import DonorCounts, Side
from sgm_core.errors import InputError

Predictions = pd.DataFrame | DonorCounts
Donors = pd.Series | np.ndarray | None
DRAWS = 2000
POOLED_COLUMNS = ["pooled_difference", "pooled_low", "pooled_high"]


def _scores(seeds: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return macro F1 under each row of donor weights (draws, n_donors), the mean over seeds.

    The classes are those with the minimum of cells; a draw that holds none of a class's donors leaves it out.
    """
    total = np.zeros(len(weights))
    for counts in seeds:
        kept = counts[1].sum(0) >= MIN_TEST_CELLS
        hits, support, named = (weights @ part for part in counts[:, :, kept].astype(float))
        f1 = 2 * hits / np.maximum(support + named, 1)
        present = (support > 0).sum(1)
        total += np.where(present > 0, f1.sum(1, where=support > 0) / np.maximum(present, 1), np.nan)
    return total / len(seeds)


def _tail(donors: int) -> float:
    """Return the share of draws beyond each end of a 95 % interval.

    Plain percentiles are too narrow for few donors (with seven, those of two equal models left zero out in
    28 of 150 comparisons): they are widened to the t interval's width (Hesterberg, The American Statistician
    2015, doi:10.1080/00031305.2015.1089789).
    """
    return float(norm.cdf(-np.sqrt(donors / (donors - 1)) * t_edge(donors))) if donors > 1 else np.nan


def _bootstrap(sides: list[list[np.ndarray]], n: int, seed: int) -> dict[str, Any]:
    """Return value and interval of the first side's score, less the second's if there is one."""
    support = sides[0][0][1].sum(1)
    tested = np.flatnonzero(support)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(tested), np.full(len(tested), 1 / len(tested)), size=n)
    weights = np.vstack([np.ones(len(tested)), drawn])
    scores = [_scores([counts[:, tested] for counts in side], weights) for side in sides]
    values = scores[0] - scores[1] if len(scores) > 1 else scores[0]
    tail = _tail(len(tested))
    sure = len(tested) > 1 and not np.isnan(values).all()
    low, high = np.nanquantile(values[1:], [tail, 1 - tail]) if sure else (np.nan, np.nan)
    found = {"value": float(values[0]), "low": float(low), "high": float(high)}
    return found | {"n_donors": len(tested), "n_cells": int(support.sum()), "n_seeds": len(sides[0])}


def donor_bootstrap(
    predictions: Predictions,
    donors: Donors,
    a: Side,
    b: Side | None = None,
    n: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Bootstrap the pooled macro F1 over donors: of side `a`, or of a - b on the same folds and draws.

    The score is taken per training seed and averaged.

    Returns
    -------
    dict
        value, low, high (95 % expanded percentile interval; NaN with one donor), n_donors, n_cells, n_seeds.

    Raises
    ------
    InputError
        If a side has no scored predictions, or the two have no fold in common.
    """
    counts = _counted(predictions, donors)
    folds = counts.folds(a) & (counts.folds(b) if b else counts.folds(a))
    sides = [counts.pooled(side, folds) for side in (a, b) if side]
    if not all(sides):
        raise InputError(f"no scored predictions to pool of {a}{f' and {b} in the same folds' if b else ''}")
    return _bootstrap(sides, n, seed)


def pooled_table(
    predictions: Predictions, donors: Donors = None, n: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Return the run table `pooled`: macro F1 over all folds together with its donor bootstrap.

    Parameters
    ----------
    predictions
        The run table, its `tally`, or the counts of either.
    donors
        Donor of every cell of the dataset; only the run table needs it.

    Returns
    -------
    DataFrame
        arm, scheme, value, low, high, n_donors, n_cells, n_folds, n_seeds; in the order of appearance.
    """
    counts = _counted(predictions, donors)
    rows = []
    for side in counts.counts:
        folds = counts.folds(side)
        found = _bootstrap([counts.pooled(side, folds)], n, seed)
        rows.append({"arm": side[0], "scheme": side[1], **found, "n_folds": len(folds)})
    columns = ["arm", "scheme", "value", "low", "high", "n_donors", "n_cells", "n_folds", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)


def with_pooled(
    paired: pd.DataFrame,
    predictions: Predictions,
    donors: Donors = None,
    n: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return `paired_table` with pooled_difference, pooled_low and pooled_high for its macro F1 rows.

    They describe, over the folds that both sides have; the verdict stays that of the folds.
    """
    counts = _counted(predictions, donors)
    table = paired.copy()
    table[POOLED_COLUMNS] = np.nan
    for index, row in paired[paired["metric"] == PRIMARY_METRIC].iterrows():
        sides = [(row["arm_a"], row["scheme"]), (row["arm_b"], row["scheme_b"])]
        folds = counts.folds(sides[0]) & counts.folds(sides[1])
        seeds = [counts.pooled(side, folds) for side in sides]
        if all(seeds):
            found = _bootstrap(seeds, n, seed)
            table.loc[index, POOLED_COLUMNS] = [found["value"], found["low"], found["high"]]
    return table


def score_tables(counted: pd.DataFrame, counts: DonorCounts | None = None) -> dict[str, pd.DataFrame]:
    """Return the run tables that follow from the predictions: `pooled`, `per_class` and `per_donor`.

    Parameters
    ----------
    counted
        The `tally` of all predictions.
    counts
        Its counts by donor, if they are at hand.
    """
    counts = DonorCounts(counted) if counts is None else counts
    return {
        "pooled": pooled_table(counts),
        "per_class": per_class(counted),
        "per_donor": per_donor(counts),
    }


def _counted(predictions: Predictions, donors: Donors) -> DonorCounts:
    return predictions if isinstance(predictions, DonorCounts) else DonorCounts(predictions, donors)
