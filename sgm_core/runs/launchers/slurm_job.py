"""What runs within a job of Slurm: the worker, and what to do when Slurm wants its place back.

The work is a process of its own, to which Slurm's signals are passed on as SIGTERM: it keeps its checkpoint
after its step, as on any machine. Then this process queues the job again, so that it goes on by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sgm_core.runs.launchers import slurm_queue
from sgm_core.runs.launchers.local import WORKER
from sgm_core.runs.launchers.torchrun import torchrun_arguments

if TYPE_CHECKING:
    from sgm_core.runs.run import Run


def work(run_id: str) -> None:
    """Carry out a run in this job."""
    _carry_out(run_id)


def gather(run_id: str) -> None:
    """Put a comparison's tables together in this job, after its tasks' jobs."""
    _carry_out(run_id, gathers=True)


def work_on_task(run_id: str, name: str) -> None:
    """Work out one task of a comparison in this job."""
    from sgm_core.runs.store import open_run

    run = open_run(run_id)
    if not _is_mine(run) or _was_stopped(run):
        return
    if _restarts():
        run.update(attempt=run.status.get("attempt", 0) + 1)
    code, asked = _call(("-P", "-m", "sgm_core.runs.array_task", run_id, name))
    if code and asked and not _was_stopped(run):
        _queue_again(run, asked)
    elif code and not _was_stopped(run):
        raise SystemExit(1)


def _carry_out(run_id: str, gathers: bool = False) -> None:
    from sgm_core.runs.store import open_run

    run = open_run(run_id)
    if not _is_mine(run) or run.state == "done":
        return
    if _was_stopped(run):
        if run.active:
            cancelled = run.cancel_asked() is not None
            run.finish(
                "cancelled" if cancelled else "paused", None if cancelled else f"paused; {run.when_resumed}"
            )
        return
    if _restarts() or not (gathers or run.state == "queued"):
        run.requeue(jobs=run.status["jobs"])
        run.message(f"Slurm started job {_job()} again")
    several = not gathers and int(run.status.get("processes") or 1) > 1
    code, asked = _call(torchrun_arguments(run) if several else ("-P", *WORKER, run.id))
    if asked and run.active and not _was_stopped(run):
        _queue_again(run, asked)
    elif code and not _was_stopped(run):
        raise SystemExit(1)


def _call(arguments: Sequence[str]) -> tuple[int, list[int]]:
    """Run Python with `arguments`; return its exit code and the signals that this job got meanwhile."""
    asked: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _: object) -> None:
        asked.append(number)
        if process is not None and len(asked) == 1:
            process.terminate()

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, pass_on)
    # Slurm signals this process, its group, or all of the job: the work is to hear SIGTERM and no other
    process = subprocess.Popen(
        [sys.executable, *arguments],
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
    )
    if asked:
        process.terminate()
    return process.wait(), asked


def _queue_again(run: Run, asked: Sequence[int]) -> None:
    """Let the run go on by itself where Slurm wanted its place, and no person ended it.

    Slurm's SIGUSR2 comes before the time limit, or before preemption; SIGTERM before preemption, and also
    where the job is cancelled or queued again by somebody else: that is in `slurm_queue.parts_of` soon.
    """
    job = _job()
    why = slurm_queue.why_ended(job)
    whole = run.kind != "compare" or "SLURM_ARRAY_JOB_ID" not in os.environ
    if not why and signal.SIGUSR2 not in asked:
        if whole:
            run.finish("paused", f"its job {job} was told to end (SIGTERM); {run.when_resumed}")
        return
    if whole:
        run.requeue(jobs=run.status["jobs"])
    if why == "ending":
        return
    run.message(f"Slurm wants the place of job {job}: it is queued again and goes on by itself")
    if (refused := slurm_queue.requeue(job)) is not None and whole:
        run.finish(
            "paused", f"Slurm ended its job and does not queue it again ({refused}); {run.when_resumed}"
        )


def _is_mine(run: Run) -> bool:
    """Say whether the run still waits for this job, and was not launched anew."""
    own = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ["SLURM_JOB_ID"]
    return run.status.get("launcher") == "slurm" and own in _jobs(run)


def _jobs(run: Run) -> list[str]:
    """Return the run's jobs; they are noted a moment after they were submitted."""
    deadline = time.monotonic() + 10
    while not (jobs := run.status.get("jobs") or []) and time.monotonic() < deadline:
        time.sleep(0.2)
    return jobs


def _was_stopped(run: Run) -> bool:
    from sgm_core.runs.run import PAUSE

    return run.cancel_asked() is not None or run.asked(PAUSE) is not None


def _restarts() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def _job() -> str:
    """Return the job's ID as Slurm's commands take it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
