"""Maps of cells that files bring: named pairs of coordinates, and the tables that keep them."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core import home

_RESERVED = "pca_umap"
"""The map that `sgm umap` makes of a dataset."""
_PAIR = re.compile(r"(?P<stem>.*?)[ ._-]?(?P<axis>x|y|[0-9])", re.IGNORECASE)
_STEMS = re.compile(
    r".*(umap|t-?sne|fr|fa|fa2|draw_graph\w*|phate|force\w*|spring|dim|embedding|coord\w*|map|pc|pca|mds|ivis|mde)",
    re.IGNORECASE,
)
_AXES = (("x", "y"), ("1", "2"), ("0", "1"))


def map_name(given: str, taken: Mapping[str, object] | None = None) -> str:
    """Return the name that a map is stored under: ``X_`` is taken off, and what no file name can have.

    A name that is taken, or kept for `sgm umap`, gets ``_in_file``.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", given.strip().removeprefix("X_")).strip("._-")[:50] or "map"
    name = name.replace("..", "_")
    while name == _RESERVED or name in (taken or {}):
        name += "_in_file"
    return name


def coordinate_pairs(columns: list[str]) -> dict[str, tuple[str, str]]:
    """Find pairs of columns that are named as coordinates: x and y, NAME_x and NAME_y, umap_1 and umap_2.

    Returns
    -------
    pairs
        By the name that their map gets, in the order of the columns.
    """
    found: dict[str, dict[str, str]] = {}
    for column in columns:
        if match := _PAIR.fullmatch(column.strip()):
            found.setdefault(match["stem"].strip(" ._-"), {}).setdefault(match["axis"].lower(), column)
    pairs: dict[str, tuple[str, str]] = {}
    for stem, axes in found.items():
        for first, second in _AXES:
            if first in axes and second in axes and (first == "x" or _STEMS.fullmatch(stem)):
                pairs[map_name(stem or "map", pairs)] = (axes[first], axes[second])
                break
    return pairs


def map_table(xy: np.ndarray) -> pd.DataFrame:
    """Return a map as it is kept: cell (row number, int64), x and y (float32), cells with a place only.

    Parameters
    ----------
    xy
        Coordinates of all cells (n, 2), NaN or infinite where a cell has no place.
    """
    xy = np.asarray(xy, np.float32)
    cells = np.flatnonzero(np.isfinite(xy).all(axis=1))
    return pd.DataFrame({"cell": cells, "x": xy[cells, 0], "y": xy[cells, 1]})


def write_maps(folder: Path, maps: Mapping[str, np.ndarray]) -> None:
    """Write coordinates of all cells (n, 2) by name into an existing folder."""
    for name, xy in maps.items():
        home.write_table(folder / f"{name}.parquet", map_table(xy))
