"""What a run says when the system killed a process of it, or memory ran out."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError, Stopped
from sgm_core.progress import Observer
from sgm_core.runs.store import create_run
from sgm_core.runs.worker import run_in_foreground


class Fatal(Observer):
    """Ends the process that works on a task at its first metric, as the system would."""

    def __init__(self, number: int) -> None:
        self.parent, self.number = os.getpid(), number

    def metric(self, **values: object) -> None:
        if os.getpid() != self.parent:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("number", "raised", "state", "words"),
    [
        (signal.SIGKILL, InputError, "failed", r"baselines\.fold\d.* was killed \(SIGKILL\).*memory"),
        (signal.SIGSEGV, InputError, "failed", r"baselines\.fold\d.* ended by SIGSEGV"),
        (signal.SIGTERM, Stopped, "paused", "the system stopped a process of it"),
    ],
)
def test_a_killed_process_of_a_comparison_is_named(
    few_cells, monkeypatch, number, raised, state, words
) -> None:
    # Seen: out of memory read 'BrokenProcessPool: A process in the process pool was terminated abruptly'.
    if number != signal.SIGKILL:  # which of several was killed is told for one signal
        monkeypatch.setattr("sgm_core.comparison.arms.usable_cores", lambda: 1)
    config = CompareConfig(data="few", folds=2, arms=("uniform",), device="cpu", umap=False)
    run = create_run("compare", "few", config.to_dict())
    with pytest.raises(raised, match=words):
        run_in_foreground(run, Fatal(number))
    assert run.state == state
    assert "BrokenProcessPool" not in run.status["error"]
    assert ("resume the run" if state == "failed" else "resuming goes on") in run.status["error"]


PARENT = """
import multiprocessing, sys, time
from pathlib import Path
from sgm_core.comparison.tasks import TaskObserver, start_worker
from sgm_core.progress import Observer
def work(folder):
    start_worker(None, 1)
    (folder / "working").touch()
    while True:
        TaskObserver(Observer(), 0).check()
        (folder / "beat").touch()
        time.sleep(0.05)
if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work, args=(Path(sys.argv[1]),)).start()
    time.sleep(600)
"""


def test_a_worker_whose_comparison_was_killed_writes_nothing_more(tmp_path) -> None:
    # Constructed: in the foreground its session is the terminal's, so that nobody ends it on resuming.
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script, tmp_path])
    while not (tmp_path / "beat").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    [child] = [
        one for one in psutil.Process(parent.pid).children() if "resource_tracker" not in str(one.cmdline())
    ]
    parent.kill()
    parent.wait()
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("name", ["MemoryError", "OutOfMemoryError"])
def test_memory_that_runs_out_is_said_in_words(demo_dataset, monkeypatch, name: str) -> None:
    error = MemoryError if name == "MemoryError" else type(name, (RuntimeError,), {})

    def execute(*_: object) -> None:
        raise error("tried to allocate 3 GiB")

    monkeypatch.setattr("sgm_core.runs.worker.execute", execute)
    run = create_run("pretrain", "small", {"data": "small"})
    with pytest.raises(error):
        run_in_foreground(run, Observer())
    assert run.state == "failed"
    assert run.status["error"].startswith(f"memory ran out ({name}: tried to allocate 3 GiB): take a smaller")
