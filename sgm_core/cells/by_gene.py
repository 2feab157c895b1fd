"""The counts once more, by gene: what one gene or a few need is read without the others."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import sparse

from sgm_core import home
from sgm_core.cells.arrays import GrowingArray
from sgm_core.cells.compressed import Compressed

FOLDER = "by_gene"
_BLOCK = 8_000_000  # values in memory at once: about 200 MB with the copies on the way

Step = Callable[[float], None]
"""Is told the share of a piece of work that is done, 0 to 1, and may raise to stop it."""


def ignore(share: float) -> None:
    """Take no notice of what is done."""


def write_by_gene(
    cells: Compressed, n_genes: int, target: Path, scratch: Path, step: Step = ignore
) -> Compressed:
    """Write the arrays of `cells` by column into the folder `target`, in bounded memory.

    Blocks of cells are turned by themselves and laid aside; then the pieces of a range of genes are put
    together, range by range. Each value is read twice and written twice, in long stretches.

    Parameters
    ----------
    cells
        The counts by cell.
    n_genes
        The number of columns.
    target
        An existing, empty folder: gets indptr (int64), indices (the cells, int32, ascending within a gene)
        and counts (of the type that they have by cell).
    scratch
        An existing folder for the pieces, as large as the result; they are deleted.
    step
        Is told the share that is done, 0 to 1, and may raise to stop.
    """
    n_values = max(int(cells.indptr[-1]), 1)
    pieces = [scratch / "pieces-cells.bin", scratch / "pieces-counts.bin"]
    try:
        edges, dtype = _turn_blocks(cells, n_genes, pieces, step)
        with (
            GrowingArray(target / "indptr.npy", np.dtype(np.int64)) as indptr,
            GrowingArray(target / "indices.npy", np.dtype(np.int32)) as indices,
            GrowingArray(target / "counts.npy", dtype) as counts,
        ):
            indptr.append(np.zeros(1, np.int64))
            stored = 0
            for pointers, *values in _join(edges, pieces, dtype):
                indptr.append(pointers[1:] + stored)
                indices.append(values[0])
                counts.append(values[1])
                stored += int(pointers[-1])
                step(0.5 + 0.5 * stored / n_values)
    finally:
        for piece in pieces:
            piece.unlink(missing_ok=True)
    return Compressed(target)


def _turn_blocks(
    cells: Compressed, n_genes: int, pieces: list[Path], step: Step
) -> tuple[np.ndarray, np.dtype]:
    """Write blocks of cells by gene, one behind the other; return where each gene starts (blocks, n_genes+1).

    The starts are counted from the first value of all blocks.
    """
    edges = []
    dtype = np.dtype(np.uint8)
    done = 0
    with pieces[0].open("wb") as places, pieces[1].open("wb") as values:
        for start, stop in cells.blocks(_BLOCK):
            step(0.5 * done / max(int(cells.indptr[-1]), 1))
            counts, indices, pointers = cells.take(slice(start, stop))
            block = sparse.csr_matrix((counts, indices, pointers), shape=(stop - start, n_genes)).tocsc()
            dtype = block.dtype
            places.write(np.ascontiguousarray(block.indices + np.int32(start), np.int32).data)
            values.write(np.ascontiguousarray(block.data).data)
            edges.append(block.indptr.astype(np.int64) + done)
            done += block.nnz
    return np.array(edges, np.int64).reshape(-1, n_genes + 1), dtype


def _join(
    edges: np.ndarray, pieces: list[Path], dtype: np.dtype
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give pointers, cells and counts of consecutive ranges of genes."""
    sizes = np.diff(edges, axis=1)
    ends = np.concatenate([[0], np.cumsum(sizes.sum(axis=0))])
    n_genes, first = len(ends) - 1, 0
    with pieces[0].open("rb") as places, pieces[1].open("rb") as values:
        while first < n_genes:
            last = int(np.searchsorted(ends, ends[first] + _BLOCK, side="right")) - 1
            last = min(max(last, first + 1), n_genes)
            pointers = ends[first : last + 1] - ends[first]
            joined = np.empty(int(pointers[-1]), np.int32), np.empty(int(pointers[-1]), dtype)
            free = pointers[:-1].copy()  # where the next block's values of each gene go
            for block, size in zip(edges, sizes[:, first:last], strict=True):
                start, stop = int(block[first]), int(block[last])
                inside = block[first:last] - start
                to = np.arange(stop - start) + np.repeat(free - inside, size)
                for stream, whole in zip((places, values), joined, strict=True):
                    stream.seek(start * whole.itemsize)
                    whole[to] = np.fromfile(stream, whole.dtype, stop - start)
                free += size
            yield pointers, *joined
            first = last


def stored_by_gene(folder: Path) -> Compressed | None:
    """Return the copy by gene in a dataset's folder, None where an older program wrote the dataset."""
    path = folder / FOLDER
    return Compressed(path) if (path / "indptr.npy").is_file() else None


def add_by_gene(folder: Path, n_genes: int, step: Step = ignore) -> Compressed:
    """Make the copy by gene of a dataset that lacks it, whole or not at all; the first of two is kept.

    Raises
    ------
    OSError
        If the folder can't be written, or the disk is full.
    """
    if (there := stored_by_gene(folder)) is not None:
        return there
    with home.scratch(folder / FOLDER) as scratch:
        made = scratch / "made"
        made.mkdir()
        write_by_gene(Compressed(folder), n_genes, made, scratch, step)
        keep_first(made, folder / FOLDER)
    return Compressed(folder / FOLDER)


def keep_first(made: Path, target: Path) -> None:
    """Rename the finished folder `made` to `target`, unless another process was faster."""
    for file in made.iterdir():
        home.sync(file)
    try:
        made.replace(target)
    except OSError:
        if not target.is_dir():
            raise
    home.sync(target.parent)
