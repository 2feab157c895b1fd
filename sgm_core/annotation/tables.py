"""The tables of a model: genes, classes, donors, reference cells, signatures, what it was never shown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.analysis.metrics import per_class
from sgm_core.analysis.umap_map import umap
from sgm_core.annotation.folds import BLOCK
from sgm_core.annotation.member import Member
from sgm_core.annotation.signatures import choose_signatures, describe, weights
from sgm_core.annotation.task import Task
from sgm_core.cells.dataset import Dataset

_FEWEST_MAPPED = 5


def genes_table(dataset: Dataset) -> pd.DataFrame:
    """Return the genes in the order of the columns: gene, ensembl (may be None)."""
    ids = dataset.var.get("ensembl")
    return pd.DataFrame(
        {"gene": dataset.genes, "ensembl": np.full(dataset.n_genes, None) if ids is None else ids}
    )


def classes_table(task: Task, tested: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of each class on donors that a fold did not train on.

    Parameters
    ----------
    task : what is fitted
    tested : cells of these classes: true, predicted, donor, shown, alarm_elsewhere
    """
    table = per_class(tested.assign(arm="model", scheme="model", seed=0, scored=True, fold=0))
    table = table[table["fold"] == -1].set_index("cell_type").reindex(task.classes)
    table["n_cells"] = task.labels.value_counts()
    table["n_donors"] = task.dataset.donors().groupby(task.labels.to_numpy()).nunique()
    table["false_alarms"] = tested[tested["shown"]].groupby("true")["alarm_elsewhere"].mean()
    columns = ["cell_type", "n_cells", "n_donors", "precision", "recall", "f1", "support", "false_alarms"]
    return table.reset_index()[columns]


def donors_table(task: Task, tested: pd.DataFrame) -> pd.DataFrame:
    """Return one row a donor: cells, false alarms, columns that are the same in all its cells, ``n:CLASS``.

    Numbers of classes are by the predictions of the fold that did not train on the donor, so that they can
    be compared with predictions of new samples.
    """
    dataset = task.dataset
    donors = dataset.donors().astype(str)
    table = pd.DataFrame({"n_cells": donors.value_counts().sort_index()})
    table["false_alarms"] = tested[tested["shown"]].groupby("donor")["alarm_elsewhere"].mean()
    for column in dataset.grouping_columns():
        if column in (dataset.donor_column, dataset.cell_type_column):
            continue
        values = dataset.annotations[column].groupby(donors.to_numpy())
        if (values.nunique(dropna=False) == 1).all():
            table[f"is:{column}"] = values.first().map(str, na_action="ignore")
    counts = pd.crosstab(tested["donor"], tested["predicted"]).reindex(
        table.index, columns=task.classes, fill_value=0
    )
    return table.join(counts.add_prefix("n:")).rename_axis("donor").reset_index()


def reference_table(task: Task, member: Member, with_map: bool) -> pd.DataFrame:
    """Return the reference cells of a classifier, with their place on a map of its own space.

    cell (row number), name, donor, cell_type, x and y, which are NaN without a map.
    """
    rows, dataset = member.reference_rows, task.dataset
    place = np.full((len(rows), 2), np.nan, np.float32)
    if with_map and len(rows) >= _FEWEST_MAPPED:
        place = umap(member.reference, task.seed)
    return pd.DataFrame(
        {
            "cell": rows,
            "name": dataset.obs["cell"].iloc[rows].astype(str).to_numpy(),
            "donor": dataset.donors().iloc[rows].astype(str).to_numpy(),
            "cell_type": np.array(task.classes)[task.codes[rows]],
            "x": place[:, 0],
            "y": place[:, 1],
        }
    )


def signatures_table(task: Task, sets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the signatures with their scores among the training cells; the cells are read twice."""
    task.steps.said("scores of signatures")
    dataset, codes, n_classes = task.dataset, task.codes, len(task.classes)
    rows = np.flatnonzero(codes >= 0)
    if len(rows) > 5 * BLOCK:
        rows = np.sort(np.random.default_rng(73).permutation(rows)[: 5 * BLOCK])
    sums, n = np.zeros((n_classes, dataset.n_genes)), np.bincount(codes[rows], minlength=n_classes)
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    for block in blocks:
        values, own = dataset.lognorm(block), codes[block]
        for number in np.unique(own):
            sums[number] += np.asarray(values[own == number].sum(0)).ravel()
    found = choose_signatures(dataset, sums / np.maximum(n, 1)[:, None], task.classes, sets)
    matrix = weights(found, dataset.genes)
    scores = np.concatenate([(dataset.lognorm(block) @ matrix).toarray() for block in blocks])
    return describe(found, scores, np.array(task.classes)[codes[rows]])


def never_shown(task: Task) -> dict[str, Any]:
    """Return what the model was never shown: rare classes; and the timepoints that are all it was shown."""
    shown: dict[str, Any] = {"classes": task.others.to_dict("records")}
    column = task.dataset.timepoint_column
    if column:
        shown["only_timepoints"] = sorted(task.dataset.annotations[column].dropna().astype(str).unique())
    return shown
