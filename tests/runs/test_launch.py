"""Queue and workers, with real imports in real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sgm_core import home
from sgm_core.cells.dataset import open_dataset
from sgm_core.errors import Cancelled, InputError
from sgm_core.progress import Observer
from sgm_core.runs.launch import enqueue, launch, limit_threads, turn
from sgm_core.runs.process import identity
from sgm_core.runs.run import Run
from sgm_core.runs.store import cancel_run, create_run, open_run
from sgm_core.runs.worker import run_in_foreground


@pytest.fixture(scope="session")
def cells_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that a process imports without loading anndata first."""
    genes = [f"GENE{i}" for i in range(210)]
    lines = [["cell", "donor", "kind", *genes]]
    for cell in range(60):
        counts = (1 + cell * gene % 7 for gene in range(len(genes)))
        lines.append([f"c{cell}", f"D{cell % 3}", "AB"[cell % 2], *map(str, counts)])
    path = tmp_path_factory.mktemp("import") / "cells.csv"
    path.write_text("\n".join(",".join(line) for line in lines))
    return path


@pytest.fixture
def new_import(cells_file: Path) -> Callable[[str], Run]:
    roles = {"donor": "donor", "cell_type": "kind"}

    def make(name: str, **changes: str) -> Run:
        return create_run("import", name, {"path": str(cells_file), "name": name, **roles, **changes})

    return make


def wait_for(run: Run, *states: str, seconds: float = 60.0) -> str:
    deadline = time.monotonic() + seconds
    while (state := run.state) not in states:
        assert time.monotonic() < deadline, f"{run.id} is {state}, not {states}:\n{run.log_tail()}"
        time.sleep(0.05)
    return state


def wait_for_log(run: Run, text: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while text not in run.log_tail():
        assert time.monotonic() < deadline, f"{text!r} is not in the log of {run.id}:\n{run.log_tail()}"
        time.sleep(0.05)


def test_a_launched_run_is_done_by_another_process(new_import, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    run = new_import("aml")
    launch(run)
    assert run.status["pid"] not in (None, os.getpid())
    assert os.getsid(run.status["pid"]) == run.status["pid"], "a session of its own: it outlives this process"
    assert wait_for(run, "done", "failed", "lost") == "done", run.log_tail()
    assert open_dataset("aml").n_cells > 0
    status = run.status
    assert status["device"] == "cpu"
    assert status["queued"] <= status["started"] <= status["finished"]
    assert run.log_tail(1).endswith("done")
    launch(run)
    assert run.state == "done", "what is done is not done again"


def test_a_wrong_column_fails_with_one_line(new_import) -> None:
    run = new_import("aml", donor="nobody")
    launch(run)
    assert wait_for(run, "done", "failed", "lost") == "failed"
    assert "nobody" in run.status["error"]
    assert "\n" not in run.status["error"]
    assert "Traceback" not in run.log_tail(), "a person's mistake needs no traceback"


def test_an_internal_error_keeps_its_traceback_in_the_log(new_import) -> None:
    run = new_import("aml", colour="blue")
    launch(run)
    assert wait_for(run, "done", "failed", "lost") == "failed"
    assert run.status["error"].startswith("TypeError: ")
    assert "Traceback" in run.log_tail()


def test_first_come_first_served(new_import) -> None:
    first, second, third = new_import("a"), new_import("b"), new_import("c")
    enqueue(first)
    first.update(**identity())
    with turn(first, Observer()):
        first.begin()
        launch(second)
        launch(third)
        wait_for_log(second, f"waiting for run {first.id}")
        wait_for_log(third, "waiting for run")
        assert (second.state, third.state) == ("queued", "queued"), "one at a time"
        first.finish("done")
    wait_for(third, "done")
    assert second.status["finished"] <= third.status["started"]


def test_a_dead_run_does_not_block_the_queue(new_import) -> None:
    dead, second = new_import("a"), new_import("b")
    enqueue(dead)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    dead.update(state="running", **identity(process.pid))
    launch(second)
    wait_for_log(second, f"waiting for run {dead.id}")
    assert second.state == "queued"
    process.kill()
    process.wait()
    wait_for(second, "done")
    assert dead.state == "lost"


def test_a_worker_killed_while_it_waits_is_lost_and_can_be_launched_again(new_import) -> None:
    first, second = new_import("a"), new_import("b")
    enqueue(first)
    first.update(**identity())
    with turn(first, Observer()):
        first.begin()
        launch(second)
        os.kill(second.status["pid"], signal.SIGKILL)
        wait_for(second, "lost")
        launch(second)
        assert second.state == "queued"
        first.finish("done")
    wait_for(second, "done")


def test_a_queued_run_is_cancelled_at_once_and_can_be_launched_again(new_import) -> None:
    first, second = new_import("a"), new_import("b")
    enqueue(first)
    first.update(**identity())
    with turn(first, Observer()):
        first.begin()
        launch(second)
        wait_for_log(second, "waiting for run")
        assert cancel_run(second.id).state == "cancelled"
        launch(second)
        assert second.state == "queued"
        assert second.cancel_asked() is None
        first.finish("done")
    wait_for(second, "done")


def test_preparing_data_does_not_wait_for_training(new_import, demo_dataset) -> None:
    training = create_run("pretrain", "small", {"data": "small"})
    enqueue(training)
    training.update(**identity())
    with turn(training, Observer()):
        training.begin()
        run = new_import("a")
        launch(run)
        wait_for(run, "done")
        training.finish("done")


def test_a_launched_run_is_not_launched_twice(new_import) -> None:
    first, second = new_import("a"), new_import("b")
    enqueue(first)
    first.update(**identity())
    with turn(first, Observer()):
        first.begin()
        launch(second)
        pid = second.status["pid"]
        launch(open_run(second.id))
        assert second.status["pid"] == pid
        with pytest.raises(InputError, match="queued already"):
            run_in_foreground(second, Observer())
        first.finish("done")
    wait_for(second, "done")


def test_four_who_launch_at_once_start_one_worker(new_import) -> None:
    run = new_import("aml")
    with ThreadPoolExecutor(4) as dashboards:
        list(dashboards.map(lambda _: launch(open_run(run.id)), range(4)))
    assert wait_for(run, "done", "failed", "lost") == "done", run.log_tail()
    assert run.log_tail().count("started on") == 1 and run.status["attempt"] == 1


class Listener(Observer):
    def __init__(self, stop: type[BaseException] | None = None) -> None:
        self.heard: list[str] = []
        self.stop = stop

    def message(self, text: str) -> None:
        self.heard.append(text)
        if self.stop:
            raise self.stop


def test_the_foreground_records_and_echoes(new_import) -> None:
    run, listener = new_import("aml"), Listener()
    assert run_in_foreground(run, listener) is run
    assert run.state == "done"
    assert listener.heard
    assert listener.heard[0] in run.log_tail()
    run_in_foreground(run, listener)
    assert "done already" in listener.heard[-1]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Cancelled])
def test_ctrl_c_in_the_foreground_cancels(new_import, stop: type[BaseException]) -> None:
    run = new_import("aml")
    with pytest.raises(stop):
        run_in_foreground(run, Listener(stop))
    assert run.state == "cancelled"


def test_a_bad_file_in_the_foreground_raises_its_reason(new_import) -> None:
    run = new_import("aml", donor="nobody")
    with pytest.raises(InputError, match="nobody"):
        run_in_foreground(run, Observer())
    assert run.state == "failed"


STUBBORN = """
import sys, time
from sgm_core.runs import worker
worker.CANCEL_GRACE_S = 1.0
def execute(run, observer):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            if sys.argv[2] == "polite":
                raise
worker.execute = execute
sys.exit(worker.main([sys.argv[1]]))
"""


@pytest.mark.parametrize("manner", ["polite", "deaf"])
def test_work_that_never_checks_is_interrupted_in_the_end(new_import, manner: str) -> None:
    run = new_import("aml")
    enqueue(run)
    process = subprocess.Popen([sys.executable, "-c", STUBBORN, run.id, manner])
    run.update(**identity(process.pid))
    wait_for(run, "running")
    cancel_run(run.id)
    wait_for(run, "cancelled")
    assert process.wait(timeout=60) == 1
    assert run.state == "cancelled"


SLEEPER = """
import sys, time
from sgm_core.runs import worker
worker._STOP_GRACE_S = 0.3
def execute(run, observer):
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass
worker.execute = execute
if sys.argv[2] == "foreground":
    from sgm_core.progress import Observer
    from sgm_core.runs.store import open_run
    worker.run_in_foreground(open_run(sys.argv[1]), Observer())
sys.exit(worker.main([sys.argv[1]]))
"""


@pytest.mark.parametrize("where", ["worker", "foreground"])
def test_a_stop_by_the_system_is_not_the_users_cancel(new_import, where: str) -> None:
    # Seen: a shutdown's SIGTERM was recorded as 'cancelled'. The work here also swallows every Exception.
    run = new_import("aml")
    if where == "worker":
        enqueue(run)
    process = subprocess.Popen([sys.executable, "-c", SLEEPER, run.id, where], stderr=subprocess.DEVNULL)
    if where == "worker":
        run.update(**identity(process.pid))
    wait_for(run, "running")
    process.terminate()
    process.wait(timeout=60)
    assert run.state == "paused"
    assert "the system stopped its process (SIGTERM)" in run.status["error"]
    assert "resuming starts over" in run.status["error"]
    launch(run)
    assert wait_for(run, "done", "failed", "lost") == "done", "it can be resumed"


def test_a_swallowing_except_cannot_swallow_a_cancel(new_import, monkeypatch) -> None:
    def execute(run: Run, observer: Observer | None) -> None:
        run.ask_cancel()
        for _ in range(3):
            with suppress(Exception):
                run.check()
        pytest.fail("the wish to cancel was swallowed")

    monkeypatch.setattr("sgm_core.runs.worker.execute", execute)
    run = new_import("aml")
    with pytest.raises(Cancelled):
        run_in_foreground(run, Observer())
    assert run.state == "cancelled"


LAUNCHER = """
import os, sys
from sgm_core.runs.launch import launch
from sgm_core.runs.store import open_run
launch(open_run(sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], sys.argv[1]])
"""
BECOMES = """
import sys, time, psutil
from sgm_core.runs.store import open_run
run = open_run(sys.argv[1])
while run.active:
    time.sleep(0.05)
time.sleep(0.5)
print(run.state, [child.status() for child in psutil.Process().children()])
"""


def test_a_dead_worker_is_nobodys_zombie(new_import) -> None:
    # Seen: `sgm app` starts the demo's worker and becomes the dashboard, which never waits for it.
    run = new_import("aml")
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, run.id, BECOMES], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "done []\n", done.stderr


def overtaken(first: Run, second: Run) -> None:
    """Give `first` the number of one who came earlier, written down only now."""
    [own] = (home.folder("runs") / ".queues").glob(f"*/*~{second.id}")
    [late] = own.parent.glob(f"*~{first.id}")
    priority, number = own.name.split("~")[0].split("-")
    late.rename(own.with_name(f"{priority}-{int(number) - 1:020d}~{first.id}"))


def test_two_runs_cannot_pass_one_queue(new_import) -> None:
    # Constructed: the second has looked and sees nobody before it; then the first's earlier number appears,
    # before the second calls itself running.
    first, second = new_import("a"), new_import("b")
    for run in (first, second):
        enqueue(run)
        run.update(**identity())
    passed, listener = threading.Event(), Listener()

    def go() -> None:
        with turn(first, listener):
            passed.set()

    early = threading.Thread(target=go)
    [ticket] = (home.folder("runs") / ".queues").glob(f"*/*~{first.id}")
    ticket.rename(ticket.with_name(f"{ticket.name.split('-')[0]}-{10**19}~{first.id}"))
    with turn(second, Observer()):
        overtaken(first, second)
        early.start()
        assert not passed.wait(1.0), "both have the device"
        assert listener.heard == ["waiting for another run on preparation"]
    assert passed.wait(60)
    early.join()


HOLDER = """
import sys
from sgm_core.progress import Observer
from sgm_core.runs.launch import enqueue, turn
from sgm_core.runs.process import identity
from sgm_core.runs.store import open_run
run = open_run(sys.argv[1])
enqueue(run)
run.update(**identity())
with turn(run, Observer()):
    print("in", flush=True)
    input()
"""


def test_a_dead_holder_of_the_device_blocks_nobody(new_import) -> None:
    first, second = new_import("a"), new_import("b")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, first.id], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"in\n"
    enqueue(second)
    second.update(**identity())
    passed = threading.Event()

    def go() -> None:
        with turn(second, Observer()):
            passed.set()

    waiting = threading.Thread(target=go)
    waiting.start()
    assert not passed.wait(0.7)
    holder.kill()
    holder.communicate()
    assert passed.wait(60)
    waiting.join()
    assert first.state == "lost"


WITH_A_HELPER = """
import subprocess, sys, time
from sgm_core.runs import worker
def execute(run, observer):
    helper = subprocess.Popen(["sleep", "300"])
    observer.progress(1, 1, str(helper.pid))
    time.sleep(300)
worker.execute = execute
sys.exit(worker.main([sys.argv[1]]))
"""


@pytest.mark.parametrize("end", ["killed", "cancelled"])
def test_helpers_of_a_worker_end_with_it(new_import, end: str) -> None:
    # Found on the demo: after kill -9 the comparison's processes went on computing for nobody.
    run = new_import("aml")
    enqueue(run)
    process = subprocess.Popen([sys.executable, "-c", WITH_A_HELPER, run.id], start_new_session=True)
    run.update(**identity(process.pid))
    deadline = time.monotonic() + 60
    while not run.status["progress"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    helper = psutil.Process(int(run.status["progress"]["what"]))
    if end == "killed":
        process.kill()
        wait_for(run, "lost")
    else:
        run.ask_cancel()
        process.terminate()
        wait_for(run, "cancelled")
        process.wait(timeout=60)
    _, alive = psutil.wait_procs([helper], timeout=60)
    assert not alive or helper.status() == psutil.STATUS_ZOMBIE
    process.wait(timeout=60)


def test_thread_limit_reaches_every_library() -> None:
    environment = {"SGM_THREADS": "1"}
    limit_threads(environment)
    assert environment["OMP_NUM_THREADS"] == environment["NUMBA_NUM_THREADS"] == "1"
    nothing: dict[str, str] = {}
    limit_threads(nothing)
    assert nothing == {}
