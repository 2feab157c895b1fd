"""Trainings that were stopped anywhere come to the same end as one that was left alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.tasks import Task, TaskObserver, run_task
from sgm_core.errors import Cancelled, InputError, Paused, TrainingError
from sgm_core.progress import Observer
from sgm_core.runs.resume import resume_run
from sgm_core.runs.run import PAUSE, Run
from sgm_core.runs.store import create_run, pause_run
from sgm_core.runs.worker import run_in_foreground
from sgm_core.training.config import FinetuneConfig, PretrainConfig

ROOT = Path(__file__).resolve().parents[2]
TINY = {"n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "epochs": 2, "batch_size": 16}
QUICK = {"data": "few", "device": "cpu", "fold": 0, "n_folds": 3, "checkpoint_minutes": 0.0, **TINY}


def test_kills_at_any_moment_change_nothing(tmp_path: Path) -> None:
    # Long, for it starts a process of its own and 20 attempts; a time is no assertion.
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "kill_resume.py",
            "--kills",
            "20",
            "--epochs",
            "3",
            "--cost",
            "0",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 20 and found["timed"] and found["within a checkpoint"]
    assert {"weights", "metrics", "masks", "mask_cells"} <= set(found["compared"])


def stop_after(monkeypatch: pytest.MonkeyPatch, run: Run, checks: int, do) -> None:
    """Let the run do `do` at its check number `checks`."""
    left, check = checks, Run.check

    def counted(self: Run) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            do()
        check(self)

    monkeypatch.setattr(Run, "check", counted)


def same_tables(one: Run, other: Run, *names: str) -> None:
    for name in names:
        pd.testing.assert_frame_equal(
            *(run.read_table(name).drop(columns="seconds", errors="ignore") for run in (one, other))
        )


def test_pause_and_resume(few_cells, monkeypatch) -> None:
    run = create_run("pretrain", "few", PretrainConfig(**QUICK).to_dict())
    with monkeypatch.context() as patch:
        stop_after(patch, run, 10, lambda: pause_run(run.id))
        with pytest.raises(Paused):
            run_in_foreground(run, Observer())
    assert run.state == "paused"
    where = r"paused; resuming goes on from its checkpoint: 1 of 2 epochs done, and step \d of the next"
    assert re.fullmatch(where, run.status["error"])
    run_in_foreground(run, Observer())
    assert run.state == "done" and run.asked(PAUSE) is None
    assert "pretraining goes on from its checkpoint" in run.log_tail()
    assert run.metrics()["epoch"].tolist() == [1, 2]
    assert not (run.path / "state").exists()


def test_a_stop_while_an_epoch_is_validated_keeps_the_epoch(few_cells, monkeypatch) -> None:
    # Seen: nothing looked at the wish while cells were validated, 17 minutes of a large backbone.
    from sgm_core.training import pretrain

    alone, stopped = (create_run("pretrain", "few", PretrainConfig(**QUICK).to_dict()) for _ in range(2))
    run_in_foreground(alone, Observer())
    validate = pretrain.validation_loss

    def asked_within(*arguments: object) -> float:
        pause_run(stopped.id)
        return validate(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "validation_loss", asked_within)
        with pytest.raises(Paused):
            run_in_foreground(stopped, Observer())
    assert stopped.metrics().empty, "it stopped within the first validation"
    assert re.search(r"0 of 2 epochs done, and step \d+ of the next", stopped.status["error"])
    run_in_foreground(stopped, Observer())
    columns = ["epoch", "step", "train_loss", "validation_loss", "effective_share", "rank_correlation"]
    pd.testing.assert_frame_equal(alone.metrics()[columns], stopped.metrics()[columns])
    same_tables(alone, stopped, "masks", "mask_cells")
    weights = [(run.path / "checkpoint" / "weights.safetensors").read_bytes() for run in (alone, stopped)]
    assert weights[0] == weights[1]


def test_what_keeps_nothing_can_not_be_paused(few_cells) -> None:
    run = create_run("umap", "few", {"data": "few"})
    with pytest.raises(InputError, match="cancel it instead"):
        pause_run(run.id)
    training = create_run("pretrain", "few", PretrainConfig(**QUICK).to_dict())
    assert pause_run(training.id).state == "paused"
    with pytest.raises(InputError, match="nothing to pause"):
        pause_run(training.id)


def test_a_finetuning_goes_on_within_its_epoch(few_cells, monkeypatch) -> None:
    pretrained = create_run("pretrain", "few", PretrainConfig(**QUICK | {"fold": None}).to_dict())
    run_in_foreground(pretrained, Observer())
    fields = {"run": pretrained.id, "scheme": "partial", "device": "cpu", "epochs": 2, "fold": 1}
    config = FinetuneConfig(**fields, dropout=0.3, batch_size=8, checkpoint_minutes=0.0).to_dict()
    alone, stopped = (create_run("finetune", "few", config) for _ in range(2))
    run_in_foreground(alone, Observer())
    stops = 0
    while stopped.state != "done":
        with monkeypatch.context() as patch:
            stop_after(patch, stopped, 16 + 3 * stops, stopped.ask_cancel)
            try:
                run_in_foreground(stopped, Observer())
            except Cancelled:
                stops += 1
        assert stops < 20
    assert stops >= 2
    assert stopped.log_tail().count("finetuning goes on") >= stops - 1
    same_tables(alone, stopped, "predictions", "folds")
    columns = ["fold", "epoch", "train_loss", "validation_loss", "macro_f1"]
    one, other = (run.metrics()[columns].sort_values(["fold", "epoch"]) for run in (alone, stopped))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def test_the_pretraining_of_a_comparison_goes_on_within_its_task(few_cells, sgm_home: Path) -> None:
    schemes, pretrain = ("linear-probe",), {**TINY, "checkpoint_minutes": 0.0}
    config = CompareConfig(
        data="few",
        folds=3,
        arms=("uniform",),
        device="cpu",
        umap=False,
        schemes=schemes,
        pretrain=pretrain,
    )
    task, messages = Task("uniform", 0), []

    class Says(Observer):
        def __init__(self, checks: int = 0) -> None:
            self.left = checks

        def message(self, text: str) -> None:
            messages.append(text)

        def check(self) -> None:
            self.left -= 1
            if self.left == 0:
                raise Cancelled("enough")

    alone, stopped = sgm_home / "runs" / "alone", sgm_home / "runs" / "stopped"
    run_task(config, task, alone, "code", TaskObserver(Says(), 0))
    with pytest.raises(Cancelled):
        run_task(config, task, stopped, "code", TaskObserver(Says(9), 0))
    assert list((stopped / "state" / task.name / "pretrain").iterdir())
    run_task(config, task, stopped, "code", TaskObserver(Says(), 0))
    assert any("pretraining goes on from its checkpoint: " in text for text in messages)
    assert not (stopped / "state" / task.name).exists()
    for name in ("masks", "mask_cells", "folds"):
        one, other = (
            pd.read_parquet(folder / "tasks" / task.name / f"{name}.parquet").drop(
                columns="seconds", errors="ignore"
            )
            for folder in (alone, stopped)
        )
        pd.testing.assert_frame_equal(one, other)
    weights = [
        folder / "tasks" / task.name / "checkpoint" / "weights.safetensors" for folder in (alone, stopped)
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(few_cells, monkeypatch) -> None:
    from sgm_core.training.pretrain import Pretraining

    run = create_run("pretrain", "few", PretrainConfig(**QUICK).to_dict())
    loss, left = Pretraining.loss, 6

    def broken(self, batch):
        nonlocal left
        left -= 1
        return loss(self, batch) * (float("nan") if left == 0 else 1.0)

    monkeypatch.setattr(Pretraining, "loss", broken)
    with pytest.raises(TrainingError):
        run_in_foreground(run, Observer())
    assert run.state == "failed"
    for word in ("step 6 of", "cells ", "lr_new"):
        assert word in run.status["error"]
    assert run.checkpoint == "0 of 2 epochs done, and step 5 of the next"
    resume = run_in_foreground(run, Observer())  # the fault was ours and is gone
    assert resume.state == "done" and resume.metrics()["epoch"].tolist() == [1, 2]


def test_anew_forgets_the_checkpoint(few_cells, monkeypatch) -> None:
    run = create_run("pretrain", "few", PretrainConfig(**QUICK).to_dict())
    with monkeypatch.context() as patch:
        stop_after(patch, run, 9, run.ask_cancel)
        with pytest.raises(Cancelled):
            run_in_foreground(run, Observer())
    assert run.checkpoint
    monkeypatch.setattr("sgm_core.runs.resume.launch", lambda *_: None)
    resume_run(run.id, other_code=True)
    assert (run.path / "state" / "accepted.json").exists() and run.checkpoint
    resume_run(run.id, anew=True)
    assert run.checkpoint is None and run.when_resumed == "resuming starts over: there is no checkpoint yet"
