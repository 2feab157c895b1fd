"""Read tables of text: cells x genes or genes x cells, comma, semicolon or tab, gzipped or not."""

import csv
import gzip
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from sgm_core.cells.read.source import CHUNK_VALUES, CountSource, name_cells, reading
from sgm_core.cells.read.transpose import Transposer
from sgm_core.errors import InputError

_GENE_CORNER = (
    "gene",
    "genes",
    "gene_name",
    "genename",
    "symbol",
    "gene_symbol",
    "gene_id",
    "geneid",
    "hgnc",
)
_CELL_CORNER = ("cell", "cells", "cell_id", "cellid", "cell_name", "barcode", "barcodes")
_FREQUENT = re.compile(
    r"MT-\w+|RP[LS]\d+\w*|RPLP[012]|ENSG\d{11}(\.\d+)?|ACTB|GAPDH|B2M|MALAT1|TMSB4X|EEF1A1|FTL|FTH1|CD74|"
    r"HLA-[A-E]|S100A\d+|LYZ|CD34|CD3[DEG]|HBB|HBA[12]|TUBA1[ABC]|VIM|PTPRC|UBC|FOS|JUN|MYC|TP53"
)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{1,9}(-[A-Z0-9]+)?|C\d+orf\d+")
_BARCODE = re.compile(r".*[ACGTN]{8,}.*")
_LOOK = 20


@dataclass(frozen=True)
class Layout:
    """How a table of text is laid out.

    Parameters
    ----------
    separator
        Between fields.
    top
        The names in the first line.
    left
        The names in the first column.
    corner
        The field above the first column, empty if there is none.
    """

    separator: str
    top: list[str]
    left: list[str]
    corner: str


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file, gzipped or not; damage is explained in one line."""
    with reading(path):
        try:
            opener = gzip.open if path.suffix == ".gz" else open
            with opener(path, "rt", newline="") as stream:
                yield stream
        except UnicodeDecodeError as error:
            raise InputError(f"{path.name} is no text file") from error


def read_layout(path: Path) -> Layout:
    """Read the names on both axes of a table.

    Raises
    ------
    InputError
        If it is empty, or its lines don't fit its first one.
    """
    with open_text(path) as stream:
        first = stream.readline().rstrip("\r\n")
        separator = max("\t,;", key=first.count)
        top = _fields(first, separator)
        left, width = [], 0
        for line in stream:
            if line.strip():
                width = width or len(_fields(line.rstrip("\r\n"), separator))
                left.append(line.split(separator, 1)[0].strip().strip('"'))
    if not left or len(top) < 2:
        raise InputError(f"{path.name} is no table: names, then a line for each cell or gene, are expected")
    # R writes no field above the row names.
    corner = "" if width == len(top) + 1 else top.pop(0)
    if width != len(top) + 1:
        raise InputError(
            f"{path.name} is damaged: {len(top) + 1} fields in its first line, {width} in the next"
        )
    return Layout(separator, top, left, corner)


def _fields(line: str, separator: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line], delimiter=separator), [])]


def genes_on_the_left(path: Path, layout: Layout, columns: Collection[str]) -> bool:
    """Tell genes x cells from cells x genes.

    By the top left field, by the columns asked for (they describe cells), by the names of genes that every
    sample has, and last by the look of symbols and barcodes.

    Raises
    ------
    InputError
        If it cannot be told.
    """
    corner = layout.corner.lower()
    if corner in _GENE_CORNER or corner in _CELL_CORNER:
        return corner in _GENE_CORNER
    if set(columns) & set(layout.top):
        return False
    for score in (_frequent, _look):
        left, top = score(layout.left), score(layout.top)
        if left != top:
            return left > top
    raise InputError(
        f"can't tell which side of {path.name} holds the genes: write 'gene' or 'cell' in its top left field"
    )


def _frequent(names: Sequence[str]) -> float:
    return sum(bool(_FREQUENT.fullmatch(name)) for name in names)


def _look(names: Sequence[str]) -> float:
    barcodes = np.mean([bool(_BARCODE.fullmatch(name)) for name in names])
    return float(np.mean([bool(_SYMBOL.fullmatch(name)) for name in names]) - barcodes)


def read_text(path: Path, scratch: Path, columns: Collection[str] = ()) -> CountSource:
    """Open a table of text.

    Parameters
    ----------
    path
        CSV or TSV, ``.gz`` allowed. In cells x genes, columns of text describe the cells.
    scratch
        A folder for temporary files.
    columns
        Names of columns that describe cells even if they hold numbers.
    """
    layout = read_layout(path)
    if genes_on_the_left(path, layout, columns):
        obs = name_cells(pd.DataFrame(index=range(len(layout.top))), layout.top)
        transposer = Transposer(scratch, len(layout.top), len(layout.left))
        for first, values in number_blocks(path, layout, range(1, len(layout.top) + 1)):
            genes, cells = np.nonzero(values)
            transposer.add(cells, genes + first, values[genes, cells])
        names, kind = layout.left, "genes x cells"
    else:
        about = _describing(path, layout, columns)
        obs = name_cells(_descriptions(path, layout, about), layout.left)
        places = [i for i in range(1, len(layout.top) + 1) if i not in about]
        names, kind = [layout.top[i - 1] for i in places], "cells x genes"
        transposer = Transposer(scratch, len(layout.left), len(names))
        for first, values in number_blocks(path, layout, places):
            cells, genes = np.nonzero(values)
            transposer.add(cells + first, genes, values[cells, genes])
    return CountSource(
        path, f"text, {kind}", "the table", obs, pd.DataFrame({"gene": names}), transposer.chunks
    )


def _describing(path: Path, layout: Layout, columns: Collection[str]) -> list[int]:
    """Return the fields of a cells x genes table that describe cells: asked for, or text at its start."""
    with open_text(path) as stream:
        head = pd.read_csv(stream, sep=layout.separator, header=None, skiprows=1, nrows=_LOOK)
    return [
        i
        for i, name in enumerate(layout.top, start=1)
        if name in columns or not pd.api.types.is_numeric_dtype(head[i].dtype)
    ]


def _descriptions(path: Path, layout: Layout, about: Sequence[int]) -> pd.DataFrame:
    """Read the fields `about` of every line, in blocks: the parser holds whole lines, which are long."""
    with open_text(path) as stream:
        blocks = list(
            pd.read_csv(
                stream, sep=layout.separator, header=None, skiprows=1, usecols=[0, *about], dtype=str,
                chunksize=_lines(len(layout.top)),
            )
        )  # fmt: skip
    table = pd.concat(blocks, ignore_index=True)[list(about)]
    for column in table:
        numbers = pd.to_numeric(table[column], errors="coerce")
        if numbers.isna().equals(table[column].isna()):
            table[column] = numbers
    return table.set_axis([layout.top[i - 1] for i in about], axis=1)


def _lines(n_fields: int) -> int:
    """Return how many lines to parse at once: enough that the cost of each column's set-up is small."""
    return max(1, 8 * CHUNK_VALUES // max(1, n_fields))


def number_blocks(path: Path, layout: Layout, places: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Give (number of the first line, float32 lines x `places`) of a table; an empty field is NaN.

    Raises
    ------
    InputError
        If a field is no number or a line has too many fields.
    """
    done = 0
    with open_text(path) as stream:
        try:
            blocks = pd.read_csv(
                stream, sep=layout.separator, header=None, skiprows=1, usecols=list(places),
                dtype=np.float32, chunksize=_lines(len(layout.top)),
            )  # fmt: skip
            for block in blocks:
                yield done, block.to_numpy()
                done += len(block)
        except ValueError as error:
            raise InputError(f"{path.name} has no counts in some line after {done + 1}: {error}") from error
    if done != len(layout.left):
        raise InputError(f"{path.name} is damaged: {done} lines of counts for {len(layout.left)} names")
