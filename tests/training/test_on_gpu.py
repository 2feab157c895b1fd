"""What can run on a GPU alone: skipped, with the reason, where there is none.

``SGM_TEST_DEVICE=cpu`` runs those that hold on a processor too, to see that the tests themselves are right.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sgm_core import device as machine
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.model.attention import attend
from sgm_core.model.features import linear_attention, orthogonal_features
from sgm_core.progress import Observer
from sgm_core.runs.launch import enqueue, worker_environment
from sgm_core.runs.process import identity
from sgm_core.runs.store import create_run
from sgm_core.runs.worker import run_in_foreground
from sgm_core.saved.state import read_state, write_state
from sgm_core.training.config import PretrainConfig
from sgm_core.training.data import ahead, to_device
from sgm_core.training.loop import Loop
from sgm_core.training.pretrain import Pretraining, pretraining

DEVICE = os.environ.get("SGM_TEST_DEVICE", "cuda")
SMALL = {"data": "few", "n_genes": 60, "latents": 4, "latent_width": 8, "subset": 2, "epochs": 2}
SMALL |= {"fold": 0, "n_folds": 3}
pytestmark = pytest.mark.cuda


def task_of(dataset: Dataset, device: str, **fields: object) -> tuple[Pretraining, PretrainConfig]:
    config = PretrainConfig.from_dict({**SMALL, "device": device, **fields})
    return pretraining(dataset, config, donor_folds(dataset, n_folds=3)[0], Observer()), config


def trained(dataset: Dataset, device: str, **fields: object) -> Pretraining:
    task, config = task_of(dataset, device, **fields)
    Loop(task, config).run()
    return task


def test_what_is_copied_from_pinned_memory_arrives_whole_and_in_order() -> None:
    """The copy does not wait, and the next batch is made meanwhile: neither may overtake the other."""
    device = torch.device(DEVICE)

    def make(number: int) -> torch.Tensor:
        return to_device(torch.full((512, 2048), float(number)), device)

    sums = [made.double().mean() for made in ahead(make, range(40), device)]
    assert torch.stack(sums).tolist() == list(range(40))


@pytest.mark.parametrize("fields", [{"masker": "uniform"}, {"masker": "self-guided", "backbone": "dense"}])
def test_a_gpu_hides_the_same_genes_and_learns_the_same(few_cells: Dataset, fields: dict[str, str]) -> None:
    here, there = (trained(few_cells, device, **fields) for device in ("cpu", DEVICE))
    assert there.counter.sums.device.type == torch.device(DEVICE).type
    hidden, total = here.counter.sums[0], here.counter.sums[0].sum()
    assert (hidden - there.counter.sums[0].cpu()).abs().sum() <= 0.01 * total, "a tie may fall otherwise"
    if fields["masker"] == "uniform":
        assert torch.equal(hidden, there.counter.sums[0].cpu())
    losses = [[row["validation_loss"] for row in task.history[1:]] for task in (here, there)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_half_precision_is_that_of_the_forward_pass_alone(few_cells: Dataset) -> None:
    whole, half = (trained(few_cells, DEVICE, precision=name) for name in ("fp32", "bf16"))
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    losses = [[row["validation_loss"] for row in task.history[1:]] for task in (whole, half)]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.05)


def test_a_training_goes_on_bit_identically(few_cells: Dataset, tmp_path: Path) -> None:
    """With dropout, whose random state is the GPU's."""
    fields = {"dropout": 0.1, "attention_dropout": 0.1}
    through = trained(few_cells, DEVICE, **fields)
    task, config = task_of(few_cells, DEVICE, **fields)
    stopped = Loop(task, config)
    stopped.run(until=1)
    write_state(tmp_path / "00000001", stopped.state_dict(), {})
    torch.cuda.manual_seed(99)  # whatever happened in between
    task, config = task_of(few_cells, DEVICE, **fields)
    going_on = Loop(task, config)
    going_on.load_state_dict(read_state(tmp_path / "00000001"))
    going_on.run()
    weights = task.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in through.model.state_dict().items())


def test_cells_of_different_lengths_attend_as_on_a_processor() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = [3, 0, 700, 41, 1]
    qkv = torch.randn(sum(lengths), 3, 2, 16, generator=generator)
    for some in (lengths, [3, 41, 0, 1]):  # long ones have a call each, short ones share a padded one
        expected = attend(qkv[: sum(some)], some)
        torch.testing.assert_close(
            attend(qkv[: sum(some)].to(DEVICE), some).cpu(), expected, rtol=1e-3, atol=1e-4
        )


def test_linear_attention_and_its_gradient_are_those_of_a_processor() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(2, 900, 2, 16, generator=generator) for _ in range(3)]
    features, made = orthogonal_features(44, 16, generator), []
    for device in ("cpu", DEVICE):
        q, k, v = (part.to(device).requires_grad_() for part in parts)
        out = linear_attention(q, k, v, features.to(device))
        out.square().sum().backward()
        made.append([part.detach().cpu() for part in (out, q.grad, k.grad, v.grad)])  # type: ignore[union-attr]
    for here, there in zip(*made, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-3)


def test_the_memory_that_is_told_is_the_drivers() -> None:
    free, total = torch.cuda.mem_get_info(0)
    told = machine.memory("cuda")
    assert told.what == "GPU memory"
    assert told.total == pytest.approx(total, rel=0.1) and told.free == pytest.approx(free, rel=0.2)


def test_memory_that_runs_out_ends_the_run_in_words(few_cells: Dataset) -> None:
    """The run says what to do, and the next one finds the memory free."""
    held = []
    with pytest.MonkeyPatch.context() as patch:

        def greedy(self: Pretraining, batch: object) -> torch.Tensor:
            while True:
                held.append(torch.empty(2**30, dtype=torch.float32, device=DEVICE))

        patch.setattr(Pretraining, "loss", greedy)
        run = create_run("pretrain", "few", PretrainConfig.from_dict({**SMALL, "device": DEVICE}).to_dict())
        with pytest.raises(torch.OutOfMemoryError):
            run_in_foreground(run, Observer())
    held.clear()
    torch.cuda.empty_cache()
    assert run.state == "failed" and run.status["error"].startswith("memory ran out (OutOfMemoryError")
    assert np.isfinite(trained(few_cells, DEVICE).history[-1]["validation_loss"])


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_gpus_train_what_one_does(few_cells: Dataset, parallel: str) -> None:
    """NCCL takes no two processes on one GPU: with less than two there is nothing to test."""
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two GPUs, and here are {torch.cuda.device_count()}")
    losses = []
    for count in (1, 2):
        fields = PretrainConfig.from_dict({**SMALL, "device": "cuda", "parallel": parallel}).to_dict()
        run = create_run("pretrain", "few", fields)
        enqueue(run)
        run.update(**identity())
        launcher = ("torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m")
        command = [sys.executable, "-m", *launcher, "sgm_core.runs.worker", run.id]
        subprocess.run(command, env=worker_environment(), check=True)
        assert run.state == "done", run.log_tail()
        losses.append(run.metrics()["validation_loss"].tolist())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
