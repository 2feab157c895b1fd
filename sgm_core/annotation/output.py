"""Annotated cells as h5ad, with all else of the file untouched, or as CSV."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.annotation.annotated import Annotated
from sgm_core.cells.dataset import is_dataset, open_dataset
from sgm_core.cells.export import export_h5ad
from sgm_core.cells.h5ad_write import named_table, write_counts, write_tables
from sgm_core.cells.read import open_source
from sgm_core.cells.read.annotation import read_table
from sgm_core.cells.read.damage import reading
from sgm_core.cells.write import room
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.spreadsheet import csv_text

PREFIX = "sgm_"
COLUMNS = (
    "cell_type", "confidence", "best", "second", "second_confidence", "reason", "agreement", "spread",
    "distance", "known", "map_x", "map_y", "umap_x", "umap_y",
)  # fmt: skip
"""Columns of the predictions that an output gets, where they are there."""
_ROWS = 20_000
_OWN = "_in_file"


def write_csv(result: Annotated, out: Path, columns: tuple[str, ...] = COLUMNS) -> Path:
    """Write the cells' own columns and the predictions as CSV that no spreadsheet runs, in blocks.

    A column of the cells that is called as one of the predictions is kept as ``NAME_in_file``.
    """
    named = result.predictions[_there(result, columns)].add_prefix(PREFIX)
    cells = result.obs.rename(columns={name: f"{name}{_OWN}" for name in named})
    with home.whole_file(out) as temporary, temporary.open("w", newline="") as stream:
        for start in range(0, max(len(named), 1), _ROWS):
            part = slice(start, start + _ROWS)
            own = cells.iloc[part].reset_index(drop=True)
            text = csv_text(own.join(named.iloc[part].reset_index(drop=True)))
            stream.write(text if start == 0 else text.partition("\r\n")[2])
    return out


def _there(result: Annotated, columns: tuple[str, ...]) -> list[str]:
    return [name for name in columns if name in result.predictions]


def check_h5ad(data: str) -> Path | None:
    """Return the h5ad that columns can be added to, None for what is written anew: a dataset, other files.

    Raises
    ------
    InputError
        If it was annotated before.
    """
    if is_dataset(data):
        return None
    path = Path(data).expanduser()
    if not path.is_file() or not h5py.is_hdf5(path):
        return None
    with reading(path), h5py.File(path, "r") as file:
        if "obs" not in file or "var" not in file:
            return None
        obs = file["obs"]
        columns = obs if isinstance(obs, h5py.Group) else obs.dtype.names or ()
        there = [name for name in columns if name.startswith(PREFIX)]
        if there:
            raise InputError(
                f"{path.name} has the column {there[0]!r} already: annotate the file it came from"
            )
    return path


def write_h5ad(
    result: Annotated,
    data: str,
    out: Path,
    observer: Observer | None = None,
    columns: tuple[str, ...] = COLUMNS,
) -> Path:
    """Write the query with the predictions in ``obs`` and their origin in ``uns``.

    An h5ad is copied as it is, but for an ``obs`` of an old form, which becomes one of today's; of a dataset
    or another file, counts and tables are written, in blocks.

    Raises
    ------
    InputError
        See `check_h5ad`; or if it has other cells by now, or the disk is full.
    """
    source = check_h5ad(data)
    with room(out, source.stat().st_size if source else None, "file"), home.whole_file(out) as temporary:
        if source is not None:
            shutil.copyfile(source, temporary)
        elif is_dataset(data):
            dataset = open_dataset(data)
            export_h5ad(dataset, np.arange(dataset.n_cells), temporary, observer)
        else:
            _write_anew(result, Path(data).expanduser(), temporary, observer or Observer())
        with h5py.File(temporary, "r+") as file:
            if source is not None:
                _renew(file)
            _add(file, result, columns)
    return out


def _write_anew(result: Annotated, path: Path, out: Path, observer: Observer) -> None:
    with home.scratch(out) as folder, h5py.File(out, "w") as file:
        source = open_source(path, folder, result.about.get("layer"))
        _check_cells(result, len(source.obs))
        obs = named_table(result.obs)
        names = source.var["gene"].astype(str).rename(None)
        var = named_table(source.var.assign(cell=names)).drop(columns="gene")
        maps = {f"X_{name}": place for name, place in source.maps.items()}
        write_tables(file, obs, var, maps, {})

        def tell(rows: int, _: int) -> None:
            observer.check()
            observer.progress(rows, len(obs), "writing counts")

        write_counts(file, source.chunks(), len(var), tell=tell)


def _renew(file: h5py.File) -> None:
    """Write an ``obs`` of an old form, a compound dataset or a bare group, as anndata writes it today."""
    from anndata.io import write_elem

    obs = file["obs"]
    if isinstance(obs, h5py.Group) and str(obs.attrs.get("encoding-type")) == "dataframe":
        return
    table, _ = read_table(file, "obs")
    del file["obs"]
    write_elem(file, "obs", named_table(table.rename_axis("cell").reset_index()))
    # codes of the old form have their texts there; anndata would take today's texts for such codes
    for name in table:
        file.pop(f"uns/{name}_categories", None)


def _check_cells(result: Annotated, n_cells: int) -> None:
    if n_cells != len(result.predictions):
        raise InputError(
            f"{result.name} has {n_cells:,} cells and {len(result.predictions):,} were named: it has "
            "changed, annotate it again"
        )


def _add(file: h5py.File, result: Annotated, columns: tuple[str, ...]) -> None:
    from anndata.io import write_elem

    obs = file["obs"]
    order = [name if isinstance(name, str) else name.decode() for name in obs.attrs.get("column-order", [])]
    _check_cells(result, len(obs[obs.attrs["_index"]]))
    columns = tuple(_there(result, columns))
    for name in (PREFIX + name for name in columns):
        if name in obs:  # of what was written anew: nothing of a file that was copied is touched
            obs.move(name, name + _OWN)
            order[order.index(name)] = name + _OWN
    for name in columns:
        values = result.predictions[name]
        text = not pd.api.types.is_numeric_dtype(values.dtype)
        column = pd.Categorical(values.astype(str)) if text else values.to_numpy()
        write_elem(obs, PREFIX + name, column)
        order.append(PREFIX + name)
    obs.attrs["column-order"] = np.array(order, dtype=h5py.string_dtype())
    if "uns" not in file:
        write_elem(file, "uns", {})
    about = {key: result.about[key] for key in ("model", "model_hash", "coverage")}
    write_elem(file["uns"], "sgm_annotation", about)
