"""Cells of any kind, placed in a backbone's vocabulary, checked and normalised as its encoder wants them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.dataset import TARGET_SUM, Dataset
from sgm_core.cells.vocabulary import place_genes
from sgm_core.errors import InputError
from sgm_core.model.inputs import depth_values

VALUES = ("counts", "lognorm", "lognorm+total")
"""What the cells' numbers may be: counts; ln(1 + 10,000 count / total); those and each cell's total."""
_LARGEST_LOG = 20.0  # a log-normalised value above this would need more than 1e8 counts


@dataclass(frozen=True)
class Cells:
    """Cells with the names of their genes.

    Parameters
    ----------
    matrix : (n, m) float64, not negative
    genes : names of the columns (m,), None where nothing names them
    names : names of the cells (n,), None where nothing names them
    totals : (n,) counts of each cell, where they were given beside the values
    first : row number of the first cell, for messages, where these are a part of more
    """

    matrix: sparse.csr_matrix
    genes: Sequence[str] | np.ndarray | None
    names: np.ndarray | None = None
    totals: np.ndarray | None = None
    first: int = 0

    def call(self, row: int) -> str:
        """Return how to name a cell in a message."""
        number = self.first + row
        return f"cell {number}" if self.names is None else f"cell {str(self.names[row])!r} (row {number})"


def read_cells(
    cells: Any, values: str = "counts", genes: Sequence[str] | np.ndarray | None = None, bulk: bool = False
) -> Cells:
    """Take cells from a Dataset, an AnnData, a DataFrame, an array or a sparse matrix, and check the values.

    Parameters
    ----------
    cells : (n, m) cells x genes
    values : one of `VALUES`; the totals of ``lognorm+total`` are the last column, and ``obs["total_counts"]``
        of an AnnData
    genes : names of the columns, in place of those that `cells` has
    bulk : they are bulk samples, whose counts may be estimates with a fraction

    Raises
    ------
    InputError
        If `cells` is of another kind, is empty, the names don't fit, or a value can't be what `values` says.
    """
    if values not in VALUES:
        raise InputError(f"values is {values!r}: choose {', '.join(VALUES)}")
    names, totals = None, None
    if isinstance(cells, Cells):
        _check_values(cells, values, bulk)
        return cells
    if isinstance(cells, Dataset):
        if values != "counts":
            raise InputError(f"dataset {cells.name!r} holds counts: leave values at 'counts'")
        matrix, columns, names = cells.counts(), cells.genes, cells.obs["cell"].to_numpy(dtype=str)
    elif isinstance(cells, pd.DataFrame):
        columns, names = cells.columns.to_numpy(), cells.index.to_numpy()
        try:
            matrix = cells.to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the table of cells has values that are no numbers ({error}); it needs one row a cell, "
                "one column a gene"
            ) from error
    elif hasattr(cells, "var_names") and hasattr(cells, "obs"):
        matrix, columns = cells.X, cells.var_names.to_numpy()
        names = cells.obs_names.to_numpy()
        if values == "lognorm+total":
            if "total_counts" not in cells.obs:
                raise InputError("values is 'lognorm+total' and obs has no column total_counts")
            totals = cells.obs["total_counts"].to_numpy(np.float64)
    else:
        matrix, columns = cells, None
    matrix = _as_csr(matrix)
    if values == "lognorm+total" and totals is None:
        totals, matrix = matrix[:, -1].toarray().ravel(), matrix[:, :-1].tocsr()
        if columns is not None:
            columns = columns[:-1]
    columns = columns if genes is None else np.asarray(genes)
    if columns is not None and len(columns) != matrix.shape[1]:
        raise InputError(f"there are {len(columns):,} names of genes for {matrix.shape[1]:,} columns")
    read = Cells(matrix, columns, names, totals)
    _check_values(read, values, bulk)
    return read


def _as_csr(matrix: Any) -> sparse.csr_matrix:
    if hasattr(matrix, "to_memory"):  # of an AnnData that is open on disk
        matrix = matrix.to_memory()
    if not sparse.issparse(matrix):
        matrix = np.asarray(matrix)
        if matrix.ndim != 2 or matrix.dtype.kind not in "buif":
            raise InputError(
                "cells must be a Dataset, an AnnData, a DataFrame or a matrix of numbers, cells x genes; "
                f"this is an array of {matrix.dtype} with shape {matrix.shape}"
            )
    if 0 in matrix.shape:
        raise InputError(f"there are {matrix.shape[0]} cells with {matrix.shape[1]} genes: nothing to embed")
    # a copy of the values, so that nothing of the caller's changes
    result = sparse.csr_matrix(matrix).astype(np.float64, copy=True)
    result.sum_duplicates()
    result.eliminate_zeros()
    return result


def _check_values(cells: Cells, values: str, bulk: bool) -> None:
    data = cells.matrix.data

    def first(wrong: np.ndarray) -> str:
        at = int(np.flatnonzero(wrong)[0])
        row = int(np.searchsorted(cells.matrix.indptr, at, side="right")) - 1
        return f"{data[at]:.6g} in {cells.call(row)}"

    wrong = ~np.isfinite(data)
    if wrong.any():
        raise InputError(f"the cells hold NaN or infinite values, first {first(wrong)}")
    if (data < 0).any():
        raise InputError(
            f"the cells hold negative values, first {first(data < 0)}: scaled or centred values can't be "
            "embedded; give counts or log-normalised values"
        )
    broken = data != np.rint(data)
    if values == "counts" and broken.any() and not (bulk and data.max() > _LARGEST_LOG):
        raise InputError(
            f"the cells hold values that are no counts, first {first(broken)}: if they are log-normalised "
            "say values='lognorm'; round counts that were corrected"
        )
    if values != "counts" and data.size and data.max() > _LARGEST_LOG:
        raise InputError(
            f"the cells hold {first(data == data.max())}, too large for log-normalised values: if they are "
            "counts say values='counts'"
        )
    if cells.totals is not None:
        bad = ~np.isfinite(cells.totals) | (cells.totals <= 0)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"the total of {cells.call(row)} is {cells.totals[row]:.6g}: a count above zero is needed"
            )


def place_cells(
    cells: Cells, vocabulary: Sequence[str] | None, n_genes: int, official: bool, values: str
) -> Cells:
    """Return the cells with the vocabulary's genes as columns: moved, dropped, missing ones zero.

    Parameters
    ----------
    cells : from `read_cells`
    vocabulary : names in the order of the backbone's positions, None where it has no names
    n_genes : number of genes G of the backbone
    official : as the released code does: columns are left as they are unless there are fewer than G
    values : one of `VALUES`; only counts of columns with one name can be summed

    Raises
    ------
    InputError
        If the columns don't fit or too few genes are known.
    """
    width = cells.matrix.shape[1]
    if cells.genes is None or (official and width >= n_genes):
        if width != n_genes:
            raise InputError(
                f"the cells have {width:,} columns and the backbone {n_genes:,} genes: "
                + ("use compat='corrected', which maps them" if official else "name the columns with genes=")
            )
        placed = cells
    else:
        if vocabulary is None:
            raise InputError(
                "the backbone came without a gene list: give the cells in its order, without names"
            )
        target = place_genes(cells.genes, vocabulary, "the cells")
        known, where = np.unique(target[target >= 0], return_counts=True)
        if values != "counts" and (where > 1).any():
            twice = vocabulary[int(known[where > 1][0])]
            raise InputError(
                f"gene {twice!r} has more than one column: counts can be summed, log-normalised values "
                "can't; keep one"
            )
        move = sparse.csr_matrix(
            (np.ones(int((target >= 0).sum())), (np.flatnonzero(target >= 0), target[target >= 0])),
            shape=(width, n_genes),
        )
        placed = replace(cells, matrix=(cells.matrix @ move).tocsr(), genes=vocabulary)
    placed.matrix.sort_indices()
    return placed


def check_expressed(n_expressed: np.ndarray, call: Callable[[int], str]) -> None:
    """Refuse cells that express none of the backbone's genes.

    Parameters
    ----------
    n_expressed : number of its genes that each cell expresses (n,)
    call : names a cell for the message
    """
    empty = np.flatnonzero(n_expressed == 0)
    if len(empty):
        raise InputError(
            f"{len(empty):,} of {len(n_expressed):,} cells express none of the backbone's genes, first "
            f"{call(int(empty[0]))}: leave them out"
        )


def normalise(
    cells: Cells, values: str, target_depth: str, bulk: bool
) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
    """Return the values of the genes (n, G) float32, T (n,) and S (n,).

    Parameters
    ----------
    cells : from `place_cells`
    values : one of `VALUES`
    target_depth : see `sgm_core.model.inputs.target_depth`; not used by bulk
    bulk : the rows are bulk samples: counts are brought to the median depth of these samples, and T = S =
        log10 of the sum of the result, or the plain sum of values that come log-normalised
    """
    matrix = cells.matrix.copy()
    sums = np.asarray(matrix.sum(1)).ravel()
    if values == "counts":
        aim = float(np.median(sums)) if bulk else TARGET_SUM
        matrix.data = np.log1p(matrix.data * np.repeat(aim / sums, np.diff(matrix.indptr)))
    if bulk:
        depth = np.log10(np.asarray(matrix.sum(1)).ravel()) if values == "counts" else sums
        target, source = depth, depth
    else:
        # of log-normalised values the sum stands in for the read depth, as in the released script
        target, source = depth_values(np.log10(sums if cells.totals is None else cells.totals), target_depth)
    return matrix.astype(np.float32), target, source
