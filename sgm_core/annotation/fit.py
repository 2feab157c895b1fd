"""Fit an annotation model: on all donors, calibrated and bounded by donors and classes that were held out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sgm_core.annotation.bounds import bounds_of
from sgm_core.annotation.facts import facts
from sgm_core.annotation.folds import fold_members, unseen_cells
from sgm_core.annotation.member import train_member
from sgm_core.annotation.store import Model, write_model
from sgm_core.annotation.tables import (
    classes_table,
    donors_table,
    genes_table,
    reference_table,
    signatures_table,
)
from sgm_core.annotation.task import check_fit, make_task
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.progress import Observer
from sgm_core.training.config.settings import BY_SIZE


def fit_model(
    data: str | Dataset,
    name: str,
    arm: str = "hvg-logistic",
    label: str | None = None,
    folds: int = 5,
    false_alarm: float = 0.05,
    signatures: Mapping[str, Sequence[str]] | None = None,
    why: str = "",
    with_map: bool = True,
    train_cells: int | str | None = BY_SIZE,
    seed: int = 0,
    observer: Observer | None = None,
) -> Model:
    """Fit a model that names cells, and keep it as ``$SGM_HOME/models/NAME``.

    Each donor fold trains a classifier as the comparison does; its test donors' cells give the temperature,
    the scores of the card and the false alarms of 'unknown', so no donor judges what it trained. All have
    the median of the penalties that the folds' validation donors choose. The classifier that is used trains
    on all donors; those of the folds say how far it can be relied on. A classifier without each class says
    how well an unknown class is found.

    Parameters
    ----------
    data : a dataset or its name
    name : of the model
    arm : ``hvg-logistic`` or ``pca-logistic``, as in a comparison
    label : the label column
    folds : number of donor folds
    false_alarm : share of known cells of unseen donors that may be called unknown, 0 to 0.5
    signatures : gene sets whose scores are compared with the predictions
    why : how the arm was chosen, for the card
    with_map : work out a map of the reference in the model's own space, which takes half a minute
    train_cells : as in a comparison
    seed : of the map and the draws
    observer : is told the progress

    Raises
    ------
    InputError
        If the name is taken, the arm can't be kept as a model, or fewer than two classes have 20 cells and 5
        donors.
    """
    observer = observer or Observer()
    dataset = open_dataset(data) if isinstance(data, str) else data
    check_fit(name, arm, false_alarm)
    task = make_task(dataset, arm, label, folds, train_cells, seed, observer)
    members, chosen = fold_members(task)
    strength = members[0].linear.strength
    tested, logits = unseen_cells(task, members)
    rows = np.flatnonzero(task.codes >= 0)
    final = train_member(
        dataset, rows, task.codes[rows], arm, task.steps.said("training on all donors"),
        strength=strength, asked=train_cells, seed=seed,
    )  # fmt: skip
    bounds = bounds_of(task, tested, logits, strength, false_alarm)
    tested, known = bounds.tested, bounds.known
    found = signatures_table(task, signatures or {})
    tables = {
        "genes": genes_table(dataset),
        "classes": classes_table(task, tested[known]),
        "donors": donors_table(task, tested),
        "held_out": bounds.held_out,
        "out_of_donor": tested.drop(columns=["code", "shown"]),
        "reference": reference_table(task, final, with_map),
    }
    meta: dict[str, Any] = facts(task, bounds) | {
        "why": why or "asked for by name",
        "strength": strength,
        "fold_strengths": chosen,
        "n_genes_read": len(final.genes),
    }
    model = write_model(name, meta, [final, *members], bounds.rarity, tables, found)
    observer.progress(1, 1, "model written")
    return model
