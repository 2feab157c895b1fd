"""What an h5ad file says beside the counts: maps of its cells and colours of its labels."""

from typing import Any

import h5py
import numpy as np
import pandas as pd

from sgm_core.cells.colours import level_colours
from sgm_core.cells.columns import as_text
from sgm_core.cells.maps import map_name
from sgm_core.cells.read.damage import members
from sgm_core.cells.read.strings import read_strings
from sgm_core.cells.read.values import native

_MOST_AXES = 3
_SUFFIX = "_colors"


def read_maps(file: h5py.File, n_cells: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Read the maps of ``obsm``: tables of two or three columns, of which the first two are taken.

    Components and latent vectors have more columns and are no maps.

    Returns
    -------
    maps
        Float32 (n_cells, 2) by name; NaN where a cell has no place.
    notes
        Which were left out, and why.
    """
    maps: dict[str, np.ndarray] = {}
    notes = []
    for given, item in members(file, "obsm").items():
        if not isinstance(item, h5py.Dataset) or len(item.shape or ()) != 2 or item.dtype.kind not in "iuf":
            continue
        n_rows, n_axes = item.shape
        if not 2 <= n_axes <= _MOST_AXES:
            continue
        if n_rows != n_cells:
            notes.append(f"the map {given} was left out: it has {n_rows:,} rows for {n_cells:,} cells")
            continue
        xy = native(item[:, :2]).astype(np.float32)
        placed = int(np.isfinite(xy).all(axis=1).sum())
        if not placed:
            notes.append(f"the map {given} was left out: no cell has a place on it")
            continue
        if placed < n_cells:
            notes.append(f"the map {given} has {placed:,} of the {n_cells:,} cells")
        maps[map_name(given, maps)] = xy
    return maps, notes


def read_colours(file: h5py.File, obs: pd.DataFrame) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Read ``uns["<column>_colors"]``, which has a colour for each category of the column, in their order.

    Returns
    -------
    colours
        ``#rrggbb`` by level, by column.
    notes
        Which were left out, and why.
    """
    colours: dict[str, dict[str, str]] = {}
    notes = []
    for name, item in members(file, "uns").items():
        column = name.removesuffix(_SUFFIX)
        if column == name or column not in obs:
            continue
        given = _texts(item)
        if given is None or not isinstance(obs[column].dtype, pd.CategoricalDtype):
            notes.append(
                f"the file's colours of column {column!r} were left out: they are no list of colours of "
                "categories"
            )
            continue
        levels = as_text(pd.Series(obs[column].cat.categories)).fillna("").tolist()
        found, note = level_colours(column, levels, given)
        colours |= {column: found} if found else {}
        notes += [note] if note else []
    return colours, notes


def _texts(item: Any) -> list[str] | None:
    if not isinstance(item, h5py.Dataset) or len(item.shape or ()) != 1 or item.dtype.kind not in "SO":
        return None
    return [str(text) for text in read_strings(item)[0]]
