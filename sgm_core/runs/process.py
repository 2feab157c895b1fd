"""Processes: known by pid and start time, so that a reused pid is not mistaken for the one that was meant."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import psutil

# The start time is the boot time plus ticks; the boot time may move by a second when the clock is set.
_TOLERANCE_S = 2.0


def identity(pid: int | None = None) -> dict[str, float | int | None]:
    """Return ``{"pid", "process_started"}`` of a process, by default this one; no start if it is gone."""
    pid = os.getpid() if pid is None else pid
    try:
        return {"pid": pid, "process_started": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"pid": pid, "process_started": None}


def alive(pid: int | None, started: float | None) -> bool:
    """Say whether the process with this pid and start time still runs (a zombie does not)."""
    if pid is None or started is None:
        return False
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - started) < _TOLERANCE_S and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def memory_taken(helpers: bool = False) -> int:
    """Return the bytes of memory that this process has for itself, without files that it has mapped.

    What libraries and memory-mapped counts take is shared with others, or given back when it is wanted.

    Parameters
    ----------
    helpers
        Add what the processes take that it started.
    """
    this = psutil.Process()
    total = 0
    for process in [this, *(this.children(recursive=True) if helpers else ())]:
        with suppress(psutil.Error):
            used = process.memory_info()
            total += used.rss - getattr(used, "shared", 0)  # Linux alone tells what is shared
    return total


def gpu_memory_taken() -> int | None:
    """Return the bytes that torch holds of the GPUs in this process, None where it uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return sum(torch.cuda.memory_reserved(number) for number in range(torch.cuda.device_count()))


def end_helpers(pid: int, started: float) -> None:
    """Kill the processes that a worker (a session's leader) started, dead or alive itself.

    A worker that was killed can't do it, and its helpers would go on computing for nobody.
    """
    try:
        if abs(psutil.Process(pid).create_time() - started) >= _TOLERANCE_S:
            return  # the pid, and so the session, is somebody else's by now
    except psutil.NoSuchProcess:
        pass
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if process.pid not in (pid, os.getpid()) and os.getsid(process.pid) == pid:
                process.kill()
