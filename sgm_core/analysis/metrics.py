"""Scores of predicted cell types: F1, per class and donor, confusion, calibration."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from sgm_core.analysis.statistics import (
    METRICS,
    arm_name,
    comparison_sentence,
    fold_summary,
    pair_in_view,
    paired_difference,
    paired_table,
    summary_table,
)

__all__ = [
    "METRICS",
    "MIN_TEST_CELLS",
    "arm_name",
    "comparison_sentence",
    "confusion",
    "expected_calibration_error",
    "fold_summary",
    "one_cell_bound",
    "pair_in_view",
    "paired_difference",
    "paired_table",
    "per_class",
    "per_donor",
    "score_predictions",
    "summary_table",
]


# The F1 of a class with one test cell is 0 or 1: it says nothing, and moves the mean by a class's share.
MIN_TEST_CELLS = 10


def score_predictions(
    true: Sequence[str] | np.ndarray,
    predicted: Sequence[str] | np.ndarray,
    confidence: Sequence[float] | np.ndarray,
    scored_classes: Iterable[str],
) -> dict[str, float | int | str]:
    """Score the predictions of one test fold.

    Only cells whose true label is a scored class are looked at; a prediction of any other class is an error
    of the cell's true class. Macro F1 runs over the scored classes with at least `MIN_TEST_CELLS` of these
    cells: by the true labels alone, so the same in every arm. Cells of rarer classes still count as errors of
    the class they are named. Weighted F1 (by number of cells), micro F1 (the share of cells named right) and
    the calibration error take every scored class. `one_cell_bound` says how far one cell moves macro F1.

    Parameters
    ----------
    true, predicted, confidence
        One entry a cell: label, predicted label, and the predicted label's probability (0 to 1).
    scored_classes
        The classes of the primary score.

    Returns
    -------
    dict
        macro_f1, weighted_f1, micro_f1, ece (0 to 1; NaN when there is nothing to score), classes_scored (in
        macro F1), min_test_cells, classes_rare (below the minimum, with their cells: ``pDC (3); NK (0)``).
    """
    true, predicted = np.asarray(true, dtype=object), np.asarray(predicted, dtype=object)
    scored = sorted({str(name) for name in scored_classes})
    keep = np.isin(true.astype(str), scored) & ~pd.isna(true)
    true, predicted = true[keep].astype(str), predicted[keep].astype(str)
    table = _class_scores(true, predicted, scored)
    enough = table["support"] >= MIN_TEST_CELLS
    right = true == predicted
    rare = table[~enough]
    return {
        "macro_f1": float(table.loc[enough, "f1"].mean()),
        "weighted_f1": float(np.average(table["f1"], weights=table["support"])) if len(true) else np.nan,
        "micro_f1": float(right.mean()) if len(true) else np.nan,
        "ece": expected_calibration_error(right, np.asarray(confidence, dtype=float)[keep]),
        "classes_scored": int(enough.sum()),
        "min_test_cells": MIN_TEST_CELLS,
        "classes_rare": "; ".join(f"{name} ({n})" for name, n in zip(rare["cell_type"], rare["support"])),
    }


def one_cell_bound(classes: int, crosses: bool = False) -> float:
    """Return the most by which one test cell more, less or named otherwise moves a fold's macro F1.

    A class of at least m cells gains at most 2 / (m + 1) from one cell named right, and the class it was
    taken for at most 1 / (2m + 1). With `crosses` the cell takes its class over the minimum m, or below it,
    so that the mean runs over other classes: in every arm alike, since it hangs on the true labels alone.

    Parameters
    ----------
    classes
        Number of classes in the score before and after (the smaller).
    """
    m = MIN_TEST_CELLS
    named = (2 / (m + 1) + 1 / (2 * m + 1)) / classes
    return named + 1 / classes if crosses else named


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
    """Return macro F1 and accuracy per donor, seeds averaged.

    Macro F1 runs over the scored classes of which the donor has at least `MIN_TEST_CELLS` cells (their number
    is the column classes); without one it is NaN.

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
        table = _class_scores(true, predicted, sorted(set(true)))
        f1 = table.loc[table["support"] >= MIN_TEST_CELLS, "f1"]
        accuracy = float((true == predicted).mean())
        rows.append((arm, scheme, donor, seed, len(group), len(f1), f1.mean(), accuracy))
    columns = ["arm", "scheme", "donor", "seed", "n_cells", "classes", "macro_f1", "accuracy"]
    table = pd.DataFrame(rows, columns=columns)
    groups = table.groupby(["arm", "scheme", "donor"], sort=False, as_index=False)
    means = groups[["n_cells", "classes", "macro_f1", "accuracy"]].mean()
    return means.astype({"n_cells": int, "classes": int})


def confusion(predictions: pd.DataFrame, arm: str, scheme: str, fold: int | None = None) -> pd.DataFrame:
    """Return counts of cells, true class (rows) by predicted class (columns), over all folds or one."""
    chosen = predictions[(predictions["arm"] == arm) & (predictions["scheme"] == scheme)]
    if fold is not None:
        chosen = chosen[chosen["fold"] == fold]
    table = pd.crosstab(chosen["true"], chosen["predicted"])
    columns = sorted(set(table.index) | set(table.columns))
    return table.reindex(index=sorted(table.index), columns=columns, fill_value=0)
