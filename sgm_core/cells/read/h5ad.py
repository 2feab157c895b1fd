"""Read h5ad files (AnnData): counts in X, raw/X or a layer; CSR, CSC or dense."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.read.source import (
    CHUNK_VALUES,
    CountSource,
    find_counts,
    name_cells,
    open_hdf5,
    reading,
    sample_values,
    sparse_blocks,
)
from sgm_core.cells.read.transpose import Transposer
from sgm_core.errors import InputError

_USUAL = ("counts", "raw_counts", "raw", "umi", "umis")


def read_h5ad(path: Path, scratch: Path, layer: str | None = None) -> CountSource:
    """Open an h5ad file.

    Parameters
    ----------
    path
        The file.
    scratch
        A folder for temporary files (counts that are stored by gene).
    layer
        Where the counts are: a layer's name, ``X`` or ``raw``; found by testing for whole numbers when None.

    Raises
    ------
    InputError
        If it is damaged, no AnnData file, or holds no counts.
    """
    with open_hdf5(path) as file, reading(path):
        if "obs" not in file or "var" not in file:
            raise InputError(f"{path.name} is an HDF5 file without obs and var: it is no h5ad file")
        places = _places(path, file, layer)
        samples = {name: partial(sample_values, _values(file[name])) for name in places}
        where = find_counts(
            path, samples, "take a file with raw UMI counts, or name what holds them with --layer"
        )
        obs = _table(file["obs"])
        var = _table(file["var"])
        if where == "raw/X":
            # raw often holds more genes, and the symbols only in var.
            var = _table(file["raw/var"]).join(var[~var.index.duplicated()], rsuffix="_in_var")
        cells = name_cells(obs, obs.index)
        genes = var.reset_index(drop=True)
        genes.insert(0, "gene", var.index.astype(str), allow_duplicates=True)
        genes = genes.loc[:, ~genes.columns.duplicated()]
        kind, shape = _layout(file[where])
        if shape != (len(cells), len(genes)):
            raise InputError(
                f"{path.name} is inconsistent: {where} is {shape[0]} x {shape[1]}, "
                f"but obs has {len(cells)} cells and var {len(genes)} genes"
            )
    chunks = _chunks(path, where, kind, shape, scratch)
    return CountSource(path, f"h5ad ({kind})", where, cells, genes, chunks)


def _places(path: Path, file: h5py.File, layer: str | None) -> list[str]:
    """Return where counts may be, the likeliest first."""
    layers = sorted(file.get("layers", {}), key=lambda name: (name.lower() not in _USUAL, name))
    there = [name for name in ("X", "raw/X") if name in file] + [f"layers/{name}" for name in layers]
    if layer is None:
        if not there:
            raise InputError(f"{path.name} has neither X nor raw/X nor layers: there are no counts in it")
        return there
    wanted = {"X": "X", "raw": "raw/X", "raw/X": "raw/X"}.get(layer, f"layers/{layer}")
    if wanted not in there:
        raise InputError(f"{path.name} has no layer {layer!r}; counts may be in {', '.join(there)}")
    return [wanted]


def _values(item: h5py.Group | h5py.Dataset) -> h5py.Dataset:
    return item["data"] if isinstance(item, h5py.Group) else item


def _layout(item: h5py.Group | h5py.Dataset) -> tuple[str, tuple[int, int]]:
    """Return how a matrix is stored (csr, csc or dense) and its shape; older files use other attributes."""
    if isinstance(item, h5py.Dataset):
        return "dense", (int(item.shape[0]), int(item.shape[1]))
    kind = str(item.attrs.get("encoding-type", item.attrs.get("h5sparse_format", "csr")))
    shape = item.attrs["shape"] if "shape" in item.attrs else item.attrs["h5sparse_shape"]
    return kind.removesuffix("_matrix"), (int(shape[0]), int(shape[1]))


def _table(item: Any) -> pd.DataFrame:
    from anndata.io import read_elem

    table = read_elem(item)
    return table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)


def _chunks(
    path: Path, where: str, kind: str, shape: tuple[int, int], scratch: Path
) -> Callable[[], Iterator[sparse.csr_matrix]]:
    def by_cells() -> Iterator[sparse.csr_matrix]:
        with open_hdf5(path) as file, reading(path):
            for _, block in sparse_blocks(file[where], shape):
                yield block

    def dense() -> Iterator[sparse.csr_matrix]:
        with open_hdf5(path) as file, reading(path):
            step = max(1, CHUNK_VALUES // max(1, shape[1]))
            for start in range(0, shape[0], step):
                yield sparse.csr_matrix(file[where][start : start + step])

    transposed: list[Transposer] = []

    def by_genes() -> Iterator[sparse.csr_matrix]:
        if not transposed:
            transposer = Transposer(scratch, *shape)
            with open_hdf5(path) as file, reading(path):
                for first, block in sparse_blocks(file[where], (shape[1], shape[0])):
                    genes = np.repeat(np.arange(block.shape[0]) + first, np.diff(block.indptr))
                    transposer.add(block.indices, genes, block.data)
            transposed.append(transposer)
        return transposed[0].chunks()

    return {"csr": by_cells, "csc": by_genes}.get(kind, dense)
