"""A run in two processes: paused, either of them killed, resumed by two and by one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

import pandas as pd
import pytest
import torch
from torch.distributed import HashStore
from two_processes import ended, together

from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.runs import ranks as ranks_module
from sgm_core.runs.launch import enqueue
from sgm_core.runs.launchers.torchrun import check_shared
from sgm_core.runs.process import identity
from sgm_core.runs.ranks import Ranks
from sgm_core.runs.store import Run, create_run, pause_run
from sgm_core.runs.worker import carry_out, main
from sgm_core.training.config import PretrainConfig
from sgm_core.world import Group, within, world

QUICK = {"n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "device": "cpu", "batch_size": 8}
QUICK |= {"data": "few", "fold": 0, "n_folds": 3, "dropout": 0.1, "accumulation": 2, "patience": 50}


def rows_of(run: Run) -> int:
    """Return how many rows of metrics the run has."""
    path = run.path / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait(done: Callable[[], bool], run: Run) -> float:
    """Wait until something is done; returns the seconds."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < 100, run.log_tail()
        time.sleep(0.02)
    return time.monotonic() - began


@contextmanager
def training(run: Run) -> Iterator[list[BaseProcess]]:
    """Carry the run out in two processes; yields them as they train (again)."""
    seen = rows_of(run)
    enqueue(run)
    run.update(**identity())
    with together(main, [run.id], log=run.path / "log.txt") as processes:
        wait(lambda: rows_of(run) > seen, run)
        yield processes


# Long, for three launches of two processes: what each kind of end leaves is what the next one goes on from.
def test_whatever_ends_one_of_two_processes_the_run_can_be_resumed_by_one(few_cells) -> None:
    fields = PretrainConfig(**QUICK, epochs=9, checkpoint_minutes=0.0).to_dict()
    run = create_run("pretrain", "few", fields)

    with training(run) as (first, second):
        pause_run(run.id)
        assert ended(first) == 1 and ended(second) == 0, "the second hears of it"
    assert run.state == "paused" and run.checkpoint is not None, run.log_tail()

    with training(run) as (first, second):
        second.kill()
        assert ended(second) == -signal.SIGKILL and ended(first) == 1
    assert run.state == "failed"
    assert run.status["error"].startswith("process 2 of 2 ended without a word: it was killed (SIGKILL)")
    assert "resuming goes on from its checkpoint: " in run.status["error"]

    with training(run) as (first, second):
        first.kill()
        assert ended(first) == -signal.SIGKILL and ended(second) == 0, "nobody goes on without the first"
    assert run.state == "lost" and "resuming goes on from its checkpoint" in run.status["error"]
    log = run.log_tail()
    assert log.count("2 processes train together (gloo)") == 3
    assert log.count("pretraining goes on from its checkpoint") == 2

    enqueue(run)
    carry_out(run, run)
    assert run.state == "done"
    assert "processes 2 then, 1 now: numbers may differ in their last digits" in run.log_tail()
    assert run.metrics()["epoch"].tolist() == list(range(1, 10))

    alone = create_run("pretrain", "few", fields | {"checkpoint_minutes": 1440.0}, run_id="alone")
    carry_out(alone, alone)
    losses, expected = (one.metrics()["validation_loss"].to_numpy() for one in (run, alone))
    assert losses == pytest.approx(expected, rel=1e-3)
    counts = ["masked", "opportunities", "masked_nonzero", "opportunities_nonzero"]
    masks, expected = (one.read_table("masks")[counts] for one in (run, alone))
    pd.testing.assert_frame_equal(masks, expected)


def without_memory(run_id: str) -> int:
    """Carry a run out whose second process finds no memory."""

    def execute(run: Run, observer: Observer) -> None:
        if os.environ["RANK"] == "1":
            raise MemoryError("tried to allocate 3 GiB")
        world().sum(torch.zeros(1))  # the first waits for the second

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sgm_core.runs.worker.execute", execute)
        return main([run_id])


def test_an_error_of_the_second_process_is_told_and_ends_both(few_cells) -> None:
    run = create_run("pretrain", "few", PretrainConfig(**QUICK).to_dict())
    enqueue(run)
    with together(without_memory, run.id, log=run.path / "log.txt") as processes:
        assert [ended(process) for process in processes] == [1, 1]
    assert run.state == "failed"
    assert run.status["error"].startswith("process 2 of 2 failed: memory ran out (MemoryError: tried to all")
    assert "resuming starts over" in run.status["error"]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[Ranks]:
    """The words that two processes leave each other, both of them this one."""
    store, made = HashStore(), []
    for rank in range(2):
        monkeypatch.setattr("torch.distributed.rendezvous", lambda _, rank=rank: iter([(store, rank, 2)]))
        made.append(Ranks())
    return made


def test_what_failed_in_another_process_is_said(two: list[Ranks], monkeypatch) -> None:
    monkeypatch.setattr(ranks_module, "_SEEN_S", 0.1)
    first, second = two
    assert not first._fallen() and first._why(RuntimeError("shapes do not fit")) is None
    assert "lost each other" in first._why(RuntimeError("[gloo] Connection closed by peer"))
    second.end("memory ran out")
    assert first._why(RuntimeError("any")) == "process 2 of 2 failed: memory ran out"
    second.end()
    assert first._why(RuntimeError("any")) is None, "it ended in good order"
    first.end()
    assert second.begun() is False, "the first gave up its turn"


def test_a_process_that_is_gone_is_noticed(two: list[Ranks]) -> None:
    first, second = two
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    second._put("process1", json.dumps([second._host, *identity(child.pid).values()]))
    assert first._fallen() is None
    child.kill()
    child.wait()
    assert "process 2 of 2 ended without a word: it was killed (SIGKILL)" in first._fallen()


def test_who_waits_for_one_that_is_gone_and_does_not_notice_ends_itself(
    few_cells, two: list[Ranks], monkeypatch
) -> None:
    """As a process may that waits for a GPU: only a thread of it still runs."""

    def leave_at_once(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(ranks_module, "_GRACE_S", 0)
    monkeypatch.setattr(os, "_exit", leave_at_once)
    first, second = two
    run = create_run("pretrain", "few", PretrainConfig(**QUICK).to_dict())
    second._put("process1", json.dumps([second._host, 2**22 + 1, 0.0]))
    first._watch(run)
    assert run.state == "queued", "the group was left in good order"
    with within(Group(0, 2, 0)), pytest.raises(SystemExit):
        first._watch(run)
    assert run.state == "failed" and "process 2 of 2 ended without a word" in run.status["error"]


def test_what_several_processes_cannot_share_is_refused() -> None:
    words = "kind 'compare' is one process's: several can share a pretrain or a fine"
    with pytest.raises(InputError, match=words):
        check_shared("compare", {})
    with pytest.raises(InputError, match="compat=official"):
        check_shared("finetune", {"compat": "official"})
    check_shared("pretrain", PretrainConfig(data="few").to_dict())
