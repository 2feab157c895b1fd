"""Statistics of a comparison at several numbers of labelled cells a class (label budgets).

Draws of the labelled cells are averaged within a fold and seed first, seeds within the fold next; folds,
which hold other donors, carry the interval. Budgets share models and cells, so they are no independent
evidence: every main comparison at every budget is one test of one Holm family; nothing is pooled over them.
"""

from collections.abc import Sequence

import pandas as pd

from sgm_core.analysis.statistics import (
    BASELINE,
    DESCRIBED,
    fold_summary,
    judge_family,
    paired_difference,
    planned_pairs,
    primary_pair,
)

MAIN = (
    ("self-guided", "uniform+summary"),
    ("uniform+summary", "no-pretraining"),
    ("self-guided", "hvg-logistic"),
)
"""The main comparisons, stated before any result, each by the comparison's headline scheme at every budget:
does guiding the masks help, does pretraining help, and is the whole better than what needs no pretraining."""
ALL = 0
"""Value of the column ``labels`` that stands for every labelled cell."""
BUDGETS = [
    "arm", "scheme", "fold", "seed", "labels", "draw", "macro_f1", "weighted_f1", "n_train", "n_classes",
    "short", "donors_train", "donors_test",
]  # fmt: skip
"""Columns of the run table ``budgets``; n_classes: classes that are learned, those of the training donors."""
_SUMMARY = ["arm", "scheme", "labels", "mean", "low", "high", "folds", "seeds", "draws"]
_PAIR = [
    "arm", "against", "scheme", "against_scheme", "labels", "difference", "low", "high", "p", "p_holm",
    "detectable", "main", "verdict",
]  # fmt: skip


def with_all_labels(few: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the run table ``budgets``: the scores with few labels, and `folds` as labels 0 (all).

    The classes that are learned are the fold's, whatever the number of labels.
    """
    learned = few.groupby("fold")["n_classes"].first()
    whole = folds.assign(labels=ALL, draw=0, n_classes=folds["fold"].map(learned), short=0)
    # few labels are scored in the task that scores all of them, so that every fold is known
    whole = whole.astype({"n_classes": few["n_classes"].dtype})
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
        sides = list(dict.fromkeys(zip(table["arm"], table["scheme"], strict=True)))
        for a, b in planned_pairs(sides):
            found = paired_difference(table, a, b, role="secondary")
            if found["n_folds"]:
                main = (a[0], b[0]) in MAIN and a[1] == headline
                own = {"against": b[0], "against_scheme": b[1], "labels": labels, "main": main}
                rows.append({**found, **own} | ({} if main else {"verdict": DESCRIBED}))
    judge_family([row for row in rows if row["main"]])
    summary = pd.concat(summaries, ignore_index=True).rename(columns={"n_folds": "folds", "n_seeds": "seeds"})
    summary = summary.join(draws, on=["arm", "scheme", "labels"])[_SUMMARY]
    paired = pd.DataFrame(rows, columns=None if rows else _PAIR).rename(columns={"arm_a": "arm"})
    return {"budget_summary": summary, "budget_paired": paired[_PAIR]}
