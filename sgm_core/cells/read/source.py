"""What every reader gives: tables of cells and genes, and the counts in chunks of rows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.read.damage import part, reading
from sgm_core.cells.read.values import native, not_counts, whole
from sgm_core.errors import InputError

__all__ = [
    "CHUNK_VALUES",
    "CountSource",
    "checked",
    "name_cells",
    "not_counts",
    "reading",
    "refuse_empty",
    "row_blocks",
    "sparse_blocks",
]

CHUNK_VALUES = 2_000_000


@dataclass(frozen=True)
class CountSource:
    """A file of counts, opened.

    Parameters
    ----------
    path
        The file or folder.
    format
        What it is, in words.
    where
        Where in it the counts were found.
    obs
        One row a cell, column ``cell`` = its name.
    var
        One row a gene, column ``gene`` = its name in the file.
    chunks
        Gives CSR matrices of consecutive cells x genes; can be called more than once.
    donor, cell_type, timepoint
        The columns of `obs` that the format itself provides for these roles.
    notes
        What the reader assumed or left out, a sentence each; complete once `chunks` has been read.
    maps
        Coordinates of all cells that the file has, float32 (n_cells, 2) by name, NaN where there are none.
    colours
        The file's colours, ``#rrggbb`` by level, by column of `obs`.
    """

    path: Path
    format: str
    where: str
    obs: pd.DataFrame
    var: pd.DataFrame
    chunks: Callable[[], Iterator[sparse.csr_matrix]]
    donor: str | None = None
    cell_type: str | None = None
    timepoint: str | None = None
    notes: list[str] = field(default_factory=list)
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    colours: dict[str, dict[str, str]] = field(default_factory=dict)


def checked(source: CountSource) -> CountSource:
    """Return `source` whose chunks are whole numbers: each value is checked, and rounded where it is close.

    What was rounded, and whether no count is above 1, is in its notes once all chunks have been read.
    The chunks raise `InputError` at the first value that is no count, with the name of its cell.
    """

    def chunks() -> Iterator[sparse.csr_matrix]:
        first, bridged, highest = 0, 0.0, 0.0
        for chunk in source.chunks():
            if not_counts(chunk.data):
                _refuse_value(source, chunk, first)
            chunk.data, distance = whole(chunk.data)
            bridged, highest = max(bridged, distance), max(highest, float(chunk.data.max(initial=0)))
            first += chunk.shape[0]
            yield chunk
        notes = []
        if bridged:
            notes.append(f"{source.where}: values were rounded to whole numbers (up to {bridged:.1g} away)")
        if highest <= 1:
            notes.append(
                f"{source.where}: no count is above 1; this looks binarised, and what rests on depth or "
                "levels of expression means little; import the UMI counts if you have them"
            )
        source.notes.extend(note for note in notes if note not in source.notes)

    return replace(source, chunks=chunks)


def _refuse_value(source: CountSource, chunk: sparse.csr_matrix, first: int) -> NoReturn:
    for row in range(chunk.shape[0]):
        reason = not_counts(chunk.data[chunk.indptr[row] : chunk.indptr[row + 1]])
        if reason:
            break
    raise InputError(
        f"{source.where} of {source.path.name} has {reason}, first in cell "
        f"{source.obs['cell'].iloc[first + row]!r}: counts must be whole numbers of 0 or more; repair the "
        "file or name another layer with --layer"
    )


def refuse_empty(path: Path, n_cells: int, n_genes: int) -> None:
    """Refuse a file without cells or genes."""
    for what, number in (("cells", n_cells), ("genes", n_genes)):
        if not number:
            raise InputError(f"{path.name} has no {what}: a filter may have left none; check how it was made")


def row_blocks(indptr: np.ndarray) -> Iterator[tuple[int, int]]:
    """Give consecutive (start, stop) of rows that hold about `CHUNK_VALUES` values together."""
    start, n_rows = 0, len(indptr) - 1
    while start < n_rows:
        stop = int(np.searchsorted(indptr, indptr[start] + CHUNK_VALUES, side="right")) - 1
        stop = min(max(stop, start + 1), start + 65_536, n_rows)
        yield start, stop
        start = stop


def sparse_blocks(group: h5py.Group, shape: tuple[int, int]) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Give (first row, block of rows) of a matrix stored compressed by rows: data, indices, indptr.

    10x files and old h5ad files lack the attributes that `anndata.io.sparse_dataset` needs.

    Raises
    ------
    InputError
        If the three arrays don't make a matrix of `shape`.
    """
    name = f"{group.name.strip('/')} of {Path(group.file.filename).name}"
    indptr = part(group, "indptr", "iu")[:].astype(np.int64)
    indices, data = part(group, "indices", "iu"), part(group, "data")
    stored = min(data.shape[0], indices.shape[0])
    if len(indptr) != shape[0] + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any() or indptr[-1] > stored:
        raise InputError(
            f"{name} is inconsistent: its indptr does not divide {stored:,} values into {shape[0]:,} rows; "
            "copy or download the file again"
        )
    for start, stop in row_blocks(indptr):
        low, high = indptr[start], indptr[stop]
        columns = native(indices[low:high])
        if columns.size and not 0 <= columns.min() <= columns.max() < shape[1]:
            wrong = columns[(columns < 0) | (columns >= shape[1])][0]
            raise InputError(f"{name} is inconsistent: it names column {wrong} of {shape[1]:,}")
        parts = (native(data[low:high]), columns, indptr[start : stop + 1] - low)
        yield start, sparse.csr_matrix(parts, shape=(stop - start, shape[1]))


def name_cells(table: pd.DataFrame, names: np.ndarray | pd.Index | list[str]) -> pd.DataFrame:
    """Return `table` with `names` as first column ``cell``; a column called so becomes ``cell_in_file``."""
    table = table.reset_index(drop=True).rename(columns={"cell": "cell_in_file"})
    table.insert(0, "cell", np.asarray(names, dtype=object).astype(str))
    return table
