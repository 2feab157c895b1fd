"""Tell how a run goes that another process carries out."""

from __future__ import annotations

import time

from sgm_core.errors import Cancelled, SGMError
from sgm_core.progress import Observer
from sgm_core.runs.run import Run
from sgm_core.runs.states import ACTIVE
from sgm_core.runs.store import cancel_run

_POLL_S = 0.3


def follow(run: Run, echo: Observer) -> Run:
    """Tell `echo` the messages and the progress of `run` until it has ended; an interruption cancels it.

    Raises
    ------
    SGMError
        If it ended before it was done, with the reason.
    Cancelled
        If a person cancelled it.
    """
    log = run.path / "log.txt"
    read = log.stat().st_size if log.exists() and run.status.get("attempt", 0) > 1 else 0
    while True:
        status = run.status
        text = log.read_bytes()[read:] if log.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            echo.message(line.partition(" ")[2] or line)
        if (progress := status.get("progress")) and status["state"] == "running":
            echo.progress(progress["done"], progress["total"], progress["what"])
        if status["state"] not in ACTIVE:
            break
        try:
            time.sleep(_POLL_S)
        except KeyboardInterrupt:
            echo.message("cancelling: it stops after its step")
            cancel_run(run.id)
    if status["state"] == "cancelled":
        raise Cancelled(f"run {run.id} was cancelled")
    if status["state"] != "done":
        raise SGMError(f"run {run.id} is {status['state']}: {status.get('error') or 'the log may say why'}")
    return run
