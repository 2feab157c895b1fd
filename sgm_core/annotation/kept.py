"""Annotations that are kept: ``$SGM_HOME/annotations/NAME``, with corrections by hand that can be undone."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.access import acts
from sgm_core.cells.genes import read_aliases
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer
from sgm_core.spreadsheet import csv_text

if TYPE_CHECKING:
    from sgm_core.annotation.annotated import Annotated

_LONGEST = 200


class Annotation:
    """A kept annotation.

    Parameters
    ----------
    path : its folder
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name

    @property
    def about(self) -> dict[str, Any]:
        """Model, its hash, data, coverage, notes, and when it was made."""
        return home.read_json(self.path / "annotation.json")  # type: ignore[no-any-return]

    def obs(self) -> pd.DataFrame:
        """Return the cells' own columns."""
        return pd.read_parquet(self.path / "obs.parquet")

    def predictions(self) -> pd.DataFrame:
        """Return the predictions, see `sgm_core.annotation.annotate.Annotated`."""
        return pd.read_parquet(self.path / "predictions.parquet")

    def corrections(self) -> list[dict[str, Any]]:
        """Return the corrections that hold, the oldest first: rows, label, who, when."""
        return [self._read(path) for path in self._files() if path.suffix == ".json"]

    @acts(
        "correct",
        lambda self, rows, label, who: f"{self.name}: {label}",
        lambda self, rows, label, who: " ".join(who.split()),
    )
    def correct(self, rows: np.ndarray, label: str, who: str) -> dict[str, Any]:
        """Give cells another label by hand.

        Parameters
        ----------
        rows : row numbers of the cells, or a bool for each of all cells
        label : what they are
        who : says so

        Raises
        ------
        InputError
            If no cell is meant, one does not exist, or the label or who says so is empty.
        """
        rows, n = np.asarray(rows), int(self.about["n_cells"])
        if rows.dtype == bool:
            if rows.shape != (n,):
                raise InputError(f"a mask says yes or no of each of {n:,} cells, and this has {rows.size:,}")
            rows = np.flatnonzero(rows)
        if rows.size and not np.issubdtype(rows.dtype, np.integer):
            raise InputError(f"rows of cells are whole numbers or a mask, not {rows.dtype}")
        rows = np.unique(rows.astype(np.int64))
        if not rows.size or rows[0] < 0 or rows[-1] >= n:
            raise InputError(f"choose cells to correct: their rows go from 0 to {n - 1:,}")
        label, who = " ".join(label.split())[:_LONGEST], " ".join(who.split())[:_LONGEST]
        if not label or not who:
            raise InputError("a correction needs a label, and the name of who corrects")
        when = datetime.now(UTC).isoformat(timespec="seconds")
        made = {"label": label, "who": who, "when": when, "n_cells": len(rows), "rows": rows.tolist()}
        with self._alone():
            numbers = [int(path.stem) for path in self._files()]
            home.write_json(self._folder / f"{max(numbers, default=0) + 1:06d}.json", made)
        return made

    @acts("correct", lambda self: f"{self.name}: taken back")
    def undo(self) -> dict[str, Any] | None:
        """Take back the latest correction that holds; it stays on record as undone. None if none holds."""
        with self._alone():
            there = [path for path in self._files() if path.suffix == ".json"]
            if not there:
                return None
            undone = self._read(there[-1])
            os.replace(there[-1], there[-1].with_suffix(".undone"))
        return undone

    def labels(self) -> pd.DataFrame:
        """Return what can be labels of a new dataset: cell, cell_type, source (model or who), when.

        A correction goes before the prediction, a later one before an earlier one; cells that are unknown
        and not corrected keep 'unknown', which an import takes with ``--unlabelled unknown``.
        """
        predicted = self.predictions()["cell_type"].to_numpy(object)
        table = pd.DataFrame({"cell": self.obs()["cell"], "cell_type": predicted, "source": "model"})
        table["when"] = self.about["created"]
        for made in self.corrections():
            table.loc[made["rows"], ["cell_type", "source", "when"]] = [
                made["label"],
                made["who"],
                made["when"],
            ]
        return table

    def labels_csv(self) -> str:
        """Return `labels` as CSV that no spreadsheet runs, for ``sgm data import --cells``."""
        return csv_text(self.labels())

    @property
    def _folder(self) -> Path:
        return self.path / "corrections"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one write at a time: of two corrections with one number, the first would be lost."""
        lock = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.*"))

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        return home.read_json(path)  # type: ignore[no-any-return]


def check_free(name: str) -> Path:
    """Return where an annotation of that name would be kept.

    Raises
    ------
    InputError
        If the name is taken or unsafe.
    """
    target = home.folder("annotations") / home.check_name(name, "annotation name")
    if target.exists():
        raise InputError(f"an annotation {name!r} exists already: choose another name")
    return target


def keep(name: str, result: Annotated) -> Annotation:
    """Keep an annotation under a name, whole or not at all.

    Raises
    ------
    InputError
        If the name is taken or unsafe.
    """
    target = check_free(name)
    with home.whole_folder(target) as folder:
        home.write_table(folder / "obs.parquet", result.obs)
        home.write_table(folder / "predictions.parquet", result.predictions)
        (folder / "corrections").mkdir()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        home.write_json(folder / "annotation.json", {**result.about, "created": created})
    return Annotation(target)


def annotate_run(parameters: dict[str, Any], folder: Path, observer: Observer) -> None:
    """Carry out a run of kind ``annotate``: name cells and keep them as an annotation.

    Parameters
    ----------
    parameters
        ``data``, a dataset, or ``path``, a file; ``model``; ``name``, of the annotation; ``layer``,
        ``aliases`` (a file) and ``own_map``, if any.
    folder
        The run's folder, where finished blocks lie until all are done.
    observer
        Is told the progress.
    """
    from sgm_core.annotation.annotate import annotate

    check_free(parameters["name"])
    table = parameters.get("aliases")
    result = annotate(
        str(parameters.get("data") or parameters["path"]),
        str(parameters["model"]),
        folder / "annotation",
        aliases=read_aliases(Path(table)) if table else None,
        layer=parameters.get("layer"),
        own_map=bool(parameters.get("own_map")),
        observer=observer,
    )
    made = keep(parameters["name"], result)
    observer.message(f"{len(result.obs):,} cells named, kept as annotation {made.name}")


def open_annotation(name: str) -> Annotation:
    """Open a kept annotation.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    path = home.folder("annotations") / home.check_name(name, "annotation name")
    if not (path / "annotation.json").is_file():
        there = ", ".join(each.name for each in list_annotations()) or "none yet"
        raise NotFoundError(f"no annotation {name!r}; there are {there}")
    return Annotation(path)


def list_annotations() -> list[Annotation]:
    """Return every kept annotation that can be read, by name."""
    found = []
    for file in sorted(home.folder("annotations").glob("[!.]*/annotation.json")):
        try:
            json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        found.append(Annotation(file.parent))
    return found
