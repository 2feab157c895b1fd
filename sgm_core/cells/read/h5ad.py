"""Read h5ad files (AnnData): counts in X, raw/X or a layer; CSR, CSC or dense."""

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from sgm_core.cells.read.annotation import read_table
from sgm_core.cells.read.damage import members, open_hdf5, part, reading
from sgm_core.cells.read.extras import read_colours, read_maps
from sgm_core.cells.read.source import CHUNK_VALUES, CountSource, name_cells, refuse_empty, sparse_blocks
from sgm_core.cells.read.transpose import Transposer
from sgm_core.cells.read.values import find_counts, native
from sgm_core.errors import InputError

_ADVICE = "take a file with raw UMI counts, or name what holds them with --layer"


def read_h5ad(path: Path, scratch: Path, layer: str | None = None) -> CountSource:
    """Open an h5ad file of any version.

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
        obs, notes = read_table(file, "obs")
        maps, map_notes = read_maps(file, len(obs))
        colours, colour_notes = read_colours(file, obs)
        var, var_notes = read_table(file, "var")
        refuse_empty(path, len(obs), len(var))
        places = _places(path, file, layer)
        values = {place: _values(file[place]) for place in places}
        where, why = find_counts(path, values, _ADVICE, chosen=layer is not None)
        if where in ("raw/X", "raw.X"):
            # raw often holds more genes, and the symbols only in var.
            raw, more = read_table(file, where.replace("X", "var"))
            why = why or _said_raw(where, len(raw), len(var), layer)
            var, var_notes = raw.join(var[~var.index.duplicated()], rsuffix="_in_var"), var_notes + more
        cells = name_cells(obs, obs.index)
        genes = var.reset_index(drop=True)
        genes.insert(0, "gene", var.index.astype(str), allow_duplicates=True)
        genes = genes.loc[:, ~genes.columns.duplicated()]
        kind, shape, layout_notes = _layout(path, file[where], (len(cells), len(genes)))
        if shape != (len(cells), len(genes)):
            raise InputError(
                f"{path.name} is inconsistent: {where} is {shape[0]} x {shape[1]}, "
                f"but obs has {len(cells)} cells and var {len(genes)} genes"
            )
    chunks = _chunks(path, where, kind, shape, scratch)
    said = [*notes, *var_notes, *why, *layout_notes, *map_notes, *colour_notes]
    return CountSource(
        path, f"h5ad ({kind})", where, cells, genes, chunks, notes=said, maps=maps, colours=colours
    )


def _said_raw(where: str, n_raw: int, n_var: int, layer: str | None) -> list[str]:
    if layer is not None or n_raw <= n_var:
        return []
    return [f"the counts were taken from {where}, which has {n_raw:,} genes; X has {n_var:,} (--layer X)"]


def _places(path: Path, file: h5py.File, layer: str | None) -> list[str]:
    """Return where counts may be, the likeliest first: raw before X where it holds more genes."""
    there = [place for place in ("X", "raw/X", "raw.X") if _is_matrix(file.get(place))]
    if len(there) > 1 and _n_genes(file, there[1]) > _n_genes(file, "X"):
        there.reverse()
    layers = members(file, "layers")
    there += [f"layers/{name}" for name in sorted(layers) if _is_matrix(layers[name])]
    if layer is None:
        if not there:
            raise InputError(f"{path.name} has neither X nor raw/X nor layers: there are no counts in it")
        return there
    raw = next((place for place in there if place.startswith("raw")), "raw/X")
    wanted = {"X": "X", "raw": raw, "raw/X": raw}.get(layer, f"layers/{layer}")
    if wanted not in there:
        raise InputError(f"{path.name} has no layer {layer!r}; counts may be in {', '.join(there)}")
    return [wanted]


def _is_matrix(item: h5py.Group | h5py.Dataset | None) -> bool:
    if isinstance(item, h5py.Group):
        return {"data", "indices", "indptr"} <= set(item)
    return isinstance(item, h5py.Dataset) and item.shape is not None and len(item.shape) == 2


def _n_genes(file: h5py.File, place: str) -> int:
    table = file.get("var" if place == "X" else place.replace("X", "var"))
    if isinstance(table, h5py.Group):
        table = table.get(str(table.attrs.get("_index", "_index")))
    return table.shape[0] if isinstance(table, h5py.Dataset) and table.shape else 0


def _values(item: h5py.Group | h5py.Dataset) -> h5py.Dataset:
    return part(item, "data", "iufbcSOV") if isinstance(item, h5py.Group) else item


def _layout(
    path: Path, item: h5py.Group | h5py.Dataset, expected: tuple[int, int]
) -> tuple[str, tuple[int, int], list[str]]:
    """Return how a matrix is stored (csr, csc or dense), its shape, and what had to be assumed.

    anndata before 0.7 used other attributes; some tools write none, and then the length of indptr tells.
    """
    if isinstance(item, h5py.Dataset):
        return "dense", (int(item.shape[0]), int(item.shape[1])), []
    kind = item.attrs.get("encoding-type", item.attrs.get("h5sparse_format"))
    shape = item.attrs.get("shape", item.attrs.get("h5sparse_shape", expected))
    if kind is not None:
        kind = kind.decode() if isinstance(kind, bytes) else str(kind)
        shape = np.ravel(shape)
        if shape.size != 2 or shape.dtype.kind not in "iu":
            raise InputError(
                f"{item.name.strip('/')} of {path.name} has the shape {shape}: two numbers are needed"
            )
        return kind.removesuffix("_matrix"), (int(shape[0]), int(shape[1])), []
    n = part(item, "indptr", "iu").shape[0] - 1
    kinds = [kind for kind, length in zip(("csr", "csc"), expected, strict=True) if length == n]
    if len(kinds) != 1:
        raise InputError(
            f"{item.name.strip('/')} of {path.name} doesn't say how it is stored: its attributes "
            "encoding-type and shape are missing; set them, or save it with a current version of anndata"
        )
    said = f"{item.name.strip('/')} doesn't say how it is stored: by its lengths it is {kinds[0]}"
    return kinds[0], expected, [said]


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
                yield sparse.csr_matrix(native(file[where][start : start + step]))

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

    kinds = {"csr": by_cells, "csc": by_genes, "dense": dense}
    if kind not in kinds:
        raise InputError(f"{where} of {path.name} is stored as {kind!r}: save it as csr, csc or dense")
    return kinds[kind]
