"""Measuring a run by its first steps: real steps, their own process, kept for the next time."""

import json

import numpy as np
import pytest

from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.estimate import measure as measurement
from sgm_core.estimate.measured import kept, place
from sgm_core.estimate.run import estimate_run
from sgm_core.runs.measure import measure, measuring, start_measuring, wait_for
from sgm_core.training.config import FinetuneConfig, PretrainConfig, pretrain_config
from sgm_core.training.loop import Loop

QUICK = PretrainConfig(data="small", n_genes=60, latents=4, latent_width=8, batch_size=16, device="cpu")


def test_real_steps_are_measured(demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps are those of the run's own loop, which is told which cells to take and nothing else."""
    batches = []
    steps = Loop.steps
    monkeypatch.setattr(Loop, "steps", lambda self, order: batches.extend(order) or steps(self, order))
    parts = measurement.measure_steps(QUICK, demo_dataset)
    for name in ("pretrain", "encode"):
        part = parts[name]
        assert part["steps"] == 3 and part["cell_s"] > 0 and part["peak_bytes"] > 5e7
        assert part["batch_size"] == part["asked"]
    assert parts["pretrain"]["batch_size"] == 16 and parts["encode"]["batch_size"] == 128
    assert [len(batch) for batch in batches] == [16] * 4
    assert set(measurement.measure_steps(QUICK, demo_dataset, encodes=True)) == {"encode"}


def test_the_longest_cells_warm_up_and_the_others_spread() -> None:
    lengths = np.arange(1000)
    warm, *measured = measurement.spread(lengths, 10)
    assert warm.tolist() == list(range(990, 1000)) and len(measured) == 3
    assert np.mean([batch.mean() for batch in measured]) == pytest.approx(lengths.mean(), rel=0.01)
    assert [len(batch) for batch in measurement.spread(lengths[:4], 4)] == [4] * 4


def test_what_would_take_minutes_is_measured_on_less(
    demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "PATIENCE_S", 1e-9)
    part = measurement.measure_steps(QUICK, demo_dataset)["pretrain"]
    assert (part["batch_size"], part["asked"]) == (1, 16) and ", in place of 16 cells" in part["note"]
    counted = estimate_run(QUICK, demo_dataset).memory["activations"]
    found = estimate_run(QUICK, demo_dataset, {"pretrain": part})
    assert found.memory_bytes == pytest.approx(part["peak_bytes"] + counted * 15 / 16, rel=1e-6)


def test_it_is_measured_once_in_a_process_of_its_own(demo_dataset: Dataset) -> None:
    assert kept(QUICK, demo_dataset) is None and measuring(QUICK, demo_dataset).state == "none"
    measure(QUICK, demo_dataset)
    first = say_whether_busy(demo_dataset, False)
    assert kept(QUICK, demo_dataset) == first == measure(QUICK, demo_dataset)
    assert measuring(QUICK, demo_dataset).state == "done"
    found = estimate_run(QUICK, demo_dataset, first)
    assert found.measured and found.memory_bytes == max(part["peak_bytes"] for part in first.values())


def say_whether_busy(dataset: Dataset, busy: bool) -> dict:
    path = place(QUICK, dataset)
    parts = {name: {**part, "busy": busy} for name, part in json.loads(path.read_text())["parts"].items()}
    path.write_text(json.dumps({"parts": parts}))
    return parts


def test_what_other_programs_slowed_down_is_measured_again(demo_dataset: Dataset) -> None:
    measure(QUICK, demo_dataset)
    slow = say_whether_busy(demo_dataset, True)
    start_measuring(QUICK, demo_dataset)
    assert measuring(QUICK, demo_dataset).state == "running"
    wait_for(QUICK, demo_dataset)
    assert measuring(QUICK, demo_dataset).state == "done" and kept(QUICK, demo_dataset) != slow


def test_what_was_measured_belongs_to_what_decides_it(demo_dataset: Dataset) -> None:
    def at(**fields):
        return place(PretrainConfig(**{**QUICK.to_dict(), **fields}), demo_dataset)

    assert at() == at(epochs=9, lr_new=0.1, seed=3)
    others = {
        at(batch_size=8),
        at(backbone="small"),
        at(precision="bf16"),
        at(recompute=True),
        at(n_genes=61),
    }
    assert len(others | {at()}) == 6
    arms = CompareConfig(data="small", pretrain={"n_genes": 60}, device="cpu")
    assert place(arms, demo_dataset) not in others


def test_a_damaged_file_is_measured_again(demo_dataset: Dataset) -> None:
    path = place(QUICK, demo_dataset)
    path.parent.mkdir(parents=True)
    path.write_text('{"parts": ')
    assert kept(QUICK, demo_dataset) is None


def test_nothing_that_cannot_fit_is_tried(demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from sgm_core import device as machine

    monkeypatch.setattr(machine, "memory", lambda device: machine.Memory(10**6, 10**6, "memory"))
    for start in (measure, start_measuring):
        with pytest.raises(InputError, match="would not fit"):
            start(QUICK, demo_dataset)
    assert measuring(QUICK, demo_dataset).state == "none"


def test_steps_wait_where_memory_is_short(demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go past the queue, and would end what runs beside them."""
    from sgm_core import device as machine

    monkeypatch.setattr(machine, "memory", lambda device: machine.Memory(10**12, 10**6, "memory"))
    compare = CompareConfig(data="small", pretrain={"n_genes": 60}, device="cpu")
    for config in (QUICK, compare):
        for start in (measure, start_measuring):
            with pytest.raises(InputError, match=r"has to wait .*0\.0 GB of memory are free now"):
                start(config, demo_dataset)
        assert measuring(config, demo_dataset).state == "none"


def test_a_step_that_fails_is_said_in_one_line(demo_dataset: Dataset) -> None:
    (demo_dataset.path / "obs.parquet").unlink()
    with pytest.raises(InputError, match=r"measuring failed: .*obs\.parquet"):
        measure(QUICK, demo_dataset)
    state = measuring(QUICK, demo_dataset)
    assert state.state == "failed" and "obs.parquet" in state.error


def test_a_request_is_answered_on_disk(demo_dataset: Dataset, tmp_path) -> None:
    request, result = tmp_path / "request.json", tmp_path / "result.json"
    request.write_text(
        json.dumps({"config": QUICK.to_dict(), "encodes": True, "threads": 1, "result": str(result)})
    )
    assert measurement.main([str(request)]) == 0
    assert json.loads(result.read_text())["parts"]["encode"]["steps"] == 3


def test_imported_weights_are_measured_as_they_are_trained(demo_dataset: Dataset, bundle: str) -> None:
    config = pretrain_config(data="small", backbone=bundle, latents=4, latent_width=8, device="cpu")
    parts = measurement.measure_steps(config, demo_dataset)
    assert parts["pretrain"]["batch_size"] == config.batch_size
    assert estimate_run(config, demo_dataset, parts).measured


def test_finetuning_of_imported_weights_measures_the_encoder(demo_dataset: Dataset, bundle: str) -> None:
    config = FinetuneConfig(backbone=bundle, data="small", scheme="last-block", device="cpu")
    parts = measure(config, demo_dataset)
    assert set(parts) == {"encode"}
    found = estimate_run(config, demo_dataset, parts)
    assert found.encode_seconds == pytest.approx(found.cells * parts["encode"]["cell_s"])
    assert found.disk_bytes > 0 and found.folds == 5 and "memory by a formula" in found.basis
