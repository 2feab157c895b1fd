"""What is worked out once about a dataset and kept beside it: sums of normalised values by donor and gene."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.cells.by_gene import Step, add_by_gene, ignore, keep_first, stored_by_gene
from sgm_core.cells.compressed import Compressed
from sgm_core.cells.dataset import TARGET_SUM, Dataset
from sgm_core.errors import InputError
from sgm_core.progress import Observer

FOLDER = "facts"
_MOMENTS = "moments-1"
"""The number grows when what is in it changes: an older program's facts are then made anew."""
_BLOCK = 4_000_000


@dataclass(frozen=True)
class GeneMoments:
    """Per gene, of ln(1 + 10,000 count / total) over some cells; all float64 (G,).

    Parameters
    ----------
    n_cells
        The number of cells.
    mean
        The mean, zeros included.
    variance
        The variance, zeros included, divided by the number of cells.
    detection
        The share of cells with a count.
    """

    n_cells: int
    mean: np.ndarray
    variance: np.ndarray
    detection: np.ndarray


@dataclass(frozen=True)
class Moments:
    """Sums per donor and gene, of ln(1 + 10,000 count / total); treat the arrays as read-only.

    Parameters
    ----------
    donors
        Names, sorted (D,).
    n_cells
        Cells of each donor, int64 (D,), labelled or not.
    total, squares
        Sums of the values and of their squares, float64 (D, G), mapped from disk.
    detected
        The number of cells with a count, int32 (D, G), mapped from disk.
    """

    donors: np.ndarray
    n_cells: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    detected: np.ndarray

    def over(self, donors: Iterable[str] | None = None) -> GeneMoments:
        """Return mean, variance and detection of each gene over all cells of some donors, of all by default.

        Raises
        ------
        InputError
            If a donor is unknown, or there is none.
        """
        rows = np.arange(len(self.donors))
        if donors is not None:
            wanted = list(dict.fromkeys(map(str, donors)))
            rows = pd.Index(self.donors).get_indexer(pd.Index(wanted))
            if (rows < 0).any():
                raise InputError(f"no donor is called {wanted[int(np.flatnonzero(rows < 0)[0])]!r}")
        n_cells = int(self.n_cells[rows].sum())
        if not n_cells:
            raise InputError("no donor is named: there are no cells to average")
        # On disk the genes are the rows: read that way, it is one stretch.
        total, squares, detected = (
            array.T[:, rows].sum(axis=1, dtype=kind)
            for array, kind in ((self.total, float), (self.squares, float), (self.detected, np.int64))
        )
        mean = total / n_cells
        return GeneMoments(n_cells, mean, np.maximum(squares / n_cells - mean**2, 0), detected / n_cells)


def gene_moments(dataset: Dataset, observer: Observer | None = None) -> Moments:
    """Return the sums per donor and gene; worked out at import, or now if an older program imported.

    Raises
    ------
    InputError
        If the dataset has no counts.
    """
    dataset.require_counts("the mean of a gene")
    folder = moments_folder(dataset.path)
    if not (folder / "donors.json").is_file():
        step = watch(observer or Observer())
        by_gene = add_by_gene(dataset.path, dataset.n_genes, lambda share: step(0.7 * share))
        with home.scratch(folder) as made:
            later = lambda share: step(0.7 + 0.3 * share)  # noqa: E731
            write_moments(by_gene, dataset.totals(), dataset.donors(), made, later)
            made.chmod(0o755)
            keep_first(made, folder)
    about = home.read_json(folder / "donors.json")
    total, squares, detected = (
        np.load(folder / f"{name}.npy", mmap_mode="r").T for name in ("total", "squares", "detected")
    )
    names, n_cells = np.array(about["donors"], dtype=object), np.array(about["n_cells"], np.int64)
    return Moments(names, n_cells, total, squares, detected)


def is_complete(dataset: Dataset) -> bool:
    """Say whether an import left nothing to be made: counts by gene and sums per donor are there."""
    if not dataset.has_counts:
        return True
    sums = moments_folder(dataset.path) / "donors.json"
    return sums.is_file() and stored_by_gene(dataset.path) is not None


def moments_folder(path: Path) -> Path:
    """Return where a dataset's folder keeps these sums."""
    return path / FOLDER / _MOMENTS


def watch(observer: Observer) -> Step:
    """Return what tells `observer` of the progress, and stops where it was asked to."""

    def step(share: float) -> None:
        observer.check()
        observer.progress(share, 1, "sorting the counts by gene")

    return step


def write_moments(
    by_gene: Compressed, totals: np.ndarray, donors: pd.Series, folder: Path, step: Step = ignore
) -> None:
    """Write the sums per donor and gene into an existing folder, a few genes at a time.

    Parameters
    ----------
    by_gene
        The counts by gene.
    totals
        Counts of each cell, float64 (n_cells,).
    donors
        Donor of each cell (n_cells,).
    folder
        Gets ``total.npy``, ``squares.npy`` and ``detected.npy``, genes x donors, and ``donors.json``.
    step
        Is told the share that is done.
    """
    codes, names = pd.factorize(donors, sort=True)
    codes, n_donors = codes.astype(np.int64), len(names)
    scale = TARGET_SUM / np.maximum(totals, 1)
    shape = (len(by_gene.indptr) - 1, n_donors)
    types = {"total": np.dtype(float), "squares": np.dtype(float), "detected": np.dtype(np.int32)}
    streams = {name: (folder / f"{name}.npy").open("wb") for name in types}
    try:
        for name, stream in streams.items():
            header = {"descr": types[name].str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
        for start, stop in by_gene.blocks(_BLOCK, max(1, _BLOCK // n_donors)):
            step(start / shape[0])
            counts, cells, pointers = by_gene.take(slice(start, stop))
            values = np.log1p(counts * scale[cells])
            where = np.repeat(np.arange(stop - start) * n_donors, np.diff(pointers)) + codes[cells]
            size = (stop - start) * n_donors
            sums = {
                "total": np.bincount(where, values, size),
                "squares": np.bincount(where, values * values, size),
                "detected": np.bincount(where, minlength=size),
            }
            for name, stream in streams.items():
                stream.write(sums[name].astype(types[name]).data)
    finally:
        for stream in streams.values():
            stream.close()
    n_cells = np.bincount(codes, minlength=n_donors)
    home.write_json(folder / "donors.json", {"donors": list(map(str, names)), "n_cells": n_cells.tolist()})
