"""Read loom files: a dense genes x cells matrix in HDF5, with layers and attributes."""

import html
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.read.damage import members, open_hdf5, part, reading
from sgm_core.cells.read.source import CHUNK_VALUES, CountSource, name_cells, refuse_empty
from sgm_core.cells.read.strings import foreign_text, read_strings
from sgm_core.cells.read.values import find_counts, native
from sgm_core.errors import InputError

_CELL_NAMES = (
    "cellid", "cell_id", "obs_names", "cell_names", "cellname", "barcode", "barcodes", "cell", "cells",
    "index",
)  # fmt: skip
_GENE_NAMES = (
    "gene", "genes", "var_names", "gene_name", "gene_names", "genename", "gene_symbol", "symbol", "name",
    "accession", "gene_id", "gene_ids", "index",
)  # fmt: skip


def read_loom(path: Path, layer: str | None = None) -> CountSource:
    """Open a loom file; counts are in ``matrix`` or a layer, found by testing when `layer` is None."""
    notes: list[str] = []
    with open_hdf5(path) as file, reading(path):
        if not {"matrix", "row_attrs", "col_attrs"} <= set(file):
            raise InputError(f"{path.name} lacks matrix, row_attrs or col_attrs: it is no loom file")
        places = ["matrix", *(f"layers/{name}" for name in members(file, "layers"))]
        if layer is not None:
            wanted = "matrix" if layer in ("X", "matrix") else f"layers/{layer}"
            if wanted not in places:
                raise InputError(f"{path.name} has no layer {layer!r}; counts may be in {', '.join(places)}")
            places = [wanted]
        n_genes, n_cells = part(file, "matrix", n_dims=2).shape
        refuse_empty(path, n_cells, n_genes)
        where, why = find_counts(
            path,
            {name: file[name] for name in places},
            "take a file with raw UMI counts, or name the layer with --layer",
            chosen=layer is not None,
        )
        if file[where].shape != (n_genes, n_cells):
            raise InputError(f"{path.name} is inconsistent: {where} and matrix differ in shape")
        cells = _attributes(path, members(file, "col_attrs"), n_cells, notes)
        genes = _attributes(path, members(file, "row_attrs"), n_genes, notes)
        step = _step(file[where])
    obs = name_cells(cells, _names(path, cells, _CELL_NAMES, "cells"))
    var = genes.assign(gene=_names(path, genes, _GENE_NAMES, "genes"))

    def chunks() -> Iterator[sparse.csr_matrix]:
        with open_hdf5(path) as file, reading(path):
            for start in range(0, n_cells, step):
                yield sparse.csr_matrix(native(file[where][:, start : start + step]).T)

    return CountSource(path, "loom", where, obs, var, chunks, notes=[*why, *notes])


def _step(matrix: h5py.Dataset) -> int:
    """Return how many cells to read at once: whole chunks of the file, about 16 million values."""
    n_genes = matrix.shape[0]
    width = matrix.chunks[1] if matrix.chunks else 1
    return max(1, 8 * CHUNK_VALUES // max(1, n_genes * width)) * width


def _attributes(path: Path, group: h5py.Group, length: int, notes: list[str]) -> pd.DataFrame:
    columns, left_out = {}, []
    for name, data in group.items():
        if not isinstance(data, h5py.Dataset) or data.ndim != 1 or data.dtype.names:
            left_out.append(name)
            continue
        if len(data) != length:
            raise InputError(
                f"{path.name} is inconsistent: attribute {name} has {len(data)} values for {length}"
            )
        if data.dtype.kind not in "SO":
            columns[name] = data[:]
            continue
        texts, foreign = read_strings(data)
        # Before loom 3 what is not ASCII was written as XML entities.
        columns[name] = [html.unescape(text) if isinstance(text, str) else text for text in texts]
        if foreign:
            notes.append(foreign_text(f"{group.name.strip('/')}/{name}"))
    if left_out:
        where, names = str(group.name).strip("/"), ", ".join(left_out)
        notes.append(f"attributes of {where} without one value each were left out: {names}")
    return pd.DataFrame(columns, index=pd.RangeIndex(length))


def _names(path: Path, table: pd.DataFrame, known: tuple[str, ...], what: str) -> np.ndarray:
    lower = {str(column).lower(): column for column in reversed(table.columns)}
    for name in known:
        if name in lower:
            return table[lower[name]].astype(str).to_numpy(dtype=object)
    there = ", ".join(map(str, table.columns)) or "none"
    raise InputError(
        f"{path.name} does not name its {what}: an attribute {'CellID' if what == 'cells' else 'Gene'} is "
        f"needed; it has {there}"
    )
