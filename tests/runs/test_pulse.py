"""What a training says of itself between two epochs, and how long it has worked."""

import pandas as pd
import pytest

from sgm_core.errors import Paused
from sgm_core.progress import Observer
from sgm_core.runs import run as run_module
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run, pause_run
from sgm_core.runs.worker import run_in_foreground
from sgm_core.training import loop
from sgm_core.training.config import PretrainConfig

TINY = {"n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "epochs": 2, "batch_size": 16}


def test_every_step_of_a_training_is_told_once_though_it_was_stopped(few_cells, monkeypatch) -> None:
    for module in (loop, run_module):
        monkeypatch.setattr(module, "_PULSE_S", 0.0)
    monkeypatch.setattr(run_module, "_PULSES", 1e9)
    config = PretrainConfig(data="few", device="cpu", fold=0, n_folds=3, checkpoint_minutes=0.0, **TINY)
    run = create_run("pretrain", "few", config.to_dict())
    told = Run.pulse

    def pause_at_the_fifth(self: Run, **values: object) -> None:
        told(self, **values)
        if values["step"] == 5 and self.status["attempt"] == 1:
            pause_run(run.id)

    monkeypatch.setattr(Run, "pulse", pause_at_the_fifth)
    with pytest.raises(Paused):
        run_in_foreground(run, Observer())
    run_in_foreground(run, Observer())
    rows, epochs = run.pulses(), run.metrics()
    steps = int(epochs["step"].iloc[-1])
    assert rows["step"].tolist() == list(range(1, steps + 1)), "each step, and none twice"
    assert rows["epoch"].iloc[-1] == 2 and rows["epoch"].is_monotonic_increasing
    assert (rows[["loss", "cells_per_s", "memory"]] > 0).all().all() and rows["gpu_memory"].isna().all()
    assert set(rows["arm"]) == {"self-guided"} and set(rows["phase"]) == {"pretrain"}
    first = rows[rows["epoch"] <= 1]["loss"].mean()  # batches of nearly one size; no other term in the loss
    assert first == pytest.approx(epochs["train_loss"].iloc[0], rel=0.05)
    assert epochs["step"].tolist() == [steps / 2, steps]


def test_time_of_work_leaves_pauses_out(demo_dataset) -> None:
    run = create_run("compare", "small", {"data": "small"})
    rows = [(0, 10.0), (0, 20.0), (1, 5.0), (1, 9.0), (2, 1.0)]
    lines = [
        f'{{"time": "2026-01-0{attempt + 1}T00:00:00Z", "attempt": {attempt}, "elapsed": {elapsed}, '
        f'"phase": "pretrain", "epoch": {number}}}'
        for number, (attempt, elapsed) in enumerate(rows)
    ]
    (run.path / "metrics.jsonl").write_text("\n".join(lines))
    assert run.metrics()["worked"].tolist() == [10, 20, 25, 29, 30]
    (run.path / "metrics.jsonl").write_text("\n".join(line.replace('"elapsed"', '"x"') for line in lines))
    days = [0, 0, 1, 1, 2]
    assert run.metrics()["worked"].tolist() == [86400 * day for day in days], (
        "an older version's: times alone"
    )


def test_what_comes_too_soon_is_left_out(demo_dataset, monkeypatch) -> None:
    run, clock = create_run("pretrain", "small", {"data": "small"}), [0.0]
    run.begin()
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    for second in range(3600):
        clock[0] = 10.0 + second
        run.pulse(step=second, epoch=second / 3600)
    steps = run.pulses()["step"]
    assert steps.is_monotonic_increasing and 300 <= len(steps) <= 1801
    assert pd.Series(steps).diff().min() >= 2
