"""A compressed sparse matrix on disk: read some of its rows, or its columns, and nothing else.

The files are read and not mapped: a page of a mapped file counts as the process's memory until the system
wants it back, so that a program that looks through an atlas once would hold all of it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sgm_core.errors import InputError

_LARGEST = 2**31 - 1
"""Scipy counts in 32 bits up to here, and would copy the column numbers to 64 bits beyond."""


@dataclass(frozen=True)
class Compressed:
    """The three arrays ``indptr.npy``, ``indices.npy`` and ``counts.npy`` of a folder.

    Parameters
    ----------
    folder
        Where they are.
    """

    folder: Path

    @cached_property
    def indptr(self) -> np.ndarray:
        """Where each row (of the compressed axis) starts, int64 (n + 1,)."""
        return np.load(self.folder / "indptr.npy")

    def lengths(self) -> np.ndarray:
        """Return how many values each row has, int64 (n,)."""
        return np.diff(self.indptr)

    def take(self, rows: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return counts, indices and pointers of some rows; neighbours are read at once.

        Parameters
        ----------
        rows
            Row numbers (n,) from 0, in any order, or a slice.

        Returns
        -------
        counts, indices, pointers
            As `scipy.sparse.csr_matrix` takes them: (k,), int32 (k,) and int64 (n + 1,).

        Raises
        ------
        InputError
            If there is no such row, the rows hold more than 2^31 values together, or a file is cut short.
        """
        n_rows = len(self.indptr) - 1
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(n_rows))
        rows = np.asarray(rows)
        # yes/no for each row would be read as rows 1 and 0
        if rows.size and (rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n_rows):
            raise InputError(
                f"rows of {self.folder} are whole numbers from 0 to {n_rows - 1:,}: not {rows.dtype} from "
                f"{rows.min()} to {rows.max()}"
            )
        rows = rows.astype(np.int64)
        starts, ends = self.indptr[rows], self.indptr[rows + 1]
        pointers = np.concatenate([[0], np.cumsum(ends - starts)])
        if pointers[-1] > _LARGEST:
            raise InputError(
                f"{rows.size:,} rows of {self.folder} hold {pointers[-1]:,} values, more than the "
                f"{_LARGEST:,} that fit one matrix: take fewer at a time"
            )
        breaks = np.flatnonzero(starts[1:] != ends[:-1])
        runs = np.empty((0, 2), np.int64)
        if rows.size:
            runs = np.column_stack([starts[np.append(0, breaks + 1)], ends[np.append(breaks, -1)]])
        counts, indices = (_read(self.folder / f"{name}.npy", runs) for name in ("counts", "indices"))
        return counts, indices, pointers

    def blocks(self, n_values: int, n_rows_most: int | None = None) -> Iterator[tuple[int, int]]:
        """Give consecutive (start, stop) of rows, at most so many, of at most so many values (or one row)."""
        start, n_rows = 0, len(self.indptr) - 1
        while start < n_rows:
            stop = int(np.searchsorted(self.indptr, self.indptr[start] + n_values, side="right")) - 1
            stop = min(max(stop, start + 1), start + (n_rows_most or n_rows), n_rows)
            yield start, stop
            start = stop


def _read(path: Path, runs: np.ndarray) -> np.ndarray:
    """Return the values of a one-dimensional ``.npy`` file from start to stop, for each of `runs` (n, 2)."""
    with opened(path) as (file, dtype, offset):
        values = np.empty(int((runs[:, 1] - runs[:, 0]).sum()), dtype)
        raw, done, size = values.view(np.uint8).data, 0, dtype.itemsize
        for start, stop in runs.tolist():
            end = done + (stop - start) * size
            place = offset + start * size
            while done < end:  # one call reads 2 GB at most
                got = os.preadv(file, [raw[done:end]], place)
                if not got:
                    raise InputError(
                        f"{path} is cut short: delete the dataset {path.parent.name!r} and import it again"
                    )
                done, place = done + got, place + got
    return values


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, np.dtype, int]]:
    """Open a one-dimensional ``.npy`` file; gives its descriptor, type and where its values start."""
    with path.open("rb", buffering=0) as stream:
        np.lib.format.read_magic(stream)
        _, _, dtype = np.lib.format.read_array_header_1_0(stream)
        yield stream.fileno(), dtype, stream.tell()
