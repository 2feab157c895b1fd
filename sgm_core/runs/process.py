"""The identity of a process: its pid and when it started, so that a reused pid is not mistaken for it."""

from __future__ import annotations

import os

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
