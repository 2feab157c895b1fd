"""Carry out a run: ``python -m sgm_core.runs.worker ID``, or in the foreground for the command line."""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import psutil

from sgm_core.access import acts, part_of_an_action
from sgm_core.errors import Cancelled, InputError, Paused, SGMError, Stopped, TrainingError
from sgm_core.progress import Observer
from sgm_core.roots import check_unmoved
from sgm_core.runs.ends import reason
from sgm_core.runs.launch import enqueue, is_started, turn
from sgm_core.runs.process import end_helpers, identity
from sgm_core.runs.provenance import code_version
from sgm_core.runs.ranks import Ranks, launched
from sgm_core.runs.run import STOP, TRAININGS, Run
from sgm_core.runs.store import CANCEL_GRACE_S, FROM_FILES, open_run
from sgm_core.runs.sweep import sweep
from sgm_core.runs.tell import tell_of_end, told
from sgm_core.saved import FOLDER as STATE

if TYPE_CHECKING:
    import pandas as pd

_STOP_GRACE_S = 8.0  # for a step; Docker kills after 10 s, Slurm after 30 s, systemd after 90 s
_TWICE_S = 2.0  # one stop is told twice by Slurm, or torchrun: to all processes, and by who started them
_SET_UP_GRACE_S = 1.0
_NICE = 10  # the dashboard answers at once while a run computes


class Both(Observer):
    """Tells two observers; the first one decides about cancelling."""

    def __init__(self, first: Observer, second: Observer) -> None:
        self._first, self._second = first, second

    def message(self, text: str) -> None:
        """Tell both."""
        self._first.message(text)
        self._second.message(text)

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Tell both."""
        self._first.progress(done, total, what)
        self._second.progress(done, total, what)

    def metric(self, **values: Any) -> None:
        """Tell both."""
        self._first.metric(**values)
        self._second.metric(**values)

    def pulse(self, **values: Any) -> None:
        """Tell both."""
        self._first.pulse(**values)
        self._second.pulse(**values)

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Tell both."""
        self._first.table(name, frame)
        self._second.table(name, frame)

    def check(self) -> None:
        """Ask the first."""
        self._first.check()


def execute(run: Run, observer: Observer | None = None) -> None:
    """Do the run's work, in this process and without touching its state; `observer` is the run by default."""
    watcher = observer or run
    run.check_dataset()  # another file may have got the name since the run was asked for
    run.check_corpus()
    for key in ("path", "cells", "genes", "aliases"):
        if run.kind in FROM_FILES and str(run.parameters.get(key) or "").startswith("/"):
            check_unmoved(run.parameters[key])
    if run.kind in (*TRAININGS, "model"):
        from sgm_core.training.memory import keep_freed_memory

        keep_freed_memory()
    if run.kind == "pretrain":
        from sgm_core.training.config import PretrainConfig
        from sgm_core.training.pretrain import pretrain_run

        pretrain_run(PretrainConfig.from_dict(run.parameters), run.path, watcher)
    elif run.kind == "finetune":
        from sgm_core.training.config import FinetuneConfig
        from sgm_core.training.finetune import finetune_run

        finetune_run(FinetuneConfig.from_dict(run.parameters), run.path, watcher)
    elif run.kind == "compare":
        from sgm_core.comparison.config import CompareConfig
        from sgm_core.comparison.protocol import compare_run, gather_run

        config, status = CompareConfig.from_dict(run.parameters), run.status
        if status.get("launcher") == "slurm":  # its tasks were jobs of their own
            gather_run(config, run.path, watcher)
        else:
            compare_run(config, run.path, watcher, status.get("processes"))
    elif run.kind == "sweep":
        from sgm_core.sweeps.config import SweepConfig
        from sgm_core.sweeps.search import sweep_run

        sweep_run(SweepConfig.from_dict(run.parameters), run.path, watcher)
    elif run.kind == "umap":
        from sgm_core.analysis.embedding import umap_run

        if run.parameters.get("run"):
            open_run(run.parameters["run"]).check_dataset()
        umap_run(run.parameters, run.path, watcher)
    elif run.kind == "export":
        from sgm_core.cells.export import export_run

        export_run(run.parameters, run.path, watcher)
    elif run.kind == "differential":
        from sgm_core.analysis.differential import differential_run

        differential_run(run.parameters, run.path, watcher)
    elif run.kind == "prerank":
        from sgm_core.analysis.prerank import prerank_run

        prerank_run(run.parameters, run.path, watcher)
    elif run.kind == "model":
        from sgm_core.annotation.fit import fit_model

        fit_model(**run.parameters, observer=watcher)
    elif run.kind == "annotate" and run.parameters.get("file"):
        from sgm_core.annotation.corrected import corrected_run

        corrected_run(run.parameters, run.path, watcher)
    elif run.kind == "annotate":
        from sgm_core.annotation.kept import annotate_run

        annotate_run(run.parameters, run.path, watcher)
    else:
        from sgm_core.cells.build import import_dataset

        import_dataset(**run.parameters, observer=watcher)


def carry_out(run: Run, observer: Observer, ranks: Ranks | None = None) -> None:
    """Wait for the run's turn, do its work and record how it ended; what went wrong is raised again.

    Parameters
    ----------
    run : the run
    observer : is told how it goes
    ranks : the processes that train together, of which this is the first; None = this one alone

    Raises
    ------
    InputError
        If another process works on it; nothing is recorded then.
    """
    with run.held(), told(run):
        try:
            with turn(run, observer):
                run.begin()
                run.message(f"started on {run.status['device']} with sgm-core {code_version()}")
                with ranks.joined(run) if ranks else nullcontext():
                    execute(run, observer)
        except (Cancelled, KeyboardInterrupt) as stop:
            _stopped(run, stop)
            raise
        except SGMError as error:
            run.message(f"failed: {error}")
            run.finish("failed", str(error))
            raise
        except Exception as error:
            run.message(traceback.format_exc())
            why = reason(error)
            run.finish("failed", f"{why}; {run.when_resumed}" if isinstance(error, OSError) else why)
            raise
        run.message("done")
        run.finish("done")
        shutil.rmtree(run.path / STATE, ignore_errors=True)  # the checkpoints of the way


def _stopped(run: Run, stop: BaseException) -> None:
    """Record that a person or the system ended the work."""
    if run.cancel_asked() is not None or not isinstance(stop, Paused | Stopped):
        run.message("cancelled")
        run.finish("cancelled")
        return
    why = f"{'paused' if isinstance(stop, Paused) else stop}; {run.when_resumed}"
    run.message(why)
    if isinstance(stop, Paused) or run.status.get("launcher") != "slurm":
        run.finish("paused", why)
    # else its job knows whether it is queued again


@acts("launch")
def run_in_foreground(run: Run, echo: Observer, processes: int | None = None) -> Run:
    """Carry out `run` in this process, telling `echo` as well; a finished run is returned as it is.

    A comparison's tasks are shared between `processes` of its own, as many as pay here by default.

    Raises
    ------
    InputError
        If another process works on it already.
    SGMError
        What its work raised.
    """
    with run.locked("launch"):
        status = run.status
        if status["state"] == "done":
            echo.message(f"run {run.id} is done already: its results are used")
            return run
        if is_started(status):
            raise InputError(
                f"run {run.id} is {status['state']} already: "
                f"`sgm runs show {run.id}` follows it, `sgm runs cancel {run.id}` stops it"
            )
        enqueue(run, "local", processes)
        run.update(**identity())
    with _terminable(run):
        carry_out(run, Both(run, echo))
    return run


def main(argv: list[str]) -> int:
    """Carry out the run named on the command line, or its part of it; returns the exit code."""
    run = open_run(argv[0])
    faulthandler.enable()
    if run.status.get("launcher") != "slurm":  # there nobody waits for this machine
        os.nice(_NICE)
    ranks = Ranks() if launched()[1] > 1 else None
    if ranks and ranks.rank:
        return _follow(run, ranks)
    with suppress(OSError):  # what can't be cleaned up must not keep a run from its work
        sweep()
    threading.Thread(target=_insist_on_cancelling, args=(run,), daemon=True).start()
    try:
        with part_of_an_action(), _terminable(run):  # whoever launched it is on record
            carry_out(run, run, ranks)
    except (Exception, Cancelled):
        return 1
    finally:
        if ranks:
            ranks.end()
        end_helpers(*_self())
    return 0


def _follow(run: Run, ranks: Ranks) -> int:
    """Do this process's part of a training that the first process carries out; it writes nothing."""
    why = ""
    try:
        with part_of_an_action(), _terminable(run):
            if ranks.begun():
                with ranks.joined(run):
                    execute(run, Observer())
    except (Cancelled, TrainingError):
        pass  # the first process knows
    except Exception as error:
        why = reason(error)
        if not isinstance(error, SGMError):
            run.message(f"process {ranks.rank + 1} of {ranks.size}: {traceback.format_exc()}")
    finally:
        ranks.end(why)
        end_helpers(*_self())
    return 1 if why else 0


@contextmanager
def _terminable(run: Run) -> Iterator[None]:
    """Let SIGTERM end the work in good order: after its step, or where that takes long, in the middle of it.

    It is the system's unless the user asked to cancel.
    """

    def stop(number: int, _: object) -> None:
        if run.cancel_asked() is not None:
            raise Cancelled(f"run {run.id} was cancelled")
        said = run.asked(STOP)
        if number == signal.SIGTERM and (said is None or said < _TWICE_S):
            with suppress(OSError):
                run.ask(STOP)  # the work, in all its processes, sees it as its step is done
                signal.setitimer(signal.ITIMER_REAL, _STOP_GRACE_S)
                return
        raise Stopped("the system stopped its process (SIGTERM), as a shutdown does")

    if threading.current_thread() is not threading.main_thread():  # Python sets no handler there
        yield
        return
    before = [(number, signal.signal(number, stop)) for number in (signal.SIGTERM, signal.SIGALRM)]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)


def _insist_on_cancelling(run: Run) -> None:
    """Interrupt work that does not look at the cancel marker; end the process if even that does not help.

    A step may take its time, for its checkpoint is kept; before there is any progress nothing is to be kept.
    """
    while (asked := run.cancel_asked()) is None or asked < _grace(run):
        time.sleep(0.5)
    run.message("the work did not stop by itself: interrupting it")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(CANCEL_GRACE_S)
    run.finish("cancelled")
    tell_of_end(run)
    end_helpers(*_self())
    os._exit(1)


def _grace(run: Run) -> float:
    return CANCEL_GRACE_S if run.status.get("progress") else _SET_UP_GRACE_S


def _self() -> tuple[int, float]:
    return os.getpid(), psutil.Process().create_time()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
