"""Read Matrix Market files of coordinates (https://math.nist.gov/MatrixMarket/formats.html)."""

import gzip
from pathlib import Path
from typing import IO, NoReturn, cast

import numpy as np
import pandas as pd

from sgm_core.cells.read.damage import reading
from sgm_core.cells.read.source import CHUNK_VALUES
from sgm_core.cells.read.transpose import Transposer
from sgm_core.errors import InputError

_SHOWN = 60


def open_lines(path: Path) -> IO[bytes]:
    """Open a file for reading bytes, gzipped or not."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def read_mtx(path: Path, scratch: Path, n_cells: int, n_genes: int) -> Transposer:
    """Read genes x cells, or cells x genes, whose entries may come in any order.

    Parameters
    ----------
    path
        The file, gzipped or not.
    scratch
        An empty folder for temporary files.
    n_cells, n_genes
        What the lists of barcodes and features say.

    Raises
    ------
    InputError
        If it is no such file, or an entry lies outside the matrix (its line is named).
    """
    transposer = Transposer(scratch, n_cells, n_genes)
    with reading(path), open_lines(path) as stream:
        (rows, columns, stored), skipped = _read_header(path, stream)
        if (rows, columns) not in ((n_genes, n_cells), (n_cells, n_genes)):
            raise InputError(
                f"{path.name} is {rows} x {columns}, but there are {n_genes} features and {n_cells} barcodes"
            )
        by_gene = (rows, columns) == (n_genes, n_cells)
        done = 0
        types = {0: np.int64, 1: np.int64, 2: np.float64}
        try:
            blocks = pd.read_csv(stream, sep=r"\s+", names=[0, 1, 2], dtype=types, chunksize=CHUNK_VALUES)
            for block in blocks:
                first, second = block[0].to_numpy() - 1, block[1].to_numpy() - 1
                inside = (first >= 0) & (first < rows) & (second >= 0) & (second < columns)
                if not inside.all() or block[2].isna().any() or not isinstance(block.index, pd.RangeIndex):
                    _refuse_line(path, skipped, rows, columns)
                genes, cells = (first, second) if by_gene else (second, first)
                transposer.add(cells, genes, block[2].to_numpy())
                done += len(block)
        except pd.errors.EmptyDataError:
            pass
        except InputError:
            raise
        except ValueError:
            _refuse_line(path, skipped, rows, columns)
    if done != stored:
        what = "is cut short" if done < stored else "has more entries than it says"
        raise InputError(f"{path.name} {what}: {done:,} of {stored:,} entries; copy or download it again")
    return transposer


def _read_header(path: Path, stream: IO[bytes]) -> tuple[tuple[int, int, int], int]:
    """Return rows, columns and entries, and the number of lines read; case and white space don't matter."""
    line, number = stream.readline(), 1
    if not line:
        raise InputError(f"{path.name} is empty: copy or download it again")
    words = line.decode(errors="replace").lower().split()
    if len(words) != 5 or not words[0].startswith("%") or words[0].strip("%") != "matrixmarket":
        raise InputError(
            f"{path.name} is no Matrix Market file: its first line is {_shown(line)}, where "
            "'%%MatrixMarket matrix coordinate integer general' or the like is expected"
        )
    _, _, layout, kind, symmetry = words
    if layout != "coordinate":
        raise InputError(
            f"{path.name} is a Matrix Market file of the kind {layout!r}, where 'coordinate' is expected: "
            "write it as a sparse matrix"
        )
    if kind not in ("integer", "real", "double") or symmetry != "general":
        what = "it says where counts are, not how many" if kind == "pattern" else "counts are no other kind"
        raise InputError(
            f"{path.name} is a Matrix Market file of the kind '{kind} {symmetry}', where 'integer general' "
            f"or 'real general' is expected: {what}"
        )
    for line in stream:
        number += 1
        if line.strip() and not line.startswith(b"%"):
            sizes = line.split()
            if len(sizes) == 3 and all(word.isdigit() for word in sizes):
                return (int(sizes[0]), int(sizes[1]), int(sizes[2])), number
            raise InputError(
                f"line {number} of {path.name} is {_shown(line)}, where the numbers of rows, columns and "
                "entries are expected"
            )
    raise InputError(f"{path.name} is cut short after its header: copy or download it again")


def _refuse_line(path: Path, skipped: int, rows: int, columns: int) -> NoReturn:
    """Find the first line that is no entry of the matrix, and say so."""
    with open_lines(path) as stream:
        for number, line in enumerate(stream, start=1):
            if number > skipped and line.strip() and (reason := _wrong(line, rows, columns)):
                raise InputError(
                    f"line {number} of {path.name} ({_shown(line)}) {reason}: nothing was imported; "
                    "write the matrix again"
                )
    raise InputError(f"{path.name} is damaged: copy or download it again")


def _shown(line: bytes) -> str:
    return ascii(line.decode(errors="replace").strip()[:_SHOWN])


def _wrong(line: bytes, rows: int, columns: int) -> str | None:
    words = line.split()
    if len(words) != 3:
        return f"has {len(words)} fields, where row, column and count are expected"
    try:
        row, column, value = int(words[0]), int(words[1]), float(words[2])
    except ValueError:
        return "is no row, column and count"
    for what, place, length in (("row", row, rows), ("column", column, columns)):
        if place == 0:
            return f"names {what} 0, but Matrix Market counts from 1: the file was written counting from 0"
        if not 0 < place <= length:
            return f"names {what} {place} of {length}"
    return "has no number" if np.isnan(value) else None
