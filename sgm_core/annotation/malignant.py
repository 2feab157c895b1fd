"""Malignant against normal cells, where the labels that trained a model carry it, and only there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.analysis.chance import Chance, chance
from sgm_core.annotation.annotated import UNKNOWN
from sgm_core.annotation.shares import require_useful
from sgm_core.annotation.store import Model

_MALIGNANT = re.compile(r"\b(malignant|leuka?emic|tumou?r|cancer(ous)?|neoplastic)\b", re.IGNORECASE)
_NOT = re.compile(r"\bnon[- ]?(malignant|leuka?emic|tumou?r|cancer(ous)?|neoplastic)\b", re.IGNORECASE)
_LIKE = re.compile(r"(.+)[-_ ]like", re.IGNORECASE)


@dataclass(frozen=True)
class Malignancy:
    """Which classes are malignant, and how well the model tells them on donors that it never saw.

    Parameters
    ----------
    classes : the malignant ones; all others are normal
    sensitivity : share of malignant cells that are named one of these classes
    specificity : share of normal cells that are named another
    chance : against predictions shuffled within donors
    """

    classes: tuple[str, ...]
    sensitivity: float
    specificity: float
    chance: Chance


def malignant_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that are malignant by their names; none where not both kinds are there.

    A name says so itself ("malignant", "leukemic", "tumour"), or is the leukaemic counterpart of another
    class as van Galen et al. 2019 (doi:10.1016/j.cell.2019.01.031) name them: "HSC-like" beside "HSC".
    """
    said = {name for name in classes if _MALIGNANT.search(name) and not _NOT.search(name)}
    known = {name.casefold() for name in classes}
    for name in classes:
        found = _LIKE.fullmatch(name)
        if found and found[1].casefold() in known:
            said.add(name)
    return tuple(name for name in classes if name in said) if 0 < len(said) < len(classes) else ()


def malignancy(model: Model) -> Malignancy | None:
    """Return how well a model tells malignant from normal cells of unseen donors.

    None where its labels don't carry it, or it is no better than chance at it.
    """
    classes = malignant_classes(model.classes)
    if not classes or not model.useful:
        return None
    table = model.table("out_of_donor")
    table = table[table["true"].isin(model.classes)]
    true, said = (table[column].isin(classes).to_numpy() for column in ("true", "predicted"))
    donors = table["donor"].to_numpy(str)
    luck = chance(np.where(true, "malignant", "normal"), np.where(said, "malignant", "normal"), donors)
    if not luck.useful or true.all() or not true.any():
        return None
    return Malignancy(classes, float(said[true].mean()), float((~said[~true]).mean()), luck)


def malignant_shares(model: Model, predictions: pd.DataFrame, samples: np.ndarray) -> pd.DataFrame:
    """Return what each sample's cells are named: malignant, normal or unknown.

    Parameters
    ----------
    model : whose labels carry malignancy
    predictions : of `sgm_core.annotation.annotate`
    samples : sample of each cell (n,)

    Returns
    -------
    DataFrame
        sample, state (malignant, normal, unknown), n_cells, share.

    Raises
    ------
    InputError
        If the model is no better than chance.
    """
    require_useful(model)
    classes = malignant_classes(model.classes)
    named = predictions["cell_type"]
    state = np.where(named == UNKNOWN, UNKNOWN, np.where(named.isin(classes), "malignant", "normal"))
    table = pd.crosstab(np.asarray(samples, str), state)
    table = table.reindex(columns=["malignant", "normal", UNKNOWN], fill_value=0)
    long = table.rename_axis("sample").reset_index().melt("sample", var_name="state", value_name="n_cells")
    long["share"] = long["n_cells"] / long.groupby("sample")["n_cells"].transform("sum")
    return long
