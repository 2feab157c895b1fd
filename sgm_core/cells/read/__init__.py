"""Readers, one file a family of formats; `open_source` chooses by name and content."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import h5py

from sgm_core.cells.read.damage import open_hdf5, reading
from sgm_core.cells.read.features import mark_genes
from sgm_core.cells.read.geo import is_geo, read_geo
from sgm_core.cells.read.h5ad import read_h5ad
from sgm_core.cells.read.loom import read_loom
from sgm_core.cells.read.source import CountSource, checked, refuse_empty
from sgm_core.cells.read.tenx import read_10x_folder, read_10x_h5
from sgm_core.cells.read.text import read_text
from sgm_core.errors import InputError

__all__ = ["CountSource", "open_source"]

_KNOWN = (
    "h5ad, loom, 10x (.h5, or the folder with matrix.mtx), CSV or TSV (.gz too), "
    "or a folder with GEO pairs *.dem.txt.gz and *.anno.txt.gz"
)


def open_source(
    path: Path, scratch: Path, layer: str | None = None, columns: Collection[str] = ()
) -> CountSource:
    """Open a file or folder of counts; what was assumed is in its notes, antibodies are marked as no genes.

    Parameters
    ----------
    path
        Its name and content decide the format.
    scratch
        An existing, empty folder for temporary files.
    layer
        Where the counts are in an h5ad or loom file; found by testing when None.
    columns
        Columns that describe cells (matters in tables of text).

    Raises
    ------
    InputError
        If the format is unknown, the file is damaged, or holds no counts.
    """
    with reading(path):
        source = _open(path, scratch, layer, columns)
    if layer is not None and not source.format.startswith(("h5ad", "loom")):
        raise InputError(f"{path.name} has no layers ({source.format}): leave out --layer {layer}")
    refuse_empty(path, len(source.obs), len(source.var))
    var, notes = mark_genes(path, source.var)
    source.notes.extend(notes)
    return checked(replace(source, var=var))


def _open(path: Path, scratch: Path, layer: str | None, columns: Collection[str]) -> CountSource:
    if path.is_dir():
        # Hidden files are no data: a Mac leaves ._NAME beside NAME.
        files = [file for file in path.iterdir() if not file.name.startswith(".")]
        if any(map(is_geo, files)):
            return read_geo(path, scratch)
        if any("matrix.mtx" in file.name for file in files):
            return read_10x_folder(path, scratch)
        raise InputError(f"folder {path.name} holds no counts that are known here: give {_KNOWN}")
    name = path.name.lower().removesuffix(".gz")
    if is_geo(path):
        return read_geo(path, scratch)
    if name.endswith("matrix.mtx"):
        return read_10x_folder(path, scratch)
    if name.endswith((".csv", ".tsv", ".txt", ".tab")):
        return read_text(path, scratch, columns)
    kind = Path(name).suffix
    if kind in (".h5", ".hdf5") and h5py.is_hdf5(path):
        with open_hdf5(path) as file:
            kind = ".h5ad" if "obs" in file and "var" in file else ".loom" if "row_attrs" in file else ".h5"
    if kind == ".h5ad":
        return read_h5ad(path, scratch, layer)
    if kind == ".loom":
        return read_loom(path, layer)
    if kind in (".h5", ".hdf5"):
        return read_10x_h5(path)
    raise InputError(f"{path.name} is of no format that is known here: give {_KNOWN}")
