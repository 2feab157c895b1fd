"""In which order queued runs get their device: by priority, then first come first served.

A run in a queue has a ticket, an empty file whose name says all: priority, time and run. The names sort as
the runs are served, and a rename moves a run in one step. Workers look again and again while they wait.
"""

import time
from contextlib import suppress
from pathlib import Path

from sgm_core import home
from sgm_core.access import acts
from sgm_core.errors import InputError, SGMError
from sgm_core.runs.run import Run
from sgm_core.runs.states import MOVES, check_priority
from sgm_core.runs.store import open_run

_MIDDLE = 50_000  # above any first digits of a ticket without priority, which an older version wrote


def take_ticket(folder: Path, run: Run) -> None:
    """Put `run`, which has none, behind all of its priority in the queue `folder`."""
    (folder / _name(run.status.get("priority", 0), time.time_ns(), run.id)).touch()


def give_back(run: Run) -> None:
    """Leave the queue; a ticket may be in that of another device, from an attempt that was killed there."""
    for ticket in _tickets_of(run):
        ticket.unlink(missing_ok=True)


def tickets(folder: Path) -> list[Path]:
    """Return the tickets of a queue as they are served."""
    return sorted(folder.glob("*~*"))


def run_of(ticket: Path) -> str:
    """Return the ID of the run that has this ticket."""
    return ticket.name.split("~", 1)[1]


@acts("move")
def set_priority(run_id: str, priority: int) -> Run:
    """Change a run's priority: of one that waits its place too, of another how it queues when resumed.

    Raises
    ------
    Forbidden
        If the role of who asks does not allow it.
    NotFoundError
        If there is no such run.
    InputError
        If the priority can't be one, or the run is done.
    """
    run = open_run(run_id)
    check_priority(priority)
    if run.state == "done":
        raise InputError(f"run {run.id} is done: a priority would change nothing")
    run.update(priority=priority)
    for ticket in _tickets_of(run):
        _move(ticket, priority, _time(ticket))
    return run


@acts("move")
def move_run(run_id: str, where: str) -> Run:
    """Move a run that waits within its queue; it takes the priority of its new place.

    Parameters
    ----------
    run_id
        The run.
    where
        ``first``, ``up`` (by one place), ``down`` or ``last``. Where it is there already, nothing changes.

    Raises
    ------
    Forbidden
        If the role of who asks does not allow it.
    NotFoundError
        If there is no such run.
    InputError
        If it does not wait in a queue, or `where` is none of these.
    """
    run = open_run(run_id)
    if where not in MOVES:
        raise InputError(f"a run can be moved {', '.join(MOVES)}, not {where!r}")
    found = _tickets_of(run) if run.state == "queued" else []
    if not found:
        raise InputError(f"run {run.id} is {run.state}: only a run that waits in a queue can be moved")
    mine = found[0]
    line = _waiting(mine.parent)
    place = line.index(mine)
    others = line[:place] if where in ("first", "up") else line[place + 1 :]
    if not others:
        return run
    other = others[0] if where in ("first", "down") else others[-1]
    if where in ("up", "down"):  # the two change places
        _move(mine, _priority(other), _time(other))
        _move(other, _priority(mine), _time(mine))
        open_run(run_of(other)).update(priority=_priority(mine))
    else:
        _move(mine, _priority(other), _time(other) + (-1 if where == "first" else 1))
    run.update(priority=_priority(other))
    return run


def places() -> dict[str, tuple[int, int]]:
    """Return of each run that waits its place in its queue, from 1 on, and how many wait there."""
    found = {}
    for folder in _queues().glob("*"):
        waiting = _waiting(folder)
        found.update({run_of(ticket): (place, len(waiting)) for place, ticket in enumerate(waiting, 1)})
    return found


def _waiting(folder: Path) -> list[Path]:
    return [ticket for ticket in tickets(folder) if _waits(ticket)]


def _waits(ticket: Path) -> bool:
    try:
        return open_run(run_of(ticket)).state == "queued"
    except (SGMError, OSError, ValueError, KeyError):  # it is gone, or someone damaged it
        return False


def _tickets_of(run: Run) -> list[Path]:
    return list(_queues().glob(f"*/*~{run.id}"))


def _queues() -> Path:
    return home.folder("runs") / ".queues"


def _name(priority: int, nanoseconds: int, run_id: str) -> str:
    return f"{_MIDDLE - priority:05d}-{nanoseconds:020d}~{run_id}"


def _move(ticket: Path, priority: int, nanoseconds: int) -> None:
    with suppress(FileNotFoundError):  # it got the device, or was cancelled, just now
        ticket.rename(ticket.with_name(_name(priority, nanoseconds, run_of(ticket))))


def _priority(ticket: Path) -> int:
    first, dash, _ = ticket.name.split("~", 1)[0].partition("-")
    return _MIDDLE - int(first) if dash else 0


def _time(ticket: Path) -> int:
    return int(ticket.name.split("~", 1)[0].rpartition("-")[2])
