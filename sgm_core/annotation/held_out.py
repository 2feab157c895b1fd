"""How well classes that were never shown are found, and how often known cells are called unknown."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from sgm_core.annotation.folds import judged
from sgm_core.annotation.task import Task
from sgm_core.annotation.unknown import WEIGHTS, Judged, rarity_of, threshold
from sgm_core.cells.split import fold_cells

_AIMS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0)
_MOST_TESTED = 4000  # cells that a held-out class is looked for among
_FEWEST = 5
_COLUMNS = ("cell_type", "fold", "n_cells", "n_others", "auroc")


def held_out_classes(task: Task, strength: float, null: Judged) -> tuple[pd.DataFrame, float]:
    """Look for each class with a classifier that never saw it.

    Parameters
    ----------
    task : what is fitted
    strength : the penalty's inverse strength
    null : known cells of donors that a fold did not train on

    Returns
    -------
    table
        cell_type, fold, n_cells, n_others, auroc: each at the weight that the other classes choose.
    weight
        What the distance counts beside the evidence, by all classes.
    """
    rows: list[dict[str, Any]] = []
    found: list[list[float]] = []
    parts = [fold_cells(task.dataset, fold) for fold in task.split]
    for at, together in _groups(task, parts):
        task.steps.said(f"a classifier without {', '.join(task.classes[number] for number in together)}")
        one = _without(task, at, parts[at], together, strength)
        if one is None:
            continue
        codes, cells = one
        scores = [rarity_of(null, weight).score(cells)[0] for weight in WEIGHTS]
        others = ~np.isin(codes, together)
        for number in together:
            inside = codes == number
            if inside.sum() < _FEWEST or not others.any():
                continue
            asked = inside | others
            found.append([float(roc_auc_score(inside[asked], -score[asked])) for score in scores])
            rows.append(
                {
                    "cell_type": task.classes[number],
                    "fold": task.split[at].index,
                    "n_cells": int(inside.sum()),
                    "n_others": int(others.sum()),
                }
            )
    if not found:
        return pd.DataFrame(columns=list(_COLUMNS)), 0.5
    by = np.array(found)
    for number, row in enumerate(rows):
        others = np.delete(by, number, axis=0) if len(by) > 1 else by
        row["auroc"] = float(by[number, others.mean(0).argmax()])
    return pd.DataFrame(rows), WEIGHTS[int(by.mean(0).argmax())]


def _groups(task: Task, parts: Sequence[tuple[np.ndarray, ...]]) -> list[tuple[int, list[int]]]:
    """Return which classes are held out together, each of the fold that has most of its cells.

    One by one; of a backbone that is finetuned up to a quarter of the classes at once, as each takes a
    finetuning of its own.
    """
    most = max(1, len(task.classes) // 4) if task.finetunes else 1
    by_fold: dict[int, list[list[int]]] = {}
    for number in range(len(task.classes)):
        at = int(np.argmax([(task.codes[part[2]] == number).sum() for part in parts]))
        groups = by_fold.setdefault(at, [[]])
        if len(groups[-1]) == most:
            groups.append([])
        groups[-1].append(number)
    found = [(at, group) for at, groups in by_fold.items() for group in groups]
    return sorted(found, key=lambda one: one[1][0])


def _without(
    task: Task,
    at: int,
    part: tuple[np.ndarray, ...],
    together: list[int],
    strength: float,
) -> tuple[np.ndarray, Judged] | None:
    """Return what a classifier without some classes says of cells of a fold's test donors.

    The class number of each cell, and all of them judged; None where it can't be asked.
    """
    from sgm_core.annotation.finetuned import trained

    codes = task.codes
    train, _, test = (rows[codes[rows] >= 0] for rows in part)
    train = train[~np.isin(codes[train], together)]
    there, own = np.unique(codes[train], return_inverse=True)
    if len(test) > _MOST_TESTED:
        test = np.sort(np.random.default_rng([together[0], 72]).permutation(test)[:_MOST_TESTED])
    inside = np.isin(codes[test], together)
    if len(there) < 2 or inside.sum() < _FEWEST or inside.all():
        return None
    without = trained(task, task.split[at], train, own, strength)
    logits, distance = judged(task.dataset, without, test, task.steps)
    return codes[test], Judged(distance, logits.max(1))


def false_alarms(
    cells: Judged, known: np.ndarray, fold: np.ndarray, weight: float, rate: float
) -> tuple[float, np.ndarray]:
    """Return the rate that thresholds aim at, and which cells are unknown by those of other donors.

    Cells of a new donor are farther than those of the donors that a threshold comes from, so it aims at
    less than the stated rate: at the most by which, of the known cells of donors that set no threshold, at
    most the stated rate is called unknown.

    Parameters
    ----------
    cells : of donors that their fold did not train on (n,)
    known : which of them are of a class that the fold trained on
    fold : of each
    weight : what the distance counts beside the evidence
    rate : the stated rate
    """
    parts = []
    for one in np.unique(fold):
        null = cells.of((fold != one) & known)
        rarity = rarity_of(null, weight)
        own = fold == one
        parts.append((own, rarity.score(null)[0], rarity.score(cells.of(own))[0]))
    for share in _AIMS:
        alarms = np.zeros(len(fold), bool)
        for own, theirs, here in parts:
            alarms[own] = here < threshold(theirs, share * rate)
        if alarms[known].mean() <= rate:
            break
    return share * rate, alarms
