"""Runs that map some of a dataset's cells."""

from __future__ import annotations

import numpy as np

from sgm_core import home
from sgm_core.analysis.embedding import CELLS_FILE, check_map_name, check_rows
from sgm_core.cells.dataset import Dataset
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run


def create_map_run(dataset: Dataset, rows: np.ndarray, name: str, seed: int | None = None) -> Run:
    """Make a run that maps some cells by themselves: their genes, components, neighbours and UMAP.

    Parameters
    ----------
    dataset
        The dataset.
    rows
        Row numbers of the cells, in any order.
    name
        What the map is to be called: ``DATASET/embeddings/NAME.parquet``.
    seed
        The same seed gives the same map, on one thread; None takes all cores.

    Raises
    ------
    InputError
        If the cells or the name can't be used; no run is made then.
    """
    rows, name = check_rows(dataset, rows), check_map_name(dataset, name)
    parameters = {"data": dataset.name, "cells": CELLS_FILE, "name": name, "seed": seed}
    run = create_run("umap", dataset.name, parameters)
    with home.whole_file(run.path / CELLS_FILE) as temporary, temporary.open("wb") as stream:
        np.save(stream, rows)
    return run
