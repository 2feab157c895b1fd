"""Statistics of a comparison at several numbers of labelled cells a class (label budgets).

Draws of the labelled cells are averaged within a fold and seed first, seeds within the fold next; folds,
which hold other donors, carry the interval. Budgets share models and cells, so they are no independent
evidence: every main comparison at every budget is one test of one Holm family; nothing is pooled over them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sgm_core.analysis.inference import LEVEL, detectable_difference, holm, t_edge
from sgm_core.analysis.statistics import (
    BASELINE,
    DESCRIBED,
    fold_summary,
    paired_difference,
    primary_pair,
)

MAIN = (
    ("self-guided", "uniform+summary"),
    ("uniform+summary", "no-pretraining"),
    ("self-guided", "hvg-logistic"),
)
"""The main comparisons, stated before any result, each by the comparison's headline scheme at every budget:
does guiding the masks help, does pretraining help, and is the whole better than what needs no pretraining."""
BUDGETS = [
    "arm", "scheme", "fold", "seed", "labels", "draw", "macro_f1", "weighted_f1", "n_train", "n_classes",
    "short", "donors_train", "donors_test",
]  # fmt: skip
"""Columns of the run table ``budgets``."""
_SUMMARY = ["arm", "scheme", "labels", "mean", "low", "high", "folds", "seeds", "draws"]
_PAIR = [
    "arm", "against", "scheme", "against_scheme", "labels", "difference", "low", "high", "p", "p_holm",
    "detectable", "main", "verdict",
]  # fmt: skip

Side = tuple[str, str]  # arm, scheme


def with_all_labels(few: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the run table ``budgets``: the scores with few labels, and `folds` as labels 0 (all)."""
    whole = folds.assign(labels=0, draw=0, n_classes=folds["classes_scored"], short=0)
    return pd.concat([few[BUDGETS], whole[BUDGETS]], ignore_index=True)


def budget_tables(budgets: pd.DataFrame, schemes: Sequence[str] | None = None) -> dict[str, pd.DataFrame]:
    """Return the run tables ``budget_summary`` and ``budget_paired``.

    Parameters
    ----------
    budgets
        The run table: `BUDGETS`.
    schemes
        The run's finetuning schemes in its order, which decide the headline scheme (`primary_pair`); by
        default those of the table.

    Returns
    -------
    dict
        Mean macro F1 with its t interval over folds; and paired differences with the Nadeau-Bengio variance.
        Holm corrects the main comparisons (`MAIN`) of all budgets together, and decides their verdict; the
        others have uncorrected p values and no verdict.
    """
    trained = list(dict.fromkeys(budgets.loc[budgets["scheme"] != BASELINE, "scheme"]))
    headline = primary_pair(schemes or trained)[0][1] if trained else ""
    keys = ["arm", "scheme", "fold", "seed", "labels"]
    scores = ["macro_f1", "donors_train", "donors_test"]
    mean = budgets.groupby(keys, sort=False, as_index=False)[scores].mean()
    draws = budgets.groupby(["arm", "scheme", "labels"])["draw"].nunique().rename("draws")
    summaries, rows = [], []
    for labels, table in mean.groupby("labels"):
        summaries.append(fold_summary(table).assign(labels=labels))
        for a, b in _pairs(table):
            found = paired_difference(table, a, b, role="primary")
            if found["n_folds"]:
                main = (a[0], b[0]) in MAIN and a[1] == headline
                rows.append(
                    {**found, "against": b[0], "against_scheme": b[1], "labels": labels, "main": main}
                )
    summary = pd.concat(summaries, ignore_index=True).rename(columns={"n_folds": "folds", "n_seeds": "seeds"})
    summary = summary.join(draws, on=["arm", "scheme", "labels"])[_SUMMARY]
    if not rows:
        return {"budget_summary": summary, "budget_paired": pd.DataFrame(columns=_PAIR)}
    paired = pd.DataFrame(rows).rename(columns={"arm_a": "arm", "scheme_b": "_"})
    return {"budget_summary": summary, "budget_paired": _judged(paired)[_PAIR]}


def _judged(paired: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with Holm's p, verdict and detectable difference of the main comparisons."""
    tested = (paired["main"] & paired["p"].notna()).to_numpy()
    paired["p_holm"] = np.nan
    paired["verdict"] = np.where(paired["main"], "undecided", DESCRIBED)
    if not tested.any():
        return paired
    corrected = holm(paired.loc[tested, "p"].to_numpy())
    paired.loc[tested, "p_holm"] = corrected
    better = paired.loc[tested, "difference"] > 0
    verdicts = np.where(corrected < LEVEL, np.where(better, "better", "worse"), "undecided")
    paired.loc[tested, "verdict"] = verdicts
    rows = paired.loc[tested, ["half_width", "n_folds"]].to_numpy(float)
    level = LEVEL / len(rows)
    paired.loc[tested, "detectable"] = [
        detectable_difference(half / t_edge(int(k)), int(k), level) for half, k in rows
    ]
    return paired


def _pairs(table: pd.DataFrame) -> list[tuple[Side, Side]]:
    """Return, by scheme, self-guided against all others, and each arm against no pretraining."""
    sides = list(dict.fromkeys(zip(table["arm"], table["scheme"], strict=True)))
    baselines = [side for side in sides if side[1] == BASELINE]
    pairs: list[tuple[Side, Side]] = []
    for scheme in dict.fromkeys(scheme for _, scheme in sides if scheme != BASELINE):
        arms = [arm for arm, own in sides if own == scheme]
        rivals = [(arm, scheme) for arm in arms if arm != "self-guided"] + baselines
        if "self-guided" in arms:
            pairs += [(("self-guided", scheme), rival) for rival in rivals]
        if "no-pretraining" in arms:
            rest = [arm for arm in arms if arm not in ("self-guided", "no-pretraining")]
            pairs += [((arm, scheme), ("no-pretraining", scheme)) for arm in rest]
    return pairs
