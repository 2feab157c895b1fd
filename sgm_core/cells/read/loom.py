"""Read loom files: a dense genes x cells matrix in HDF5, with layers and attributes."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

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
)
from sgm_core.errors import InputError

_CELL_NAMES = ("CellID", "cell_id", "obs_names", "barcode", "barcodes", "cell", "Cell")
_GENE_NAMES = ("Gene", "gene", "var_names", "gene_name", "gene_symbol", "Symbol", "GeneName", "Accession")


def read_loom(path: Path, layer: str | None = None) -> CountSource:
    """Open a loom file; counts are in ``matrix`` or a layer, found by testing when `layer` is None."""
    with open_hdf5(path) as file, reading(path):
        if not {"matrix", "row_attrs", "col_attrs"} <= set(file):
            raise InputError(f"{path.name} lacks matrix, row_attrs or col_attrs: it is no loom file")
        places = ["matrix", *(f"layers/{name}" for name in file.get("layers", {}))]
        if layer is not None:
            wanted = "matrix" if layer in ("X", "matrix") else f"layers/{layer}"
            if wanted not in places:
                raise InputError(f"{path.name} has no layer {layer!r}; counts may be in {', '.join(places)}")
            places = [wanted]
        samples = {name: partial(sample_values, file[name]) for name in places}
        where = find_counts(path, samples, "take a file with raw UMI counts, or name the layer with --layer")
        n_genes, n_cells = file[where].shape
        cells = _attributes(path, file["col_attrs"], n_cells)
        genes = _attributes(path, file["row_attrs"], n_genes)
        step = _step(file[where])
    obs = name_cells(cells, _names(path, cells, _CELL_NAMES, "cells"))
    var = genes.assign(gene=_names(path, genes, _GENE_NAMES, "genes"))

    def chunks() -> Iterator[sparse.csr_matrix]:
        with open_hdf5(path) as file, reading(path):
            for start in range(0, n_cells, step):
                yield sparse.csr_matrix(file[where][:, start : start + step].T)

    return CountSource(path, "loom", where, obs, var, chunks)


def _step(matrix: h5py.Dataset) -> int:
    """Return how many cells to read at once: whole chunks of the file, about 16 million values."""
    n_genes = matrix.shape[0]
    width = matrix.chunks[1] if matrix.chunks else 1
    return max(1, 8 * CHUNK_VALUES // max(1, n_genes * width)) * width


def _attributes(path: Path, group: h5py.Group, length: int) -> pd.DataFrame:
    columns = {}
    for name, data in group.items():
        if not isinstance(data, h5py.Dataset) or data.ndim != 1:
            continue
        if len(data) != length:
            raise InputError(
                f"{path.name} is inconsistent: attribute {name} has {len(data)} values for {length}"
            )
        is_text = h5py.check_string_dtype(data.dtype) is not None
        columns[name] = data.asstr()[:] if is_text else data[:]
    table = pd.DataFrame(columns, index=pd.RangeIndex(length))
    return table.map(lambda value: value.decode() if isinstance(value, bytes) else value)


def _names(path: Path, table: pd.DataFrame, known: tuple[str, ...], what: str) -> np.ndarray:
    for name in known:
        if name in table:
            return table[name].astype(str).to_numpy(dtype=object)
    raise InputError(f"{path.name} does not name its {what}: an attribute {known[0]} is needed")
