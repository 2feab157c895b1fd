"""Annotated cells as h5ad, with all else of the file untouched, or as CSV."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.annotation.annotated import Annotated, is_dataset
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.export import export_h5ad
from sgm_core.cells.read.damage import reading
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.spreadsheet import csv_text

PREFIX = "sgm_"
COLUMNS = (
    "cell_type", "confidence", "best", "second", "second_confidence", "reason", "agreement", "spread",
    "distance", "known", "map_x", "map_y",
)  # fmt: skip
"""Columns of the predictions that an output gets."""
_ROWS = 20_000


def write_csv(result: Annotated, out: Path, columns: tuple[str, ...] = COLUMNS) -> Path:
    """Write the cells' own columns and the predictions as CSV that no spreadsheet runs, in blocks."""
    named = result.predictions[list(columns)].add_prefix(PREFIX)
    with home.whole_file(out) as temporary, temporary.open("w", newline="") as stream:
        for start in range(0, max(len(named), 1), _ROWS):
            part = slice(start, start + _ROWS)
            own = result.obs.iloc[part].reset_index(drop=True)
            text = csv_text(own.join(named.iloc[part].reset_index(drop=True)))
            stream.write(text if start == 0 else text.partition("\r\n")[2])
    return out


def check_h5ad(data: str) -> Path | None:
    """Return the file that columns can be added to, None for a dataset, which is written anew.

    Raises
    ------
    InputError
        If it is neither, its ``obs`` is of a form that can't be added to, or was annotated before.
    """
    if is_dataset(data):
        return None
    path = Path(data).expanduser()
    if path.suffix != ".h5ad":
        raise InputError(f"{path.name} is no h5ad file: columns can't be added to it; give --out X.csv")
    with reading(path), h5py.File(path, "r") as file:
        obs = file.get("obs")
        if not isinstance(obs, h5py.Group) or str(obs.attrs.get("encoding-type")) != "dataframe":
            raise InputError(f"obs of {path.name} is of an old form that can't be added to: give --out X.csv")
        there = [name for name in obs if name.startswith(PREFIX)]
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
    """Copy the query as it is, and add the predictions to ``obs`` and their origin to ``uns``.

    Raises
    ------
    InputError
        See `check_h5ad`.
    """
    source = check_h5ad(data)
    with home.whole_file(out) as temporary:
        if source is None:
            dataset = open_dataset(data)
            export_h5ad(dataset, np.arange(dataset.n_cells), temporary, observer)
        else:
            shutil.copyfile(source, temporary)
        with h5py.File(temporary, "r+") as file:
            _add(file, result, columns)
    return out


def _add(file: h5py.File, result: Annotated, columns: tuple[str, ...]) -> None:
    from anndata.io import write_elem

    obs = file["obs"]
    order = [name if isinstance(name, str) else name.decode() for name in obs.attrs.get("column-order", [])]
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
