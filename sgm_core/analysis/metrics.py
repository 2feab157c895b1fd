"""Scores of predicted cell types: F1, per class and donor, confusion, calibration."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from sgm_core.analysis.statistics import (
    METRICS,
    comparison_sentence,
    fold_summary,
    pair_in_view,
    paired_difference,
    paired_table,
    summary_table,
)
from sgm_core.analysis.tally import KEYS, DonorCounts, weights_of

__all__ = [
    "METRICS",
    "MIN_TEST_CELLS",
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


def _class_scores(
    true: np.ndarray, predicted: np.ndarray, classes: Sequence[str], cells: np.ndarray | None = None
) -> pd.DataFrame:
    """Precision, recall, F1 (0 where undefined) and support of each class; `cells` = how many a row is."""
    codes = pd.Index(classes)
    t, p = codes.get_indexer(pd.Index(true)), codes.get_indexer(pd.Index(predicted))
    n, one = len(classes), np.ones(len(t), np.int64) if cells is None else cells
    right, of, so = (t == p) & (t >= 0), t >= 0, p >= 0
    hits, support, named = (
        np.bincount(which, one[rows], n).astype(np.int64)
        for which, rows in ((t[right], right), (t[of], of), (p[so], so))
    )
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
        The run table (fold, arm, scheme, seed, true, predicted, scored), or its `tally`.
    """
    frames = []
    for frame in (predictions, predictions.assign(fold=-1)):
        for _, group in frame.groupby(KEYS, sort=False):
            for scored in (True, False):
                classes = sorted(group.loc[group["scored"] == scored, "true"].unique())
                cells = group[group["scored"]] if scored else group
                true, predicted = cells["true"].to_numpy(), cells["predicted"].to_numpy()
                table = _class_scores(true, predicted, classes, weights_of(cells))
                table[KEYS] = group[KEYS].iloc[0].to_list()
                frames.append(table.assign(scored=scored))
    table = pd.concat(frames, ignore_index=True)
    groups = table.groupby(["arm", "scheme", "fold", "cell_type", "scored"], sort=False, as_index=False)
    table = groups[["precision", "recall", "f1", "support"]].mean().astype({"support": int})
    return table[["arm", "scheme", "fold", "cell_type", "precision", "recall", "f1", "support", "scored"]]


def per_donor(
    predictions: pd.DataFrame | DonorCounts, donors: pd.Series | np.ndarray | None = None
) -> pd.DataFrame:
    """Return macro F1 and accuracy per donor, seeds averaged.

    Macro F1 runs over the scored classes of which the donor has at least `MIN_TEST_CELLS` cells (their number
    is the column classes); without one it is NaN.

    Parameters
    ----------
    predictions
        The run table, its `tally`, or the counts of either.
    donors
        Donor of every cell of the dataset (shape ``n_cells``), which the run table indexes; a tally names
        donors itself.
    """
    counts = predictions if isinstance(predictions, DonorCounts) else DonorCounts(predictions, donors)
    frames = []
    for (arm, scheme), seeds in counts.counts.items():
        for folds in seeds.values():
            hits, support, named = np.sum(list(folds.values()), axis=0)
            tested = support.sum(1) > 0
            hits, support, named = hits[tested], support[tested], named[tested]
            enough = support >= MIN_TEST_CELLS
            classes = enough.sum(1)
            f1 = (2 * hits / np.maximum(support + named, 1)).sum(1, where=enough)
            frame = pd.DataFrame({"donor": counts.donors[tested], "n_cells": support.sum(1)})
            frame["classes"] = classes
            frame["macro_f1"] = np.where(classes > 0, f1 / np.maximum(classes, 1), np.nan)
            frame["accuracy"] = hits.sum(1) / support.sum(1)
            frames.append(frame.assign(arm=arm, scheme=scheme))
    columns = ["n_cells", "classes", "macro_f1", "accuracy"]
    if not frames:
        return pd.DataFrame(columns=["arm", "scheme", "donor", *columns])
    table = pd.concat(frames, ignore_index=True)
    means = table.groupby(["arm", "scheme", "donor"], sort=False, as_index=False)[columns].mean()
    return means.astype({"n_cells": int, "classes": int})


def confusion(
    predictions: pd.DataFrame, arm: str | None = None, scheme: str | None = None, fold: int | None = None
) -> pd.DataFrame:
    """Return counts of cells, true class (rows) by predicted class (columns), over all folds or one.

    Parameters
    ----------
    predictions
        The run table or its `tally`; the rows of one arm and scheme if neither is named.
    """
    chosen = predictions
    for name, value in (("arm", arm), ("scheme", scheme), ("fold", fold)):
        if value is not None:
            chosen = chosen[chosen[name] == value]
    table = pd.crosstab(chosen["true"], chosen["predicted"], weights_of(chosen), aggfunc="sum")
    columns = sorted(set(table.index) | set(table.columns))
    return table.reindex(index=sorted(table.index), columns=columns).fillna(0).astype(int)
