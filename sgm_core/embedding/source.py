"""Cells to embed, a block at a time: from a dataset, or from a file that was never imported."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core import home
from sgm_core.cells.dataset import is_dataset, list_datasets, open_dataset
from sgm_core.cells.genes import GeneMap, harmonise
from sgm_core.cells.read import open_source
from sgm_core.cells.read.source import not_counts
from sgm_core.cells.write import plain_table
from sgm_core.embedding.input import Cells
from sgm_core.errors import InputError, NotFoundError

BLOCK = 200
"""Cells that are embedded, and kept on disk, at once."""
ToGenes = Callable[[pd.DataFrame, str], GeneMap]
"""Says which gene each column becomes, of a table of genes and the name of the data."""


@dataclass(frozen=True)
class CellSource:
    """Where cells come from.

    Parameters
    ----------
    name : of the dataset or file
    obs : one row a cell, column ``cell`` is its name
    identity : changes when the cells change
    blocks : gives the counts of `BLOCK` cells at a time, from the block of this number on; can be called
        more than once
    """

    name: str
    obs: pd.DataFrame
    identity: str
    blocks: Callable[[int], Iterator[Cells]]

    def call(self, row: int) -> str:
        """Return how to name a cell in a message."""
        return f"cell {str(self.obs['cell'].iloc[row])!r} (row {row})"


@contextmanager
def open_cells(
    data: str,
    scratch: Path,
    max_cells: int | None = None,
    block: int | None = None,
    to_genes: ToGenes | None = None,
    layer: str | None = None,
) -> Iterator[CellSource]:
    """Open the dataset called `data`, or else the file at the path `data`.

    Parameters
    ----------
    data : name of a dataset, or a file or folder of counts as ``sgm data import`` reads them
    scratch : an existing folder for temporary files
    max_cells : take so many cells, evenly spread, instead of all
    block : cells of a block, `BLOCK` by default
    to_genes : says which genes the columns become, by default those that they name
    layer : where the counts are in an h5ad or loom file; found by testing when None

    Raises
    ------
    NotFoundError
        If there is neither.
    InputError
        If the file can't be read or holds no counts.
    """
    if max_cells is not None and max_cells < 1:
        raise InputError(f"max cells is {max_cells}: it must be 1 or more")
    path = Path(data).expanduser()
    if is_dataset(data):
        yield _from_dataset(data, max_cells, block or BLOCK, to_genes)
    elif path.exists():
        with home.scratch(scratch / "embed") as folder:
            yield _from_file(path, folder, max_cells, block or BLOCK, to_genes or harmonise, layer)
    else:
        names = ", ".join(dataset.name for dataset in list_datasets()) or "none yet"
        raise NotFoundError(f"{data!r} is neither a dataset (there are: {names}) nor a file")


def _spread(n_cells: int, max_cells: int | None) -> np.ndarray:
    if max_cells is None or max_cells >= n_cells:
        return np.arange(n_cells)
    return np.linspace(0, n_cells - 1, max_cells).round().astype(np.int64)


def _from_dataset(name: str, max_cells: int | None, size: int, to_genes: ToGenes | None) -> CellSource:
    dataset = open_dataset(name)
    dataset.require_counts("reading its cells")
    genes = None if to_genes is None else to_genes(dataset.var, name)
    rows = _spread(dataset.n_cells, max_cells)
    obs = dataset.obs.iloc[rows].reset_index(drop=True)
    names = obs["cell"].to_numpy(dtype=str)

    def blocks(first: int = 0) -> Iterator[Cells]:
        for start in range(first * size, len(rows), size):
            part = slice(start, start + size)
            counts = dataset.take(rows[part])
            if genes is not None:
                counts = genes.apply(counts)
            named = dataset.genes if genes is None else genes.genes
            yield Cells(counts.astype(np.float64), named, names[part], first=start)

    return CellSource(name, obs, f"{dataset.content_hash} {_digest(rows)}", blocks)


def _from_file(
    path: Path, scratch: Path, max_cells: int | None, size: int, to_genes: ToGenes, layer: str | None
) -> CellSource:
    source = open_source(path, scratch, layer)
    genes = to_genes(source.var, path.name)
    rows = _spread(len(source.obs), max_cells)
    chosen = np.zeros(len(source.obs), bool)
    chosen[rows] = True
    obs = plain_table(source.obs.iloc[rows], [])
    names = obs["cell"].to_numpy(dtype=str)

    def chunks() -> Iterator[sparse.csr_matrix]:
        done = 0
        for chunk in source.chunks():
            part = chunk[chosen[done : done + chunk.shape[0]]]
            done += chunk.shape[0]
            reason = not_counts(part.data)
            if reason:
                raise InputError(f"{source.where} of {path.name} has {reason}: counts are needed")
            yield genes.apply(part).astype(np.float64)

    def blocks(first: int = 0) -> Iterator[Cells]:
        waiting: list[sparse.csr_matrix] = []
        start = 0
        for chunk in chunks():
            waiting.append(chunk)
            while sum(part.shape[0] for part in waiting) >= size or start + _rows(waiting) == len(rows):
                together = sparse.vstack(waiting, format="csr")
                block, waiting = together[:size], [together[size:]]
                if not block.shape[0]:
                    return
                if start >= first * size:
                    yield Cells(block, genes.genes, names[start : start + size], first=start)
                start += block.shape[0]

    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    identity = hashlib.sha256(json.dumps(stats).encode()).hexdigest()
    return CellSource(path.name, obs, f"{identity} {_digest(rows)}", blocks)


def _rows(parts: list[sparse.csr_matrix]) -> int:
    return sum(part.shape[0] for part in parts)


def _digest(rows: np.ndarray) -> str:
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()
