"""Questions about two groups of cells, as runs: the same question has one run."""

import hashlib
import json
from typing import Any

import numpy as np

from sgm_core import home
from sgm_core.analysis.differential import FACTS, TABLE, VERSION, check_method, check_sides
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import NotFoundError
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run, open_run


def differential_id(
    dataset: Dataset,
    rows_a: np.ndarray,
    rows_b: np.ndarray,
    method: str = "auto",
    min_cells: int | None = None,
    seed: int = 0,
) -> str:
    """Return the ID that a question's run has: it follows from the cells and how they are compared.

    Parameters
    ----------
    dataset, method, min_cells, seed
        As in `sgm_core.analysis.differential.differential`.
    rows_a, rows_b
        Ascending row numbers, from `check_sides`.
    """
    digest = hashlib.sha256(
        json.dumps([VERSION, dataset.content_hash, method, min_cells, seed, len(rows_a)]).encode()
    )
    for rows in (rows_a, rows_b):
        digest.update(np.ascontiguousarray(rows, dtype="<i8").tobytes())
    return f"differential-{dataset.name[:36]}-{digest.hexdigest()[:10]}"


def existing(run_id: str) -> Run | None:
    """Return the run of that ID if the question was asked before."""
    try:
        return open_run(run_id)
    except NotFoundError:
        return None


def create_differential(
    dataset: Dataset,
    cells_a: np.ndarray,
    cells_b: np.ndarray,
    name_a: str,
    name_b: str,
    method: str = "auto",
    min_cells: int | None = None,
    seed: int = 0,
) -> Run:
    """Make the run that compares two groups of cells, or return the one that exists; nothing is started.

    Parameters
    ----------
    dataset, cells_a, cells_b, method, min_cells, seed
        As in `sgm_core.analysis.differential.differential`.
    name_a, name_b
        What the sides are called.

    Raises
    ------
    InputError
        If the sides can't be compared, or the method is unknown.
    """
    check_method(method, min_cells)
    rows = check_sides(dataset, cells_a, cells_b, name_a, name_b)
    run_id = differential_id(dataset, *rows, method, min_cells, seed)
    run = existing(run_id)
    if run is None:
        parameters: dict[str, Any] = {"data": dataset.name, "name_a": name_a, "name_b": name_b}
        parameters |= {"method": method, "min_cells": min_cells, "seed": seed}
        parameters |= {"cells_a": len(rows[0]), "cells_b": len(rows[1])}
        run = create_run("differential", dataset.name, parameters, run_id=run_id)
    for name, mine in zip("ab", rows):
        path = run.path / f"cells_{name}.npy"
        if not path.exists():
            with home.whole_file(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, mine)
    return run


def read_differential(run: Run) -> tuple[Any, dict[str, Any]]:
    """Return a finished run's table and facts.

    Raises
    ------
    NotFoundError
        If it has none (yet).
    """
    table = run.read_table(TABLE)
    if table is None or not (run.path / FACTS).exists():
        raise NotFoundError(f"run {run.id} has no answer yet: it is {run.state}")
    return table, home.read_json(run.path / FACTS)
