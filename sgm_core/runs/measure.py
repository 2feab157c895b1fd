"""Measure a run before it starts, in a process of its own: waited for, or left alone to be asked later."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sgm_core import home
from sgm_core.access import acts
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.estimate.fit import require_fit, warnings
from sgm_core.estimate.measured import kept, only_encodes, place, pretraining_of, worth_again
from sgm_core.estimate.run import Measured, estimate_run, threads_of
from sgm_core.runs.detach import start_detached
from sgm_core.runs.launch import worker_environment
from sgm_core.runs.process import alive, identity
from sgm_core.sweeps.config import SweepConfig
from sgm_core.training.config import Settings

_LONGEST_S = 1200
_POLL_S = 0.1


@dataclass(frozen=True)
class Measuring:
    """How far measuring is: `state` is none, running, done or failed, `error` what failed in one line."""

    state: str
    error: str = ""


def measure(config: Settings, dataset: Dataset) -> Measured:
    """Return what was measured of a run, now or earlier; it takes seconds to minutes.

    Raises
    ------
    InputError
        If the run can't fit by the formula (nothing is tried then), memory is short now, or its steps failed.
    """
    start_measuring(config, dataset)
    wait_for(config, dataset)
    found = kept(config, dataset)
    if found is None:
        raise InputError(f"measuring failed: {_last_line(place(config, dataset))}")
    return found


def wait_for(config: Settings, dataset: Dataset) -> None:
    """Wait until measuring has ended; it is stopped after 20 minutes, and where this process is."""
    deadline = time.monotonic() + _LONGEST_S
    try:
        while measuring(config, dataset).state == "running":
            if time.monotonic() > deadline:
                took = f"measuring took over {_LONGEST_S // 60} minutes and was stopped"
                raise InputError(f"{took}: --no-probe measures nothing")
            time.sleep(_POLL_S)
    except BaseException:
        _stop(place(config, dataset))
        raise


@acts("measure", lambda config, dataset: dataset.name)
def start_measuring(config: Settings, dataset: Dataset) -> None:
    """Start measuring in a detached process, unless it runs, or is done and need not be done again.

    Raises
    ------
    InputError
        If the run can't fit by the formula, or memory is short now.
    """
    earlier = kept(config, dataset)
    if measuring(config, dataset).state == "running" or (earlier and not worth_again(earlier)):
        return
    _require_room(config, dataset)
    result = place(config, dataset)
    request = _beside(result, "request.json")
    fields = {**pretraining_of(config).to_dict(), "data": dataset.name}
    asked = {"encodes": only_encodes(config), "threads": threads_of(config)}
    home.write_json(request, {"config": fields, "result": str(result), **asked})
    with _beside(result, "log").open("wb") as log:
        arguments = ("-P", "-m", "sgm_core.estimate.measure", str(request))
        pid = start_detached(arguments, log, home.home(), worker_environment())
    home.write_json(_beside(result, "worker.json"), identity(pid))


def measuring(config: Settings, dataset: Dataset) -> Measuring:
    """Say how far measuring is."""
    result = place(config, dataset)
    worker = _worker(result)
    if worker and alive(*worker):
        return Measuring("running")
    if kept(config, dataset) is not None:
        return Measuring("done")
    return Measuring("failed", _last_line(result)) if worker else Measuring("none")


def _require_room(config: Settings, dataset: Dataset) -> None:
    """Refuse steps that could end what runs beside them, for they wait in no queue."""
    estimate = require_fit(config, dataset)
    if isinstance(config, CompareConfig | SweepConfig):
        estimate = estimate_run(pretraining_of(config), dataset)  # it is measured in one process
    for warning in warnings(estimate):
        raise InputError(f"measuring has to wait (--no-probe measures nothing): {warning}")


def _worker(result: Path) -> tuple[int, float] | None:
    try:
        worker = home.read_json(_beside(result, "worker.json"))
    except (OSError, ValueError):
        return None
    return worker["pid"], worker["process_started"]


def _stop(result: Path) -> None:
    worker = _worker(result)
    if worker and alive(*worker):
        with suppress(ProcessLookupError):
            os.kill(worker[0], signal.SIGKILL)


def _beside(result: Path, what: str) -> Path:
    return result.with_name(f"{result.stem}.{what}")


def _last_line(result: Path) -> str:
    try:
        lines = _beside(result, "log").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "its process was killed, which happens when memory runs out"
