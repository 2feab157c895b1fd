"""Maps of cells: UMAP of a dataset's expression, of some of its cells, or of a run's pooled vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.analysis.expression import expression_pca
from sgm_core.analysis.neighbours import Tell
from sgm_core.analysis.pca import apply_pca, fit_pca, most_detected, pca
from sgm_core.analysis.pooled_maps import (
    add_maps,
    pca_seconds,
    pooled_files,
    source_of,
    standardised_pca,
)
from sgm_core.analysis.umap_map import Steps, check_cells, seconds, threads_of, umap
from sgm_core.analysis.umap_process import umap_process
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer

__all__ = [
    "CELLS_FILE",
    "DATASET_EMBEDDING",
    "apply_pca",
    "check_map_name",
    "check_rows",
    "dataset_umap",
    "embed_pooled",
    "fit_pca",
    "most_detected",
    "pca",
    "pooled_files",
    "umap",
    "umap_run",
]

DATASET_EMBEDDING = "pca_umap"
CELLS_FILE = "cells.npy"
_START_S = 4.0  # a process that imports what it needs
_PCA_S = 1.1e-4  # a cell


def umap_run(parameters: dict[str, Any], folder: Path, observer: Observer) -> None:
    """Carry out a run of kind ``umap``.

    Parameters
    ----------
    parameters
        ``{"data": NAME}`` stores the dataset's own map as ``DATASET/embeddings/pca_umap.parquet``. ``{"data":
        NAME, "cells": "cells.npy", "name": MAP}`` maps the cells whose row numbers (int64) that file of
        `folder` holds, as ``DATASET/embeddings/MAP.parquet``. ``{"run": ID}`` maps each
        ``pooled/<arm>.fold<k>.npy`` of that run and appends them to its table ``embedding``. With a ``seed``
        the same map comes again, on one thread; without (or None) all cores work at it.
    folder
        The folder of this umap run; the run that is mapped lies beside it.

    Raises
    ------
    InputError
        If the cells or the map's name can't be used.
    NotFoundError
        If the dataset, the run's vectors or the file of cells is not there.
    """
    seed = parameters.get("seed")
    seed = None if seed is None else int(seed)
    if parameters.get("data"):
        dataset, rows, name = open_dataset(parameters["data"]), None, DATASET_EMBEDDING
        if parameters.get("cells"):
            name = check_map_name(dataset, str(parameters.get("name") or ""))
            file = folder / home.check_name(str(parameters["cells"]), "file of cells")
            if not file.is_file():
                raise NotFoundError(f"run {folder.name!r} has no file {file.name} of the cells to map")
            rows = check_rows(dataset, np.load(file, allow_pickle=False))
        table = dataset_umap(dataset, seed, observer, rows)
        home.write_table(dataset.path / "embeddings" / f"{name}.parquet", table)
        observer.progress(100, 100, "UMAP")
    else:
        run = home.check_name(str(parameters.get("run")), "run ID")
        embed_pooled(folder.parent / run, seed, observer)


def check_map_name(dataset: Dataset, name: str) -> str:
    """Return `name` if a map of some of the dataset's cells can have it.

    Raises
    ------
    InputError
        If it can't be a file's name, or there is a map of that name.
    """
    home.check_name(name, "map name")
    if name == DATASET_EMBEDDING or (dataset.path / "embeddings" / f"{name}.parquet").exists():
        raise InputError(f"dataset {dataset.name!r} has a map {name!r}: choose another name")
    return name


def check_rows(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return row numbers of a dataset's cells, int64, ascending and each once, if they can be mapped.

    Raises
    ------
    InputError
        If they are not row numbers of this dataset, or fewer than 5.
    """
    rows = np.asarray(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise InputError(
            f"cells are given as a list of row numbers, not as {rows.dtype} of shape {rows.shape}"
        )
    rows = np.unique(rows.astype(np.int64))
    if rows.size and (rows[0] < 0 or rows[-1] >= dataset.n_cells):
        wrong = rows[0] if rows[0] < 0 else rows[-1]
        raise InputError(
            f"there is no cell {wrong:,} in dataset {dataset.name!r}: its cells are 0 to "
            f"{dataset.n_cells - 1:,}"
        )
    check_cells(rows.size)
    return rows


def dataset_umap(
    dataset: Dataset,
    seed: int | None = 0,
    observer: Observer | None = None,
    rows: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return the UMAP of PCA(50) of the 2,000 most detected genes: columns cell (row number), x, y.

    Parameters
    ----------
    dataset
        The cells.
    seed
        The same seed gives the same map, on one thread; None takes all cores, and no two maps are the same.
    observer
        Is told how far it is, and may stop it at any moment.
    rows
        Row numbers of the cells to map, ascending; None for all. Genes and components are theirs alone.

    Raises
    ------
    InputError
        If the dataset has no counts, or there are fewer than 5 cells.
    """
    dataset.require_counts("a map of its expression")
    observer = observer or Observer()
    n_cells = dataset.n_cells if rows is None else len(rows)
    check_cells(n_cells)
    how = "on all cores" if seed is None else f"on one thread, repeatable with seed {seed}"
    observer.message(f"UMAP of PCA(50) of {n_cells:,} cells, {how}")
    steps = Steps({"pca": _PCA_S * n_cells, **_map_seconds(n_cells, seed)}, _telling(observer))
    with umap_process(seed, observer) as process:  # it imports what it needs in the meantime
        vectors = expression_pca(dataset, rows, steps.within("pca"))
        return _table(process.umap(vectors, steps.within("map")), rows)


def embed_pooled(run_folder: Path, seed: int | None = 0, observer: Observer | None = None) -> list[str]:
    """Map every stored set of pooled vectors of a run and append the maps to its table ``embedding``.

    Returns
    -------
    list
        The sources written, such as ``self-guided/fold 0``; one that is there already is replaced.

    Raises
    ------
    NotFoundError
        If the run stored no pooled vectors.
    """
    observer = observer or Observer()
    files = pooled_files(run_folder)
    maps: dict[str, pd.DataFrame] = {}
    with umap_process(seed, observer) as process:
        for done, file in enumerate(files):
            source = source_of(file)
            whole = Steps({"before": done, "this": 1.0, "after": len(files) - done - 1}, _telling(observer))
            tell = _named(whole.within("this"), source)
            n_cells = len(np.load(file, mmap_mode="r", allow_pickle=False))
            steps = Steps({"pca": pca_seconds(file), **_map_seconds(n_cells, seed)}, tell)
            vectors = standardised_pca(file, steps.within("pca"))
            maps[source] = _table(process.umap(vectors, steps.within("map")))
    add_maps(run_folder, maps)
    observer.progress(100, 100, "UMAP")
    return list(maps)


def _map_seconds(n_cells: int, seed: int | None) -> dict[str, float]:
    return {"map": _START_S + sum(seconds(n_cells, threads_of(seed)).values())}


def _telling(observer: Observer) -> Tell:
    """Return what passes a share on to the observer, in per cent, and stops the work if it says so."""

    def tell(share: float, what: str) -> None:
        observer.check()
        observer.progress(100 * share, 100, what)

    return tell


def _named(tell: Tell, source: str) -> Tell:
    return lambda share, what: tell(share, f"UMAP of {source}: {what}")


def _table(xy: np.ndarray, rows: np.ndarray | None = None) -> pd.DataFrame:
    cells = np.arange(len(xy), dtype=np.int64) if rows is None else rows
    return pd.DataFrame({"cell": cells, "x": xy[:, 0].astype(np.float32), "y": xy[:, 1].astype(np.float32)})
