"""Start runs in processes of their own, one at a time per device, in the order of `sgm_core.runs.order`."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import sgm_core
from sgm_core import home
from sgm_core.access import acts
from sgm_core.device import device_name, on_gpu
from sgm_core.errors import InputError, NotFoundError, SGMError
from sgm_core.progress import Observer
from sgm_core.runs.ends import reason
from sgm_core.runs.launchers import LAUNCHERS, check_launcher, launcher_of
from sgm_core.runs.order import give_back, run_of, take_ticket, tickets
from sgm_core.runs.run import Run
from sgm_core.runs.states import ACTIVE
from sgm_core.runs.store import open_run

_POLL_S = 0.3
_STOPPING_S = 10.0
_LOCK = ".lock"


@acts("launch")
def launch(run: Run, launcher: str | None = None, processes: int | None = None) -> None:
    """Queue `run` and start its worker, which outlives this process.

    A run that is active or done is left as it is; one that ended otherwise starts again (see
    `Run.when_resumed`).

    Parameters
    ----------
    run
        The run.
    launcher
        One of `sgm_core.runs.launchers.LAUNCHERS`; None is the one that the run was last asked for with.
    processes
        How many work on it; None, with a `launcher`, leaves that to the launcher.

    Raises
    ------
    Forbidden
        If the role of who asks does not allow it.
    InputError
        If an earlier worker of the run is still ending, the run's folder can't be written, or the launcher is
        not at hand here, does not go with the run, or is refused its job.
    """
    try:
        with run.locked("launch"):
            status = run.status
            if status["state"] == "done" or is_started(status):
                return
            launcher, processes = chosen(run, launcher, processes)
            enqueue(run, launcher, processes)
            try:
                run.update(**LAUNCHERS[launcher].start(run, worker_environment()))
            except SGMError as error:
                run.finish("failed", str(error))
                raise
    except OSError as error:
        raise InputError(f"run {run.id} can't start: {reason(error)}") from error


def chosen(run: Run, launcher: str | None, processes: int | None) -> tuple[str, int | None]:
    """Return the launcher and the processes that `launch` would take.

    Raises
    ------
    InputError
        If the launcher is not at hand here, or does not go with the run.
    """
    if launcher is None:
        status = run.status
        launcher, processes = launcher_of(status).name, processes or status.get("processes")
    check_launcher(launcher, processes, run.kind, run.parameters)
    return launcher, processes


def is_started(status: dict[str, Any]) -> bool:
    """Say whether a run of this status has a worker that waits or works."""
    return status["state"] in ACTIVE and launcher_of(status).started(status)


def worker_environment() -> dict[str, str]:
    """Return the environment of a process that works for this one: its home, its package, its threads."""
    environment = dict(os.environ)
    limit_threads(environment)
    environment["SGM_HOME"] = str(home.home())
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONSAFEPATH"] = "1"  # nothing is imported from the working directory
    environment.setdefault("PYTHONWARNINGS", "ignore")
    package_root = str(Path(sgm_core.__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, environment.get("PYTHONPATH")]))
    return environment


def enqueue(run: Run, launcher: str = "local", processes: int | None = None) -> None:
    """Put `run` at the end of its queue, behind all of its priority, with a fresh status."""
    deadline = time.monotonic() + _STOPPING_S
    while (
        run.process_alive() and run.status["pid"] != os.getpid()
    ) or run.is_held():  # a notebook may resume its own run
        if time.monotonic() > deadline:
            raise InputError(f"run {run.id} is still stopping: try again in a moment")
        time.sleep(0.1)
    queues = LAUNCHERS[launcher].queues
    device = {"device": _device(run)} if queues else {}
    give_back(run)
    run.requeue(launcher=launcher, processes=processes, **device)
    if queues:
        take_ticket(_queue(run), run)


@contextmanager
def turn(run: Run, observer: Observer) -> Iterator[None]:
    """Wait until the queue lets `run` go, and hold the device until the block ends.

    A run whose launcher has a queue of its own does not wait again.

    Tickets keep the order; that one run at a time has the device is kept by a lock, which ends with its
    process. (Tickets alone let two pass: one whose earlier number appears after the other has looked.) A run
    on several graphics cards, which begin with the first, then takes the lock of each.

    Raises
    ------
    Cancelled
        If it is cancelled while it waits.
    """
    if not launcher_of(run.status).queues:
        run.check()
        run.update(device=_device(run))
        yield
        return
    folder = _queue(run)
    try:
        with ExitStack() as held:
            for queue in (folder, *_further_cards(run)):
                lock = held.enter_context((queue / _LOCK).open("a"))
                said = None
                while ahead := (queue == folder and _ahead(folder, run.id)) or _others(lock):
                    run.check()
                    if ahead != said:
                        observer.message(f"waiting for {ahead} on {queue.name}")
                        said = ahead
                    time.sleep(_POLL_S)
            run.check()
            yield
    finally:
        give_back(run)


def limit_threads(environment: MutableMapping[str, str]) -> None:
    """Pass ``SGM_THREADS`` on to the numerical libraries; without it they take what they like."""
    threads = environment.get("SGM_THREADS")
    if threads:
        for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
            environment[f"{library}_NUM_THREADS"] = threads


def _ahead(folder: Path, run_id: str) -> str | None:
    """Name the run that has to end first: an earlier live one, or one that runs already."""
    mine = False
    for ticket in tickets(folder):
        other = run_of(ticket)
        if other == run_id:
            mine = True
            continue
        try:
            state = open_run(other).state
        except NotFoundError:
            state = "lost"
        if state not in ACTIVE:
            ticket.unlink(missing_ok=True)
        elif not mine or state == "running":
            return f"run {other}"
    return None


def _others(lock: TextIO) -> str | None:
    """Take the device's lock; return who has it if that fails."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another run"
    return None


def _further_cards(run: Run) -> list[Path]:
    """Return the queues of the graphics cards that a run uses beside the first."""
    asked = run.parameters.get("device") or run.status["device"]
    if ":" in asked or not on_gpu(asked):
        return []
    return [_queue_of(f"cuda:{number}") for number in range(1, launcher_of(run.status).cards(run))]


def _queue(run: Run) -> Path:
    # Short work on the processor must not wait for hours of training.
    short = {
        "import": "preparation",
        "umap": "preparation",
        "differential": "questions",
        "prerank": "questions",
        "export": "questions",
        "model": "preparation",
        "annotate": "questions",
    }
    trains = run.kind == "model" and run.parameters.get("comparison")  # a backbone
    return _queue_of(run.status["device"] if trains else short.get(run.kind, run.status["device"]))


def _queue_of(name: str) -> Path:
    path = home.folder("runs") / ".queues" / name.replace(":", "-")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _device(run: Run) -> str:
    """Name the device that the run will use."""
    return device_name(run.parameters.get("device") or run.status["device"])
