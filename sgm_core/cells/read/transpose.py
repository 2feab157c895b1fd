"""Turn genes x cells into cells x genes without holding the matrix in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import sparse

_PART_CELLS = 2048
_RECORD = np.dtype([("cell", np.uint16), ("gene", np.int32), ("value", np.float32)])


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

    def add(self, cells: np.ndarray, genes: np.ndarray, values: np.ndarray) -> None:
        """Keep some values (three arrays of one length); float32 holds counts below 16.7 million exactly."""
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
        """Give consecutive cells x genes."""
        for start in range(0, self.n_cells, _PART_CELLS):
            rows = min(_PART_CELLS, self.n_cells - start)
            file = self.folder / f"{start // _PART_CELLS}.bin"
            records = np.fromfile(file, _RECORD) if file.exists() else np.empty(0, _RECORD)
            places = (records["cell"].astype(np.int32), records["gene"])
            yield sparse.csr_matrix((records["value"], places), shape=(rows, self.n_genes))
