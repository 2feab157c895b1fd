"""The large tables of a comparison in parts: what a task made is written once and then belongs to the run.

A finished task's predictions (one file an arm and scheme) move from the task's folder into the run's table.
No part is written again because another task has ended.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core import tables
from sgm_core.analysis.mask_models import with_residuals

PARTS = ("predictions", "masks", "masks_start")
"""Tables of a comparison that are folders of parts."""


def write_predictions(folder: Path, predictions: Iterable[pd.DataFrame]) -> None:
    """Write the predictions of a task.

    Parameters
    ----------
    folder
        The task's.
    predictions
        The run table of one arm and scheme each.
    """
    for table in predictions:
        first = table.iloc[0]
        name = f"{first['arm']}.{first['scheme']}.fold{first['fold']}.seed{first['seed']}"
        small = table.assign(
            cell=table["cell"].astype(np.int32), confidence=table["confidence"].astype(np.float32)
        )
        tables.write(folder / "predictions" / f"{name}.parquet", small)


def settle(task: Path, run: Path) -> None:
    """Move what a finished task made for the run's tables into the run's folder.

    Parameters
    ----------
    task, run
        The folders. What was moved before is no longer there, so that settling again does nothing.
    """
    for part in sorted((task / "predictions").glob("[!.]*.parquet")):
        _move(part, run / "predictions" / part.name)
    for name in ("masks", "masks_start"):
        counts, model = task / f"{name}.parquet", run / name / f"{task.name}.parquet"
        if counts.exists() and tables.stamp(model) < tables.stamp(counts):
            # what pages and commands ask of a model is worked out here, once
            tables.write(model, with_residuals(tables.read(counts, equal={"by": "all"})))
            (run / f"{name}.parquet").unlink(missing_ok=True)


def parts_of(run: Path, name: str) -> Iterator[Path]:
    """Give the parts that a table has, sorted by name."""
    yield from sorted((run / name).glob("[!.]*.parquet"))


def _move(part: Path, place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    part.replace(place)
    place.parent.with_suffix(".parquet").unlink(missing_ok=True)  # the whole table, of an older version
