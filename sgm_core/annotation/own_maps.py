"""Maps that an annotated file or dataset brings itself."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from sgm_core.annotation.annotated import check_origin
from sgm_core.cells.dataset import is_dataset, open_dataset
from sgm_core.cells.read.extras import read_maps
from sgm_core.errors import SGMError


def own_maps(about: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the maps by name: cell (row number), x, y of the cells that have a place.

    There are none where what was annotated is gone or has changed, or is no dataset and no h5ad file.

    Parameters
    ----------
    about : of a kept annotation
    """
    try:
        origin = check_origin(about)
        if is_dataset(origin):
            maps = open_dataset(origin).maps()
            return {name: _placed(pd.read_parquet(path)) for name, path in maps.items()}
        if not origin.endswith(".h5ad"):
            return {}
        with h5py.File(Path(origin), "r") as file:
            found, _ = read_maps(file, int(about["n_cells"]))
    except (SGMError, OSError, ValueError, KeyError):
        return {}
    rows = np.arange(int(about["n_cells"]))
    tables = {name: pd.DataFrame({"cell": rows, "x": xy[:, 0], "y": xy[:, 1]}) for name, xy in found.items()}
    return {name: _placed(table) for name, table in tables.items()}


def _placed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that have a place."""
    there = np.isfinite(table["x"]) & np.isfinite(table["y"])
    return table.loc[there, ["cell", "x", "y"]].reset_index(drop=True)
