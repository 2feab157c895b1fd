"""Scores of predicted cell types: F1, per class and donor, confusion, calibration, bootstrap over donors."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.analysis.statistics import (
    METRICS,
    arm_name,
    comparison_sentence,
    fold_summary,
    paired_difference,
    paired_table,
    summary_table,
)

__all__ = [
    "METRICS",
    "arm_name",
    "comparison_sentence",
    "confusion",
    "donor_bootstrap",
    "expected_calibration_error",
    "fold_summary",
    "paired_difference",
    "paired_table",
    "per_class",
    "per_donor",
    "score_predictions",
    "summary_table",
]


def score_predictions(
    true: Sequence[str] | np.ndarray,
    predicted: Sequence[str] | np.ndarray,
    confidence: Sequence[float] | np.ndarray,
    scored_classes: Iterable[str],
) -> dict[str, float | int]:
    """Score the predictions of one test fold.

    Only cells whose true label is a scored class count. Macro and weighted F1 run over the scored classes
    that the fold holds; a prediction of any other class is an error of the cell's true class. Micro F1 is the
    share of cells named right.

    Parameters
    ----------
    true, predicted, confidence
        One entry a cell: label, predicted label, and the predicted label's probability (0 to 1).
    scored_classes
        The classes of the primary score.

    Returns
    -------
    dict
        macro_f1, weighted_f1, micro_f1, ece (0 to 1; NaN when no cell is scored) and classes_scored.
    """
    true, predicted = np.asarray(true, dtype=object), np.asarray(predicted, dtype=object)
    keep = np.isin(true.astype(str), list(scored_classes)) & ~pd.isna(true)
    true, predicted = true[keep], predicted[keep]
    classes = sorted(set(true))
    if not classes:
        nan = float("nan")
        return {"macro_f1": nan, "weighted_f1": nan, "micro_f1": nan, "ece": nan, "classes_scored": 0}
    table = _class_scores(true, predicted, classes)
    right = true == predicted
    return {
        "macro_f1": float(table["f1"].mean()),
        "weighted_f1": float(np.average(table["f1"], weights=table["support"])),
        "micro_f1": float(right.mean()),
        "ece": expected_calibration_error(right, np.asarray(confidence, dtype=float)[keep]),
        "classes_scored": len(classes),
    }


def expected_calibration_error(right: np.ndarray, confidence: np.ndarray, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over equal-width bins (Guo et al., ICML 2017).

    Parameters
    ----------
    right
        Whether each cell was named right.
    confidence
        Probability of the named class, 0 to 1.
    """
    if not len(right):
        return float("nan")
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / len(right))


def _class_scores(true: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Precision, recall, F1 (0 where undefined) and support of each class."""
    codes = pd.Index(classes)
    t, p = codes.get_indexer(pd.Index(true)), codes.get_indexer(pd.Index(predicted))
    n = len(classes)
    hits = np.bincount(t[(t == p) & (t >= 0)], minlength=n)
    support, named = np.bincount(t[t >= 0], minlength=n), np.bincount(p[p >= 0], minlength=n)
    precision, recall = hits / np.maximum(named, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + named, 1)
    return pd.DataFrame(
        {"cell_type": classes, "precision": precision, "recall": recall, "f1": f1, "support": support}
    )


def per_class(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return precision, recall, F1 and support of every class, per fold and pooled (fold -1).

    Scored classes are judged on the scored cells, as in `score_predictions`; the others, for information, on
    all labelled cells. Seeds are averaged.

    Parameters
    ----------
    predictions
        The run table: fold, arm, scheme, seed, true, predicted, scored.
    """
    keys = ["arm", "scheme", "fold", "seed"]
    frames = []
    for frame in (predictions, predictions.assign(fold=-1)):
        for _, group in frame.groupby(keys, sort=False):
            for scored in (True, False):
                classes = sorted(group.loc[group["scored"] == scored, "true"].unique())
                cells = group[group["scored"]] if scored else group
                table = _class_scores(cells["true"].to_numpy(), cells["predicted"].to_numpy(), classes)
                table[keys] = group[keys].iloc[0].to_list()
                frames.append(table.assign(scored=scored))
    table = pd.concat(frames, ignore_index=True)
    groups = table.groupby(["arm", "scheme", "fold", "cell_type", "scored"], sort=False, as_index=False)
    table = groups[["precision", "recall", "f1", "support"]].mean().astype({"support": int})
    return table[["arm", "scheme", "fold", "cell_type", "precision", "recall", "f1", "support", "scored"]]


def per_donor(predictions: pd.DataFrame, donors: pd.Series | np.ndarray) -> pd.DataFrame:
    """Return macro F1 (over the scored classes the donor has) and accuracy per donor, seeds averaged.

    Parameters
    ----------
    donors
        Donor of every cell of the dataset (shape ``n_cells``); `predictions["cell"]` indexes it.
    """
    cells = predictions[predictions["scored"]]
    cells = cells.assign(donor=np.asarray(donors, dtype=object)[cells["cell"].to_numpy()])
    rows = []
    for (arm, scheme, seed, donor), group in cells.groupby(["arm", "scheme", "seed", "donor"], sort=False):
        true, predicted = group["true"].to_numpy(), group["predicted"].to_numpy()
        f1 = _class_scores(true, predicted, sorted(set(true)))["f1"].mean()
        rows.append((arm, scheme, donor, seed, len(group), f1, float((true == predicted).mean())))
    table = pd.DataFrame(rows, columns=["arm", "scheme", "donor", "seed", "n_cells", "macro_f1", "accuracy"])
    groups = table.groupby(["arm", "scheme", "donor"], sort=False, as_index=False)
    return groups[["n_cells", "macro_f1", "accuracy"]].mean().astype({"n_cells": int})


def confusion(predictions: pd.DataFrame, arm: str, scheme: str, fold: int | None = None) -> pd.DataFrame:
    """Return counts of cells, true class (rows) by predicted class (columns), over all folds or one."""
    chosen = predictions[(predictions["arm"] == arm) & (predictions["scheme"] == scheme)]
    if fold is not None:
        chosen = chosen[chosen["fold"] == fold]
    table = pd.crosstab(chosen["true"], chosen["predicted"])
    columns = sorted(set(table.index) | set(table.columns))
    return table.reindex(index=sorted(table.index), columns=columns, fill_value=0)


def donor_bootstrap(
    predictions: pd.DataFrame,
    donors: pd.Series | np.ndarray,
    a: tuple[str, str],
    b: tuple[str, str] | None = None,
    n: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Bootstrap the pooled macro F1 over donors: of (arm, scheme) `a`, or of a - b on the same draws.

    Donors, not cells, are drawn with replacement. The trained models stay as they are, so the interval speaks
    of new donors, not of new training runs; it stands beside the interval over folds and doesn't replace it.

    Returns
    -------
    dict
        value, low, high (95 % percentile interval), n_donors, n.
    """
    cells = predictions[predictions["scored"]]
    names, code = np.unique(np.asarray(donors, dtype=str)[cells["cell"].to_numpy()], return_inverse=True)
    classes = pd.Index(sorted(cells["true"].unique()))
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=n)
    weights = np.vstack([np.ones(len(names), dtype=int), weights])
    scores = _pooled_f1(cells, code, classes, a, weights)
    if b is not None:
        scores = scores - _pooled_f1(cells, code, classes, b, weights)
    low, high = np.nanquantile(scores[1:], [0.025, 0.975])
    return {"value": float(scores[0]), "low": float(low), "high": float(high), "n_donors": len(names), "n": n}


def _pooled_f1(
    cells: pd.DataFrame, donor: np.ndarray, classes: pd.Index, side: tuple[str, str], weights: np.ndarray
) -> np.ndarray:
    """Macro F1 over the classes present, for each row of donor weights."""
    mine = ((cells["arm"] == side[0]) & (cells["scheme"] == side[1])).to_numpy()
    true = classes.get_indexer(pd.Index(cells["true"].to_numpy()[mine]))
    predicted = classes.get_indexer(pd.Index(cells["predicted"].to_numpy()[mine]))
    shape = (weights.shape[1], len(classes))
    hits, support, named = (np.zeros(shape) for _ in range(3))
    right, known = true == predicted, predicted >= 0
    np.add.at(hits, (donor[mine][right], true[right]), 1)
    np.add.at(support, (donor[mine], true), 1)
    np.add.at(named, (donor[mine][known], predicted[known]), 1)
    hits, support, named = weights @ hits, weights @ support, weights @ named
    f1 = 2 * hits / np.maximum(support + named, 1)
    return np.where(support > 0, f1, 0).sum(1) / np.maximum((support > 0).sum(1), 1)
