"""The donor folds of a run: one answer for training, comparison, estimate, pages and the command line."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold, donor_folds, fold_cells
from sgm_core.errors import InputError

_SEED = 0  # of the split: runs that differ in their seed alone are judged on the same donors


def scored_folds(dataset: Dataset, config: Any) -> list[Fold]:
    """Return every fold that a run is scored on: those of `run_folds`, or the draws of the split `authors`.

    Parameters
    ----------
    dataset : the cells
    config : a configuration of any kind, or the parameters of a run; read are its split, its number of folds
        (``folds`` or ``n_folds``) and its label. Its seed plays no part.
    """
    if isinstance(config, Mapping):
        own = dict(config)
    else:
        own = {name: getattr(config, name, None) for name in ("split", "folds", "n_folds", "label")}
    n_folds = own.get("folds") or own.get("n_folds") or 5
    return donor_folds(dataset, own.get("split") or "cv", n_folds, _SEED, own.get("label"))


def run_folds(dataset: Dataset, config: Any) -> list[Fold]:
    """Return the folds that a run trains for, each with other test donors.

    The split `authors` has one: its five draws are scored with the same model (`draws_of`).

    Parameters
    ----------
    dataset, config : see `scored_folds`

    Raises
    ------
    InputError
        If the dataset can't be split so.
    """
    folds = scored_folds(dataset, config)
    return folds if folds[0].draw is None else [replace(folds[0], index=0, draw=None)]


def run_fold(dataset: Dataset, config: Any) -> Fold | None:
    """Return the fold that a pretraining hides the test donors of, None where all donors share it.

    Raises
    ------
    InputError
        If there is no such fold.
    """
    return None if config.fold is None else wanted(run_folds(dataset, config), config.fold)[0]


def wanted(folds: list[Fold], index: int | None) -> list[Fold]:
    """Return the fold of the number `index` alone, or all of them where it is None."""
    if index is None:
        return folds
    if not 0 <= index < len(folds):
        raise InputError(f"fold is {index}: with {len(folds)} folds it is 0 to {len(folds) - 1}")
    return [folds[index]]


def draws_of(
    dataset: Dataset, config: Any, predictions: pd.DataFrame
) -> Iterator[tuple[dict[str, int], pd.DataFrame]]:
    """Yield what is scored of one fold's predictions, with the columns that tell it from the others.

    Parameters
    ----------
    dataset, config : see `scored_folds`
    predictions : each test cell once, its row in the column ``cell``

    Yields
    ------
    columns, predictions : none and all of them; under the split `authors` ``draw`` and the cells drawn, as
        often as they were drawn
    """
    for fold in scored_folds(dataset, config):
        if fold.draw is None:
            yield {}, predictions
            return
        drawn = fold_cells(dataset, fold)[2]
        drawn = drawn[np.isin(drawn, predictions["cell"])]
        yield {"draw": fold.draw}, predictions.set_index("cell").loc[drawn].reset_index()
