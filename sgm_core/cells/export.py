"""Some cells of a dataset as a file of their own, written in blocks: an h5ad, or a table of the cells."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.h5ad_write import FLOAT32_EXACT, write_counts, write_tables
from sgm_core.cells.write import room
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.spreadsheet import csv_text

_BLOCK_VALUES = 8_000_000
_BLOCK_ROWS = 20_000


def stored_values(dataset: Dataset, rows: np.ndarray) -> int:
    """Return the number of non-zero counts of some cells; 0 where the dataset has no counts."""
    if not dataset.has_counts:
        return 0
    indptr = np.load(dataset.path / "indptr.npy", mmap_mode="r")
    return int((np.asarray(indptr[rows + 1]) - np.asarray(indptr[rows])).sum())


def export_h5ad(dataset: Dataset, rows: np.ndarray, path: Path, observer: Observer | None = None) -> Path:
    """Write some cells as an h5ad, as `Dataset.to_anndata` would make it, a block at a time.

    Raw counts in ``X`` (CSR, float32; float64 where a count needs it), columns of the cells in ``obs``, genes
    in ``var``, each stored map in ``obsm["X_NAME"]``, where all comes from in ``uns["sgm_core"]``. Without
    counts the file has no ``X`` and no genes. The file is whole or absent; memory doesn't grow with the
    counts.

    Parameters
    ----------
    dataset
        Where the cells are.
    rows
        Row numbers (n,), in the order wanted.
    path
        The file to write; one that is there is replaced.
    observer
        Is told about the progress.

    Raises
    ------
    InputError
        If no cell is chosen or the disk is full.
    """
    observer = observer or Observer()
    rows = _checked(dataset, rows)
    obs = dataset.obs.iloc[rows]
    obs = obs.set_index(obs["cell"].astype(str).rename(None)).drop(columns="cell")
    need = 3 * stored_values(dataset, rows)
    with room(path, need, "file"), home.whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        if dataset.has_counts:
            var = dataset.var.set_index(dataset.var["gene"].astype(str).rename(None)).drop(columns="gene")
        else:
            var = pd.DataFrame(index=pd.Index([], dtype=str))
        about = {role: column for role, column in dataset.meta["roles"].items() if column}
        about |= {"dataset": dataset.name, "content_hash": dataset.content_hash}
        write_tables(file, obs, var, _maps(dataset, rows), {"sgm_core": about})
        if dataset.has_counts:
            _write_counts(file, dataset, rows, observer)
    return path


def export_csv(dataset: Dataset, rows: np.ndarray, path: Path, more: pd.DataFrame | None = None) -> Path:
    """Write the table of some cells as CSV, a block at a time; no spreadsheet runs what is in it.

    Parameters
    ----------
    dataset
        Where the cells are.
    rows
        Row numbers (n,), in the order wanted.
    path
        The file to write; one that is there is replaced.
    more
        Further columns of all cells (n_cells,), such as predictions.

    Raises
    ------
    InputError
        If no cell is chosen or the disk is full.
    """
    rows = _checked(dataset, rows)
    with (
        room(path, None, "file"),
        home.whole_file(path) as temporary,
        temporary.open("w", newline="") as stream,
    ):
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            table = dataset.obs.iloc[block]
            if more is not None:
                table = table.join(more.iloc[block])
            text = csv_text(table)
            stream.write(text if start == 0 else text.partition("\r\n")[2])
    return path


def export_run(parameters: dict[str, Any], folder: Path, observer: Observer) -> None:
    """Carry out a run of kind ``export``: write some cells as ``exports/NAME.h5ad`` in the home folder.

    Parameters
    ----------
    parameters
        ``data``, the dataset; ``rows``, a file of row numbers in the run's folder; ``name``, of the file.
    folder
        The run's folder.
    observer
        Is told about the progress.
    """
    dataset = open_dataset(parameters["data"])
    rows = np.load(folder / home.check_name(parameters["rows"], "file of rows"), allow_pickle=False)
    path = exported(parameters["name"])
    observer.message(f"writing {len(rows):,} cells to {path}")
    export_h5ad(dataset, rows, path, observer)
    observer.message(f"wrote {path}, {path.stat().st_size / 1e6:,.0f} MB")


def exported(name: str) -> Path:
    """Return where an exported file of that name lies."""
    return home.folder("exports") / f"{home.check_name(name, 'name of an export')}.h5ad"


def _checked(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows)
    if not rows.size:
        raise InputError("no cell is selected: there is nothing to export")
    if rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= dataset.n_cells:
        raise InputError(f"row numbers of {dataset.name!r} go from 0 to {dataset.n_cells - 1:,}")
    return rows.astype(np.int64)


def _maps(dataset: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    found = {}
    for name, path in dataset.maps().items():
        table = pd.read_parquet(path, columns=["cell", "x", "y"])
        place = np.full((dataset.n_cells, 2), np.nan, np.float32)
        place[table["cell"]] = table[["x", "y"]]
        found[f"X_{name}"] = place[rows]
    return found


def _write_counts(file: h5py.File, dataset: Dataset, rows: np.ndarray, observer: Observer) -> None:
    ends = np.cumsum(np.diff(np.load(dataset.path / "indptr.npy", mmap_mode="r"))[rows])
    n_values = int(ends[-1])
    kind = np.float32 if _exact(dataset, rows, ends) else np.float64

    def tell(_: int, done: int) -> None:
        observer.check()
        observer.progress(done, n_values, "writing counts")

    tell(0, 0)
    blocks = (dataset.take(block) for block in _blocks(rows, ends))
    write_counts(file, blocks, dataset.n_genes, kind, tell)


def _exact(dataset: Dataset, rows: np.ndarray, ends: np.ndarray) -> bool:
    """Say whether float32 holds every count of the cells."""
    if np.load(dataset.path / "counts.npy", mmap_mode="r").dtype.itemsize <= 2:
        return True
    return all(
        not (c := dataset.take(block)).nnz or c.max() <= FLOAT32_EXACT for block in _blocks(rows, ends)
    )


def _blocks(rows: np.ndarray, ends: np.ndarray) -> Iterator[np.ndarray]:
    """Cut rows into pieces of about `_BLOCK_VALUES` stored values; one row is never cut."""
    start = 0
    while start < len(rows):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK_VALUES, side="right")))
        yield rows[start:stop]
        start = stop
