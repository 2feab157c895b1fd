"""However a run ends, it is in a named state with a reason, and resuming works."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sgm_core import home
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer
from sgm_core.runs import ends
from sgm_core.runs.attempts import standing
from sgm_core.runs.launch import launch
from sgm_core.runs.process import identity
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run, list_runs, open_run
from sgm_core.runs.worker import run_in_foreground
from sgm_core.training.config import PretrainConfig

TINY = {"n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "epochs": 2, "batch_size": 16}
QUICK = {"data": "few", "device": "cpu", "fold": 0, "n_folds": 3, "checkpoint_minutes": 0.0, **TINY}


@pytest.fixture
def training(few_cells) -> Run:
    return create_run("pretrain", "few", PretrainConfig(**QUICK).to_dict())


def test_a_full_disk_at_the_metrics_is_named_and_resumed(training: Run) -> None:
    (training.path / "metrics.jsonl").symlink_to("/dev/full")  # every write: no space left on device
    with pytest.raises(OSError):
        run_in_foreground(training, Observer())
    assert training.state == "failed"
    assert training.status["error"].startswith("the disk is full")
    assert "resuming goes on from its checkpoint: 0 of 2 epochs done, and step" in training.status["error"]
    (training.path / "metrics.jsonl").unlink()
    run_in_foreground(training, Observer())
    assert training.state == "done"
    assert training.metrics()["epoch"].tolist() == [1, 2]


@pytest.mark.parametrize("table", ["masks", "checkpoint"])
def test_a_full_disk_at_the_results_costs_no_training(training: Run, monkeypatch, table: str) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", table)
    with monkeypatch.context() as patch:
        if table == "masks":
            patch.setattr(home, "write_table", lambda *_: (_ for _ in ()).throw(full))
        else:
            patch.setattr("sgm_core.training.pretrain.save_model", lambda *_: (_ for _ in ()).throw(full))
        with pytest.raises(OSError):
            run_in_foreground(training, Observer())
    assert training.status["error"].startswith(f"the disk is full ({table})")
    assert training.checkpoint == "2 of 2 epochs done"
    monkeypatch.setattr("sgm_core.training.pretrain.Pretraining.loss", None)  # not called any more
    assert run_in_foreground(training, Observer()).state == "done"


def test_a_full_disk_leaves_room_to_say_so(training: Run, monkeypatch) -> None:
    training.begin()
    spare = training.path / ".spare"
    assert spare.stat().st_size >= 65_536
    write = home.write_json

    def full_while_spare(path: Path, value: object) -> None:
        if spare.exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, value)

    monkeypatch.setattr(home, "write_json", full_while_spare)
    training.progress(1, 2)
    training.finish("failed", "the disk is full")
    assert (training.state, spare.exists()) == ("failed", False)


def test_a_run_that_died_on_a_full_disk_is_still_listed(training: Run, monkeypatch) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    facts = identity(process.pid)
    process.wait()
    training.update(state="running", **facts)

    def full(path: Path, value: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(home, "write_json", full)
    assert [run.state for run in list_runs()] == ["lost"]
    with pytest.raises(InputError, match=r"can't start: the disk is full .*free some space"):
        launch(training)


def test_a_folder_that_can_not_be_written_is_refused_in_a_line(training: Run, monkeypatch) -> None:
    def closed(path: Path, value: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(home, "write_json", closed)
    with pytest.raises(
        InputError, match=r"Read-only file system \(.*status.json\): make the folder writable"
    ):
        launch(training)


def test_a_dataset_that_vanished_is_named_and_resumed_when_it_is_back(training: Run, few_cells) -> None:
    away = few_cells.path.with_name("away")
    few_cells.path.rename(away)
    with pytest.raises(NotFoundError):
        run_in_foreground(training, Observer())
    assert training.state == "failed" and "'few'" in training.status["error"]
    away.rename(few_cells.path)
    assert run_in_foreground(training, Observer()).state == "done"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "it was killed (SIGKILL), which the system does when memory runs out"),
        (
            {"oom_kills": 0},
            "memory ran out, and the system killed processes on this machine since",
        ),
        ({"boot": "another"}, "the machine was started again since"),
    ],
)
def test_a_silent_end_is_told_from_what_the_machine_says(training: Run, monkeypatch, change, words) -> None:
    monkeypatch.setattr(ends, "_oom_kills", lambda: 3)
    training.begin()
    gone = {"pid": 2**22 - 3, "process_started": 1.0}
    training.update(**gone, evidence=training.status["evidence"] | change)
    assert training.state == "lost"
    assert words in training.status["error"]
    assert "resuming starts over: there is no checkpoint yet" in training.status["error"]


HOLDER = """
import sys
from sgm_core.runs.store import open_run
with open_run(sys.argv[1]).held():
    print("held", flush=True)
    input()
"""


def test_a_worker_is_known_by_its_lock_when_its_clock_jumped(training: Run) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, training.id], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    started = identity(holder.pid)["process_started"] - 7200  # noted before the clock was set
    training.update(state="running", pid=holder.pid, process_started=started)
    assert training.state == "running"
    with pytest.raises(InputError, match="another process works on run"), training.held():
        pass
    assert not os.path.exists(training.path / "log.txt")
    holder.kill()
    holder.communicate()
    assert training.state == "lost"
    with training.held():
        assert training.is_held()
    assert not training.is_held()


def test_a_state_follows_only_where_it_may(training: Run) -> None:
    training.begin()
    training.finish("lost", "its process ended")
    for late in ("done", "failed", "running"):
        with pytest.raises(InputError, match=f"is lost: it can't become {late}"):
            training.finish(late)
    training.requeue()
    training.begin()
    training.finish("done")
    with pytest.raises(InputError, match="is done: it can't become queued"):
        training.requeue()
    assert open_run(training.id).state == "done"


def test_a_folder_of_a_later_version_is_refused(training: Run) -> None:
    path = training.path / "config.json"
    home.write_json(path, home.read_json(path) | {"schema": 99})
    with pytest.raises(InputError, match=r"later version of the program \(schema 99"):
        open_run(training.id)


def test_metrics_of_attempts_that_went_on_are_each_there_once() -> None:
    import pandas as pd

    def row(attempt: int, phase: str, epoch: float, **more: object) -> dict[str, object]:
        return {"attempt": attempt, "phase": phase, "arm": "u", "fold": 0, "epoch": epoch, **more}

    rows = [row(1, "pretrain", 1), row(1, "pretrain", 2), row(1, "finetune", 1, scheme="partial")]
    rows += [row(1, "finetune", float("nan"), scheme="partial"), row(1, "pretrain", 1) | {"fold": 1}]
    rows += [row(2, "finetune", 1, scheme="partial")]
    kept = standing(pd.DataFrame(rows))
    assert kept[["attempt", "phase", "fold"]].to_numpy().tolist() == [
        [1, "pretrain", 0],
        [1, "pretrain", 0],
        [1, "pretrain", 1],
        [2, "finetune", 0],
    ]
    kept = standing(pd.DataFrame([*rows, row(3, "pretrain", 2)]))
    assert kept[["attempt", "epoch", "fold"]].to_numpy().tolist() == [[1, 1, 0], [1, 1, 1], [3, 2, 0]]
