"""Hand finished and running runs to other trackers: what they hold, and one file for each tracker."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sgm_core.errors import InputError

if TYPE_CHECKING:
    from sgm_core.runs.run import Run

TRACKERS = {"tensorboard": "tensorboard", "mlflow": "mlflow"}
"""The trackers, and the package that each needs."""


def export_to(tracker: str, runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write curves, parameters, tags and final tables of runs as a tracker reads them.

    Runs that are there already are written anew, so that an export can be repeated while they go on.

    Parameters
    ----------
    tracker
        A key of `TRACKERS`.
    runs
        The runs.
    folder
        Made if it is not there.

    Returns
    -------
    Where each run is.

    Raises
    ------
    InputError
        If the tracker is unknown, or its package is not installed.
    """
    if tracker not in TRACKERS:
        raise InputError(f"unknown tracker {tracker!r}: there are {', '.join(TRACKERS)}")
    package = TRACKERS[tracker]
    if find_spec(package) is None:
        raise InputError(f"an export to {tracker} needs its package: pip install {package}")
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: give a folder")
    writer = import_module(f"{__name__}.{tracker}")
    return [writer.write(run, folder) for run in runs]
