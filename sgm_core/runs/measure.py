"""Measure a run before it starts, in a process of its own: waited for, or left alone to be asked later."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sgm_core
from sgm_core import home
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.estimate.fit import require_fit, warnings
from sgm_core.estimate.measured import kept, only_encodes, place, probed, worth_again
from sgm_core.estimate.run import Measured, estimate_run
from sgm_core.runs.launch import limit_threads
from sgm_core.runs.process import alive, identity
from sgm_core.training.config import Settings

_LONGEST_S = 1200


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
        If the run can't fit by what is counted (nothing is tried then), memory is short now, or its steps
        failed.
    """
    earlier = kept(config, dataset)
    if earlier is not None and not worth_again(earlier):
        return earlier
    _require_room(config, dataset)
    worker = _start(config, dataset)
    try:
        worker.wait(_LONGEST_S)
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"measuring took over {_LONGEST_S // 60} minutes and was stopped: --no-probe only counts"
        ) from error
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
    found = kept(config, dataset)
    if found is None:
        raise InputError(f"measuring failed: {_last_line(place(config, dataset))}")
    return found


def begin(config: Settings, dataset: Dataset) -> None:
    """Start measuring in a detached process, unless it runs, or is done and need not be done again.

    Raises
    ------
    InputError
        If the run can't fit by what is counted, or memory is short now.
    """
    earlier = kept(config, dataset)
    if measuring(config, dataset).state == "running" or (earlier and not worth_again(earlier)):
        return
    _require_room(config, dataset)
    worker = _start(config, dataset)
    # While this process lives it must reap the worker, or an ended one stays as a zombie.
    threading.Thread(target=worker.wait, daemon=True).start()


def measuring(config: Settings, dataset: Dataset) -> Measuring:
    """Say how far measuring is."""
    result = place(config, dataset)
    try:
        worker = home.read_json(_beside(result, "worker.json"))
    except (OSError, ValueError):
        worker = None
    if worker and alive(worker["pid"], worker["process_started"]):
        return Measuring("running")
    if kept(config, dataset) is not None:
        return Measuring("done")
    return Measuring("failed", _last_line(result)) if worker else Measuring("none")


def _require_room(config: Settings, dataset: Dataset) -> None:
    """Refuse steps that could end what runs beside them, for they wait in no queue."""
    guess = require_fit(config, dataset)
    if isinstance(config, CompareConfig):
        guess = estimate_run(probed(config), dataset)  # it is measured in one process
    for warning in warnings(guess):
        raise InputError(f"measuring has to wait (--no-probe only counts): {warning}")


def _start(config: Settings, dataset: Dataset) -> subprocess.Popen[bytes]:
    result = place(config, dataset)
    request = _beside(result, "request.json")
    told: dict[str, Any] = {
        "config": {**probed(config).to_dict(), "data": dataset.name},
        "encodes": only_encodes(config),
        "result": str(result),
    }
    home.write_json(request, told)
    environment = dict(os.environ)
    limit_threads(environment)
    environment["SGM_HOME"] = str(home.home())
    environment.setdefault("PYTHONWARNINGS", "ignore")
    package_root = str(Path(sgm_core.__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, environment.get("PYTHONPATH")]))
    with _beside(result, "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "sgm_core.estimate.measure", str(request)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    home.write_json(_beside(result, "worker.json"), identity(worker.pid))
    return worker


def _beside(result: Path, what: str) -> Path:
    return result.with_name(f"{result.stem}.{what}")


def _last_line(result: Path) -> str:
    try:
        lines = _beside(result, "log").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "its process was killed, which happens when memory runs out"
