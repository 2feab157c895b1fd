"""Say what it means when a process of a comparison was killed."""

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.tasks import Task, TaskObserver, run_task, start_worker
from sgm_core.errors import InputError, Stopped

_ENDING_S = 5.0
_pids: Any = None  # a shared array in the worker processes: who works on every task


def start_noting(pids: Any, progress: Any, workers: int, cards: Sequence[str] = ()) -> None:
    """Prepare a process for tasks (see `start_worker`), and for `run_noted`.

    Parameters
    ----------
    pids, progress : shared arrays, with a place for each task
    workers : how many processes there are
    cards : graphics cards; each process sees one, before anything here has asked for any
    """
    global _pids
    _pids = pids
    if cards:
        # a pool's processes have numbers that follow each other, and none comes in place of a dead one
        number = int(multiprocessing.current_process().name.rpartition("-")[2])
        os.environ["CUDA_VISIBLE_DEVICES"] = cards[(number - 1) % len(cards)]
    start_worker(progress, workers)


def run_noted(config: CompareConfig, task: Task, folder: Path, code: str, observer: TaskObserver) -> None:
    """Work out one task, and note before that this process does so."""
    _pids[observer.slot] = os.getpid()
    run_task(config, task, folder, code, observer)
    _pids[observer.slot] = 0


def why_broken(
    processes: Sequence[BaseProcess], pids: Sequence[int], tasks: Sequence[Task]
) -> InputError | Stopped:
    """Return what to raise in place of `BrokenProcessPool`.

    Parameters
    ----------
    processes : the pool's; those that were well are ended with SIGTERM by the pool itself
    pids : who works on each of the `tasks`, 0 for nobody
    """
    deadline = time.monotonic() + _ENDING_S
    while any(process.exitcode is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    # the pool ends the others with SIGTERM, so that only another way to end tells which was first
    ended = (None, 0, -signal.SIGTERM, 128 + signal.SIGTERM)
    first = [process for process in processes if process.exitcode not in ended]
    if not first:
        return Stopped("the system stopped a process of it (SIGTERM), as a shutdown does")
    names = [
        task.name for task, pid in zip(tasks, pids, strict=True) if pid in {process.pid for process in first}
    ]
    what = f"the process that worked on {' and '.join(names)}" if names else "a process that was starting"
    code = first[0].exitcode or 0
    if code == -signal.SIGKILL:
        return InputError(
            f"{what} was killed (SIGKILL), which the system does when memory runs out. Finished tasks and "
            "checkpoints are kept: end other programs and resume the run, or start one with a smaller "
            "batch_size or on fewer cores (each works on a task of its own: `taskset -c 0 sgm ...`)"
        )
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return InputError(
        f"{what} ended {how}: the end of the log may say why. Finished tasks are kept: resume the run"
    )
