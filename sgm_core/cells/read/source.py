"""What every reader gives: tables of cells and genes, and the counts in chunks of rows."""

import errno
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.read.links import refuse_links
from sgm_core.errors import InputError

CHUNK_VALUES = 2_000_000
_HDF5, _GZIP = b"\x89HDF\r\n\x1a\n", b"\x1f\x8b"
_FULL = (errno.ENOSPC, errno.EDQUOT)


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


def not_counts(values: np.ndarray) -> str | None:
    """Say why `values` are no counts (NaN, negative or broken numbers); None if they are whole and >= 0."""
    values = np.asarray(values)
    if values.size == 0 or values.dtype.kind in "ub":
        return None
    if values.dtype.kind not in "if":
        return "values that are no numbers"
    if not np.isfinite(values).all():
        return "NaN or infinite values"
    if values.min() < 0:
        return f"negative values (down to {values.min():.4g})"
    broken = values[values != np.rint(values)]
    return f"values that are no whole numbers (such as {broken[0]:.4g})" if broken.size else None


def find_counts(path: Path, places: Mapping[str, Callable[[], np.ndarray]], advice: str) -> str:
    """Return the first of `places` whose sampled values are counts.

    Parameters
    ----------
    path
        The file, for the message.
    places
        Where counts may be -> a function that samples values there.
    advice
        What to do if none holds counts.

    Raises
    ------
    InputError
        If none does; the message says what was looked at and what is there.
    """
    looked = []
    for where, sample in places.items():
        with reading(path):
            reason = not_counts(sample())
        if reason is None:
            return where
        looked.append(f"{where} has {reason}")
    raise InputError(f"{path.name} has no raw counts: {'; '.join(looked)}; {advice}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes libraries raise into one line."""
    try:
        yield
    except (OSError, RuntimeError, EOFError, zlib.error) as error:
        # A full disk is no fault of the file: scratch files are written while reading.
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path.name} is damaged or cut short ({reason[:160]}): copy or download it again"
        ) from error


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises
    ------
    InputError
        If it is something else, or cut short.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
    if start != _HDF5:
        what = "is empty" if not start else "is no HDF5 file, though its name says so"
        advice = "; it is gzipped: gunzip it first" if start.startswith(_GZIP) else ": check what it is"
        raise InputError(f"{path.name} {what}{advice}")
    with reading(path):
        file = h5py.File(path, "r")
        refuse_links(path, file)
        return file


def row_blocks(indptr: np.ndarray) -> Iterator[tuple[int, int]]:
    """Give consecutive (start, stop) of rows that hold about `CHUNK_VALUES` values together."""
    start, n_rows = 0, len(indptr) - 1
    while start < n_rows:
        stop = int(np.searchsorted(indptr, indptr[start] + CHUNK_VALUES, side="right")) - 1
        stop = min(max(stop, start + 1), start + 65_536, n_rows)
        yield start, stop
        start = stop


def sparse_blocks(group: h5py.Group, shape: tuple[int, int]) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Give (first row, block of rows) of a matrix stored compressed by rows: data, indices, indptr."""
    indptr = group["indptr"][:].astype(np.int64)
    for start, stop in row_blocks(indptr):
        low, high = indptr[start], indptr[stop]
        parts = (group["data"][low:high], group["indices"][low:high], indptr[start : stop + 1] - low)
        yield start, sparse.csr_matrix(parts, shape=(stop - start, shape[1]))


def sample_values(data: h5py.Dataset) -> np.ndarray:
    """Return values from the start, the middle and the end of a dataset of one or two dimensions."""
    length = data.shape[0]
    n = max(1, CHUNK_VALUES // 10 // max(1, int(np.prod(data.shape[1:]))))
    starts = sorted({0, max(0, length // 2 - n // 2), max(0, length - n)})
    return np.concatenate([np.ravel(data[start : start + n]) for start in starts])


def name_cells(table: pd.DataFrame, names: np.ndarray | pd.Index | list[str]) -> pd.DataFrame:
    """Return `table` with `names` as first column ``cell``; a column called so becomes ``cell_in_file``."""
    table = table.reset_index(drop=True).rename(columns={"cell": "cell_in_file"})
    table.insert(0, "cell", np.asarray(names, dtype=object).astype(str))
    return table
