"""Selections of cells that were given a name: which cells, how they were chosen, when, on which content.

A selection NAME of a dataset is ``DATASET/selections/NAME.json`` and the row numbers, ``NAME.npy``. The JSON
is written last and carries the hash of the rows, so a selection is whole or absent.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sgm_core import home
from sgm_core.access import acts
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError, NotFoundError

AUTOMATIC = "auto-"
"""Names that begin so were given by a link whose selection was too long for it."""
_SCHEMA = 1


@dataclass(frozen=True)
class Selection:
    """A saved selection.

    Parameters
    ----------
    name
        Its name.
    path
        Its ``.json``.
    n_cells
        Number of cells in it.
    created
        When it was saved, ISO 8601 in UTC.
    description
        What was selected, in words.
    steps
        How: polygons, thresholds, filters, as JSON (`sgm_core.analysis.selection_steps.from_json`).
    dataset_hash
        The content of the dataset at that time.
    rows_hash
        SHA-256 of the row numbers.
    """

    name: str
    path: Path
    n_cells: int
    created: str
    description: str
    steps: list[dict[str, Any]]
    dataset_hash: str
    rows_hash: str

    def rows(self) -> np.ndarray:
        """Return the row numbers in the dataset, int64 ascending (n_cells,).

        Raises
        ------
        InputError
            If the file of the rows is damaged.
        """
        try:
            rows = np.load(self.path.with_suffix(".npy"), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            rows = np.array([], dtype=np.int64)
        if _hash(rows) != self.rows_hash:
            raise InputError(
                f"the saved selection {self.name!r} is damaged: delete it and select the cells again"
            )
        return rows


@acts(
    "save a selection",
    lambda dataset, name, *_, **__: None if name.startswith(AUTOMATIC) else f"{dataset.name} {name}",
)
def save_selection(
    dataset: Dataset,
    name: str,
    selected: np.ndarray,
    steps: Sequence[dict[str, Any]] = (),
    description: str = "",
) -> Selection:
    """Save the cells of a selection under a name.

    Parameters
    ----------
    dataset
        Where the cells are.
    name
        1 to 64 letters, digits, ``. _ -``.
    selected
        Bool (n_cells,).
    steps
        How they were selected, as JSON.
    description
        The same in words.

    Raises
    ------
    InputError
        If the name can't be used or is taken, no cell is selected, or `selected` is not of the dataset.
    """
    selected = np.asarray(selected)
    if selected.shape != (dataset.n_cells,) or selected.dtype != bool:
        raise InputError(
            f"a selection of {dataset.name!r} says yes or no for each of its {dataset.n_cells:,} cells, "
            f"not {selected.dtype} of shape {selected.shape}"
        )
    path = _path(dataset, name)
    if path.exists():
        raise InputError(f"a selection {name!r} exists already: choose another name, or delete it first")
    rows = np.flatnonzero(selected).astype(np.int64)
    if not rows.size:
        raise InputError("no cell is selected: there is nothing to save")
    with home.whole_file(path.with_suffix(".npy")) as temporary, temporary.open("wb") as stream:
        np.save(stream, rows)
    home.write_json(
        path,
        {
            "schema_version": _SCHEMA,
            "n_cells": int(rows.size),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "description": description,
            "steps": list(steps),
            "dataset_hash": dataset.content_hash,
            "rows_hash": _hash(rows),
        },
    )
    return open_selection(dataset, name)


def open_selection(dataset: Dataset, name: str) -> Selection:
    """Open a saved selection.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    InputError
        If it is damaged, or was made on other cells.
    """
    path = _path(dataset, name)
    if not path.is_file():
        there = ", ".join(repr(each.name) for each in list_selections(dataset)[:5])
        advice = f"there are {there}" if there else "none is saved yet"
        raise NotFoundError(f"dataset {dataset.name!r} has no saved selection {name!r}: {advice}")
    selection = _read(path)
    if selection.dataset_hash != dataset.content_hash:
        raise InputError(
            f"the saved selection {name!r} was made on other cells than {dataset.name!r} has now: delete it"
        )
    return selection


def list_selections(dataset: Dataset, automatic: bool = False) -> list[Selection]:
    """Return the saved selections of a dataset, newest first; those of links only if `automatic`.

    Damaged ones, and those of other cells, are left out.
    """
    found = []
    for path in (dataset.path / "selections").glob("[!.]*.json"):
        try:
            selection = _read(path)
        except InputError:
            continue
        mine = selection.dataset_hash == dataset.content_hash
        if mine and (automatic or not selection.name.startswith(AUTOMATIC)):
            found.append(selection)
    return sorted(found, key=lambda each: (each.created, each.name), reverse=True)


@acts("rename a selection", lambda dataset, name, new_name: f"{dataset.name} {name}")
def rename_selection(dataset: Dataset, name: str, new_name: str) -> Selection:
    """Give a saved selection another name.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    InputError
        If the new name can't be used or is taken.
    """
    old = open_selection(dataset, name)
    path = _path(dataset, new_name)
    if path.exists():
        raise InputError(f"a selection {new_name!r} exists already: choose another name")
    rows = path.with_suffix(".npy")
    rows.unlink(missing_ok=True)  # of a selection that was never finished
    os.link(old.path.with_suffix(".npy"), rows)
    old.path.rename(path)
    old.path.with_suffix(".npy").unlink()
    return open_selection(dataset, new_name)


@acts("delete a selection", lambda dataset, name: f"{dataset.name} {name}")
def delete_selection(dataset: Dataset, name: str) -> None:
    """Delete a saved selection, damaged or not.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    path = _path(dataset, name)
    if not path.is_file():
        raise NotFoundError(f"dataset {dataset.name!r} has no saved selection {name!r}")
    path.unlink()
    path.with_suffix(".npy").unlink(missing_ok=True)


def _path(dataset: Dataset, name: str) -> Path:
    return dataset.path / "selections" / f"{home.check_name(name, 'name of a selection')}.json"


def _hash(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).data).hexdigest()


def _read(path: Path) -> Selection:
    try:
        content = home.read_json(path)
        if content.pop("schema_version") != _SCHEMA:
            raise InputError(
                f"a newer program saved the selection {path.stem!r}: update this one, or delete it"
            )
        return Selection(name=path.stem, path=path, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"the saved selection {path.stem!r} is damaged ({type(error).__name__}): delete it"
        ) from error
