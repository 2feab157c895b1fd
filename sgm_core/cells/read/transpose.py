"""Turn genes x cells into cells x genes without holding the matrix in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import sparse

from sgm_core.errors import InputError

_PART_CELLS = 2048
_RECORD = np.dtype([("cell", np.uint16), ("gene", np.int32), ("value", np.float32)])
_LARGEST = 2**24  # beyond it float32 skips whole numbers


class Transposer:
    """Collect (cell, gene, value) in any order on disk, one file per 2,048 cells, and give back rows.

    Memory is bounded by one file: about 2,048 cells x 5,000 values x 10 bytes.

    Parameters
    ----------
    folder
        An empty folder for the files.
    n_cells, n_genes
        The shape of the result.
    """

    def __init__(self, folder: Path, n_cells: int, n_genes: int) -> None:
        self.folder, self.n_cells, self.n_genes = folder, n_cells, n_genes
        self.repeated = 0  # values that were added to another of the same cell and gene, by `chunks`

    def add(self, cells: np.ndarray, genes: np.ndarray, values: np.ndarray) -> None:
        """Keep values that are not 0 (three arrays of one length); float32 is exact up to 16.7 million.

        Raises
        ------
        ValueError
            If a cell or a gene is outside the matrix: it would be lost, or be found in another's place.
        InputError
            If a value is too large.
        """
        if not len(cells):
            return
        for numbers, length in ((cells, self.n_cells), (genes, self.n_genes)):
            if not 0 <= numbers.min() <= numbers.max() < length:
                raise ValueError(f"places {numbers.min()} to {numbers.max()} in a matrix of {length}")
        if values.max() > _LARGEST:
            raise InputError(f"a count of {values.max():,.0f} is too large to be a number of molecules")
        stored = values != 0
        cells, genes, values = cells[stored], genes[stored], values[stored]
        if not len(cells):
            return
        part = cells // _PART_CELLS
        order = np.argsort(part, kind="stable")
        records = np.empty(len(cells), _RECORD)
        records["cell"], records["gene"], records["value"] = cells % _PART_CELLS, genes, values
        records, part = records[order], part[order]
        edges = np.flatnonzero(np.diff(part)) + 1
        for piece, number in zip(np.split(records, edges), part[np.concatenate([[0], edges])], strict=True):
            with (self.folder / f"{number}.bin").open("ab") as stream:
                stream.write(piece.tobytes())

    def chunks(self) -> Iterator[sparse.csr_matrix]:
        """Give consecutive cells x genes; values of one cell and gene are added up."""
        self.repeated = 0
        for start in range(0, self.n_cells, _PART_CELLS):
            rows = min(_PART_CELLS, self.n_cells - start)
            file = self.folder / f"{start // _PART_CELLS}.bin"
            records = np.fromfile(file, _RECORD) if file.exists() else np.empty(0, _RECORD)
            places = (records["cell"].astype(np.int32), records["gene"])
            chunk = sparse.csr_matrix((records["value"], places), shape=(rows, self.n_genes))
            self.repeated += len(records) - chunk.nnz
            yield chunk
