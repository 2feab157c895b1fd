"""The loop: going on is as if it had never stopped, and what is not finite ends it with a reason."""

import copy
import io
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.errors import TrainingError
from sgm_core.progress import Observer
from sgm_core.runs.store import create_run
from sgm_core.runs.worker import carry_out
from sgm_core.training import loop as loop_module
from sgm_core.training.classifier import Finetuning, train_classifier
from sgm_core.training.config import FinetuneConfig, PretrainConfig
from sgm_core.training.data import Values
from sgm_core.training.loop import Loop, Task, schedule
from sgm_core.training.pretrain import Pretraining, pretrain, pretrain_cells
from sgm_core.training.probe import Probe, probe
from sgm_core.training.schemes import Classifier
from sgm_core.training.start import initial_state
from sgm_core.training.train_cells import every_cell

CPU = torch.device("cpu")
TINY = {"data": "few", "n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "device": "cpu"}


@pytest.fixture
def any_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a rate be out of its range, which is refused otherwise: it makes weights that are not finite."""
    monkeypatch.setattr("sgm_core.training.config.settings.check_field", lambda *_: None)


def copied(state: dict[str, Any]) -> dict[str, Any]:
    """Write a state and read it back, without unpickling anything."""
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)  # type: ignore[no-any-return]


def pretraining(dataset: Dataset, masker: str = "self-guided") -> tuple[Task, PretrainConfig]:
    config = PretrainConfig(
        **TINY,
        masker=masker,
        epochs=3,
        accumulation=2,
        patience=2,
        dropout=0.1,
        redraw_interval=2,
        depth_tokens=True,
        downsample=0.5,
        mask_warmup=0.8,
    )
    fold = donor_folds(dataset, n_folds=3)[0]
    train, validation = pretrain_cells(dataset, fold)
    start = initial_state(dataset, config, train, CPU)
    return Pretraining(config, start, every_cell(train), validation, 0, Observer()), config


def finetuning(dataset: Dataset) -> tuple[Task, FinetuneConfig]:
    config = FinetuneConfig(scheme="partial", epochs=3, accumulation=2, patience=3, device="cpu")
    rows = np.arange(dataset.n_cells)
    start = initial_state(dataset, PretrainConfig(**TINY), rows, CPU)
    classifier = Classifier(start.model, start.values, 3, config)
    task = Finetuning(
        classifier, every_cell(rows[:60]), rows[:60] % 3, rows[60:80], rows[60:80] % 3, None, Observer(), {}
    )
    return task, config


def probing(dataset: Dataset) -> tuple[Task, FinetuneConfig]:
    rng, config = np.random.default_rng(0), FinetuneConfig(epochs=3, device="cpu")
    x, y = rng.normal(size=(900, 5)).astype(np.float32), rng.integers(0, 3, 900)
    return Probe(x[:700], y[:700], x[700:], y[700:], 3, config), config


@pytest.mark.parametrize(
    "make",
    (
        pretraining,
        partial(pretraining, masker="error-guided"),
        partial(pretraining, masker="sma"),
        finetuning,
        probing,
    ),
)
def test_going_on_from_a_saved_state_is_as_if_it_had_never_stopped(few_cells: Dataset, make) -> None:
    through, config = make(few_cells)
    Loop(through, config).run()
    first, _ = make(few_cells)
    stopped = Loop(first, config)
    stopped.run(until=1)
    assert stopped.epoch == 1
    state = copied(stopped.state_dict())
    torch.manual_seed(99)  # whatever happened in between
    second, _ = make(few_cells)
    going_on = Loop(second, config)
    going_on.load_state_dict(state)
    going_on.run()
    for one, other in zip(through.modules, second.modules, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name
    if isinstance(through, Pretraining) and isinstance(second, Pretraining):
        assert torch.equal(through.counter.sums, second.counter.sums)
        rates = {"cells_per_s"}
        for row, again in zip(through.history, second.history, strict=True):
            assert {k: v for k, v in row.items() if k not in rates} == {
                k: v for k, v in again.items() if k not in rates
            }


class Toy(Task[np.ndarray]):
    """A weight whose loss is not finite from step `bad` on."""

    phase, rates = "a trial", "lr"

    def __init__(self, steps: int, bad: int, device: str) -> None:
        self.layer = nn.Linear(1, 1)
        # any device but a CPU makes the loop look at the losses only now and then
        self.device, self.modules = torch.device(device), [self.layer]
        self.n_batches, self.bad, self.step = steps, bad, 0

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.layer.parameters()), "lr": 0.1}]

    def start_epoch(self, epoch: int) -> list[np.ndarray]:
        return list(np.arange(2 * self.n_batches).reshape(-1, 2))

    def make(self, epoch: int, rows: np.ndarray) -> np.ndarray:
        return rows

    def loss(self, batch: np.ndarray) -> Tensor:
        self.step += 1
        loss = self.layer(torch.ones(1, 1)).sum()
        return loss * torch.inf if self.step >= self.bad else loss

    def end_epoch(self, epoch: int, seconds: float) -> None:
        return None


@pytest.mark.parametrize("device, seen", [("cpu", 8), ("meta", 10), ("meta", 20)])
def test_the_first_step_that_is_not_finite_is_named(
    device: str, seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU at once; where looking means waiting, later, but still that step."""
    monkeypatch.setattr(loop_module, "_STEPS_UNSEEN", 10 if seen == 10 else 50)
    toy = Toy(20, 8, device)
    with pytest.raises(
        TrainingError, match=r"a trial broke down in epoch 1: the loss of step 8 of 20 is -?inf"
    ):
        Loop(toy, FinetuneConfig(device="cpu")).run()
    assert toy.step == seen


def test_a_rate_that_is_too_high_fails_the_run_and_says_where(few_cells: Dataset, any_rate: None) -> None:
    config = PretrainConfig(**TINY, epochs=1, lr_new=1e30, lr_backbone=1e30, precision="bf16", clip=0)
    run = create_run("pretrain", "few", config.to_dict())
    with pytest.raises(TrainingError):
        carry_out(run, Observer())
    assert run.status["state"] == "failed"
    reason = run.status["error"]
    names = tuple(few_cells.obs["cell"])
    assert "epoch 1: the loss of step 2 of" in reason and "\n" not in reason
    assert any(name in reason for name in names) and "more" in reason
    assert "lr_new" in reason and "clip=1.0" in reason and "precision=fp32" in reason
    assert not (run.path / "checkpoint").exists()


def test_a_single_step_that_ruins_the_weights_is_found(few_cells: Dataset, any_rate: None) -> None:
    """Its own loss was finite, and no other step follows."""
    config = PretrainConfig(**TINY, epochs=1, batch_size=600, lr_new=1e30, lr_backbone=1e30)
    with pytest.raises(TrainingError, match="epoch 1: a weight or the validation loss is not finite"):
        pretrain(few_cells, config, donor_folds(few_cells, n_folds=3)[0])


def test_the_cell_that_is_not_finite_is_named(few_cells: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = donor_folds(few_cells, n_folds=3)[0]
    poisoned = int(pretrain_cells(few_cells, fold)[0][7])
    read = Values.batch

    def batch(self: Values, rows: np.ndarray) -> Tensor:
        x = read(self, rows)
        x[torch.from_numpy(rows == poisoned)] = torch.nan
        return x

    monkeypatch.setattr(Values, "batch", batch)
    config = PretrainConfig(**TINY, epochs=1, batch_size=4)
    with pytest.raises(TrainingError) as raised:
        pretrain(few_cells, config, fold)
    assert f"{poisoned} ({few_cells.obs['cell'][poisoned]})" in str(raised.value)


def test_finetuning_and_the_probe_break_down_alike(few_cells: Dataset, any_rate: None) -> None:
    rows = np.arange(80)
    start = initial_state(few_cells, PretrainConfig(**TINY), rows, CPU)
    config = FinetuneConfig(scheme="partial", epochs=2, lr=1e30, device="cpu", schedule="constant")
    model = copy.deepcopy(start.model)
    with pytest.raises(
        TrainingError, match=r"finetuning broke down in epoch 1: .* smaller learning rate \(lr\)"
    ):
        train_classifier(model, start.values, every_cell(rows), rows % 3, rows, rows % 3, rows, 3, config)
    x = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    with pytest.raises(TrainingError, match="the linear probe broke down in epoch"):
        probe(x, rows % 3, x, rows % 3, x, 3, config)
    x[5] = np.nan
    with pytest.raises(TrainingError, match="epoch 1: the loss of step 1 of 1 is nan"):
        probe(x, rows % 3, x, rows % 3, x, 3, FinetuneConfig(device="cpu"))


@pytest.mark.parametrize("updates", [1, 2, 19, 40, 41, 999])
def test_the_learning_rate_warms_up_and_falls_as_a_cosine(updates: int) -> None:
    optimiser = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    rates = schedule(optimiser, "cosine", updates)
    warm = max(1, updates // 20)
    for update in range(updates):
        fall = 0.5 * (1 + math.cos(math.pi * (update - warm) / max(1, updates - warm)))
        expected = (update + 1) / warm if update < warm else fall
        assert optimiser.param_groups[0]["lr"] == pytest.approx(expected, abs=1e-12)
        optimiser.step()
        rates.step()


def test_a_constant_learning_rate_stays() -> None:
    optimiser = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=0.3)
    rates = schedule(optimiser, "constant", 50)
    seen = set()
    for _ in range(50):
        seen.add(optimiser.param_groups[0]["lr"])
        optimiser.step()
        rates.step()
    assert seen == {0.3}
