"""Lists of a dataset's cells as people save them: names or row numbers, as text or ``.npy``."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.text_file import find_separator, read_whole, unquote
from sgm_core.errors import InputError, NotFoundError

_HEADERS = (
    "cell",
    "cells",
    "cell_id",
    "cell_name",
    "barcode",
    "barcodes",
    "row",
    "rows",
    "index",
    "name",
    "x",
)
_LOOK = 200


def read_cells(dataset: Dataset, path: str | Path) -> np.ndarray:
    """Read which of a dataset's cells a file lists.

    Parameters
    ----------
    dataset
        Whose cells they are.
    path
        A text file with one cell a line, or a table with a column ``cell``, ``barcode`` and the like (else
        its first column counts); or a ``.npy`` file. Cells are named as in the dataset, or are row numbers
        from 0; a ``.npy`` file may also say for each cell whether it is meant (bool).

    Returns
    -------
    numpy.ndarray
        Row numbers, int64, ascending, each once.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it can't be read, or lists what is no cell of the dataset.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no file {path}: give a list of cells, one a line, or a .npy file")
    values = _read_array(dataset, path) if path.suffix.lower() == ".npy" else _read_text(path)
    known = pd.Index(dataset.obs["cell"].astype(str))
    there = pd.Index(values.astype(str)).isin(known)
    if there.all():
        return np.flatnonzero(known.isin(values.astype(str))).astype(np.int64)
    numbers = pd.to_numeric(pd.Series(values), errors="coerce")
    whole = numbers.notna() & (numbers % 1 == 0) & (numbers >= 0) & (numbers < dataset.n_cells)
    if whole.all():
        return np.unique(numbers.to_numpy(np.int64))
    wrong = ~whole if whole.sum() > there.sum() else pd.Series(~there)
    raise InputError(
        f"{path.name}: {int(wrong.sum()):,} of {len(values):,} entries are neither names of cells of dataset "
        f"{dataset.name!r} nor row numbers below {dataset.n_cells:,}, such as {str(values[wrong][0])!r}"
    )


def _read_array(dataset: Dataset, path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{path.name} is no .npy file of numbers or text: {error}") from error
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in "biuUS":
        raise InputError(f"{path.name} must hold one list of row numbers, names or yes/no")
    if values.dtype.kind == "b":
        if values.size != dataset.n_cells:
            raise InputError(
                f"{path.name} says yes or no for {values.size:,} cells; dataset {dataset.name!r} has "
                f"{dataset.n_cells:,}"
            )
        values = np.flatnonzero(values)
    return _not_empty(values.astype(str) if values.dtype.kind == "S" else values, path)


def _read_text(path: Path) -> np.ndarray:
    lines = [line for line in read_whole(path).lines if line.strip() and not line.startswith("#")]
    separator = find_separator(lines[:_LOOK]) if lines else None
    if separator is None:
        values = [unquote(line) for line in lines]
    else:
        rows = list(csv.reader(lines, delimiter=separator))
        header = [unquote(field).lower() for field in rows[0]]
        column = next((header.index(name) for name in _HEADERS if name in header), 0)
        values = [unquote(row[column]) if column < len(row) else "" for row in rows]
    if values and values[0].lower() in ("", *_HEADERS):
        values = values[1:]
    return _not_empty(np.array(values, dtype=object), path)


def _not_empty(values: np.ndarray, path: Path) -> np.ndarray:
    if not values.size:
        raise InputError(f"{path.name} lists no cells")
    return values
