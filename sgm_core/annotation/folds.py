"""The classifiers of the donor folds, and what each says of the donors that it did not train on."""

from dataclasses import replace

import numpy as np
import pandas as pd

from sgm_core.annotation.member import Member, penalties, train_member
from sgm_core.annotation.reader import Reader
from sgm_core.annotation.task import Task
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold, fold_cells
from sgm_core.errors import InputError
from sgm_core.progress import Observer

BLOCK = 4096
_NEVER = -30.0


def fold_members(task: Task) -> tuple[list[Member], list[float]]:
    """Return a classifier for each fold, and the penalties that the folds' validation donors chose.

    All have the median of these penalties: one temperature fits classifiers of one penalty alone.

    Raises
    ------
    InputError
        If the training donors of a fold have fewer than two classes.
    """
    members = [fold_member(task, fold, task.reader(fold)) for fold in task.split]
    chosen = [member.linear.strength for member in members]
    median = float(np.median(chosen))
    choice = sorted({*chosen, *penalties(task.arm, task.dataset.n_cells)})
    strength = min(choice, key=lambda c: abs(np.log(c / median)))
    return [
        member if member.linear.strength == strength else fold_member(task, fold, task.reader(fold), strength)
        for member, fold in zip(members, task.split, strict=True)
    ], chosen


def fold_member(task: Task, fold: Fold, reader: Reader | None, strength: float | None = None) -> Member:
    """Return the classifier of a fold's training donors.

    Parameters
    ----------
    task, fold : what is fitted, and which donors train
    reader : what reads cells, None = a baseline
    strength : the penalty's inverse strength; None = the fold's validation donors choose

    Raises
    ------
    InputError
        If the training donors have fewer than two classes.
    """
    train, own, chosen_by, there = _parts(task, fold)
    member = train_member(
        task.dataset, train, own, task.arm, task.steps.said(f"fold {fold.index}: training"), chosen_by,
        strength, task.train_cells, task.seed, reader,
    )  # fmt: skip
    return _widened(member, there, len(task.classes))


def finetuned_members(task: Task, members: list[Member]) -> tuple[list[Member], list[int]]:
    """Return the folds' classifiers with a part of their backbone trained, and the epochs that each chose.

    All train for the median of the epochs that the folds' validation donors choose, as all have one penalty;
    where it is 0 they are the probes themselves.

    Parameters
    ----------
    task : what is fitted
    members : the folds' probes, which they start from
    """
    found = [_finetuned(task, member, fold) for member, fold in zip(members, task.split, strict=True)]
    chosen = [epochs for _, epochs in found]
    if not (common := common_epochs(chosen)):
        return members, chosen
    settled = replace(task, epochs=common)
    return [
        tuned if epochs == common else _finetuned(settled, member, fold)[0]
        for (tuned, epochs), member, fold in zip(found, members, task.split, strict=True)
    ], chosen


def common_epochs(chosen: list[int]) -> int:
    """Return the epochs of all classifiers, of those that the folds chose."""
    return round(float(np.median(chosen)))


def _finetuned(task: Task, member: Member, fold: Fold) -> tuple[Member, int]:
    """Return a fold's classifier, trained for ``task.epochs`` or those that its validation donors choose."""
    from sgm_core.annotation.finetuned import finetuned

    task.steps.said(f"fold {fold.index}: finetuning")
    train, own, chosen_by, there = _parts(task, fold)
    linear = member.linear._replace(weight=member.linear.weight[there], bias=member.linear.bias[there])
    probe = replace(member, linear=linear)
    tuned, epochs = finetuned(task, probe, train, own, None if task.epochs else chosen_by)
    return _widened(tuned, there, len(task.classes)), epochs


def _parts(
    task: Task, fold: Fold
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return a fold's training cells with their classes, its validation cells with theirs, and the classes.

    Class numbers are those of the last, the classes of the training donors.
    """
    codes = task.codes
    train, validation, _ = (rows[codes[rows] >= 0] for rows in fold_cells(task.dataset, fold))
    there, own = np.unique(codes[train], return_inverse=True)
    if len(there) < 2:
        raise InputError(
            f"the training donors of fold {fold.index} have {len(there)} classes: take other folds"
        )
    chosen = validation[np.isin(codes[validation], there)]
    return train, own, (chosen, np.searchsorted(there, codes[chosen])), there


def _widened(member: Member, there: np.ndarray, n: int) -> Member:
    """Return a member with a logit for every class; one that its donors lack is never named."""
    if len(there) == n:
        return member
    weight = np.zeros((n, member.linear.weight.shape[1]), np.float32)
    bias = np.full(n, _NEVER, np.float32)
    weight[there], bias[there] = member.linear.weight, member.linear.bias
    return replace(member, linear=member.linear._replace(weight=weight, bias=bias))


def unseen_cells(task: Task, members: list[Member]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return what each fold's classifier says of its test donors' labelled cells.

    Returns
    -------
    table
        cell (row number), fold, donor, true, code (class number, -1 for a rare class), shown (whether the
        fold's training donors have cells of its class), distance.
    logits
        Of these cells (n, C).
    """
    parts = [_tested(task, member, fold) for member, fold in zip(members, task.split, strict=True)]
    table = pd.concat([frame for frame, _ in parts], ignore_index=True)
    return table, np.ascontiguousarray(np.concatenate([logits for _, logits in parts]))


def _tested(task: Task, member: Member, fold: Fold) -> tuple[pd.DataFrame, np.ndarray]:
    train, _, test = fold_cells(task.dataset, fold)
    test = test[task.labels.notna().to_numpy()[test]]
    task.steps.said(f"fold {fold.index}: naming cells of its test donors")
    logits, distance = judged(task.dataset, member, test, task.steps)
    table = pd.DataFrame(
        {
            "cell": test,
            "fold": fold.index,
            "donor": task.dataset.donors().iloc[test].astype(str).to_numpy(),
            "true": task.labels.iloc[test].astype(str).to_numpy(),
            "code": task.codes[test],
            "shown": (task.codes[test] >= 0) & np.isin(task.codes[test], task.codes[train]),
            "distance": distance,
        }
    )
    return table, logits


def judged(
    dataset: Dataset, member: Member, rows: np.ndarray, observer: Observer
) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits (n, C) and the distances (n,) of cells of a dataset, block by block."""
    logits, distances = [], []
    for start in range(0, len(rows), BLOCK):
        observer.check()
        block = member.reader.of_cells(dataset, rows[start : start + BLOCK], observer)
        vectors = member.scale.apply(block)
        logits.append(member.logits(vectors))
        distances.append(member.nearest(member.place(vectors))[0].mean(1))
    n_classes = len(member.linear.bias)
    return np.concatenate([np.empty((0, n_classes)), *logits]), np.concatenate([np.empty(0), *distances])
