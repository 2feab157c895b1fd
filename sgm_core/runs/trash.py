"""Runs that were deleted: kept for a week, in case that was a mistake."""

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sgm_core import home
from sgm_core.access import acts
from sgm_core.errors import InputError, NotFoundError
from sgm_core.runs.run import TRAININGS, Run
from sgm_core.runs.store import check_id, link_latest, list_runs, open_run

KEPT_DAYS = 7


@acts("delete")
def delete_run(run_id: str) -> None:
    """Move a run to the trash, from which `restore_run` takes it back within a week.

    Raises
    ------
    NotFoundError
        If there is no such run.
    InputError
        If it is under way.
    """
    run = open_run(run_id)
    with run.locked("launch"):
        if run.active or run.is_held():
            raise InputError(f"run {run.id} is {run.state}: cancel it before you delete it")
        trains = run.kind in TRAININGS
        run.path.replace(home.folder("trash") / f"{int(time.time()):010d}~{run.id}")
    if trains:
        link_latest()


def built_on(run_id: str) -> list[str]:
    """Return the IDs of the runs that name this one: its finetunings, maps and models."""
    return [other.id for other in list_runs() if other.id != run_id and other.parameters.get("run") == run_id]


@acts("restore")
def restore_run(run_id: str) -> Run:
    """Take a run back from the trash; of several deletions, the last.

    Raises
    ------
    NotFoundError
        If it is not there (any more).
    InputError
        If a run has that ID again.
    """
    found = [path for path in _deleted() if path.name.split("~", 1)[1] == run_id]
    if not found:
        raise NotFoundError(f"no run {run_id!r} in the trash, which keeps them for {KEPT_DAYS} days")
    target = home.folder("runs") / check_id(run_id)
    if target.exists():
        raise InputError(f"there is a run {run_id!r} again: delete that one first")
    found[-1].replace(target)
    link_latest()
    return open_run(run_id)


def deleted_runs() -> list[dict[str, Any]]:
    """Return ID, title, time of deletion and size of what is in the trash, oldest first."""
    rows: list[dict[str, Any]] = []
    for path in _deleted():
        stamp, run_id = path.name.split("~", 1)
        run = Run(path)
        try:
            title = run.title
        except (OSError, ValueError, KeyError):
            title = ""
        when = datetime.fromtimestamp(int(stamp), UTC).isoformat(timespec="seconds")
        rows.append({"id": run_id, "title": title, "deleted": when, "bytes": run.size()})
    return rows


def empty_trash(days: float = KEPT_DAYS) -> list[Path]:
    """Delete for good what was deleted longer ago; returns what that was."""
    # what lies in the future was deleted before the clock was set back: it waits for its time
    old = [path for path in _deleted() if time.time() - int(path.name.split("~", 1)[0]) > days * 86400]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return old


def _deleted() -> list[Path]:
    folder = home.home() / "trash"
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob("*~*") if path.name.split("~", 1)[0].isdigit())
