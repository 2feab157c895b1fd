"""Reconstruction against simple predictors: a model that learned nothing is told from one that did."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sgm_core.analysis.reconstruction import MODEL, NOTHING, reconstruction_line
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.split import donor_folds
from sgm_core.progress import Observer
from sgm_core.training.config import PretrainConfig
from sgm_core.training.loop import Loop
from sgm_core.training.pretrain import Pretraining, pretraining
from sgm_core.training.reconstruction_check import _held_out, hidden_genes

CONFIG = PretrainConfig(
    data="small",
    masker="uniform",
    summary="none",
    n_genes=40,
    epochs=5,
    batch_size=8,
    lr_backbone=3e-3,
    device="cpu",
)
TOTAL = 2000.0


@pytest.fixture
def task(demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Pretraining:
    monkeypatch.setenv("SGM_HOME", str(demo_home))
    dataset = open_dataset("small")
    return pretraining(dataset, CONFIG, donor_folds(dataset, n_folds=3)[1], Observer())


def give(task: Pretraining, values: np.ndarray, patch: pytest.MonkeyPatch) -> None:
    """Let the task read other values (n_cells, L) than its dataset's, of cells with `TOTAL` counts."""
    patch.setattr(task.values, "batch", lambda rows: torch.from_numpy(values[rows]))
    patch.setattr(task.values, "totals", lambda rows: np.full(len(rows), TOTAL))


def three_kinds(n_cells: int, n_genes: int) -> np.ndarray:
    """Return values of cells of three kinds, each with its own rates."""
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.4, 4.0, (3, n_genes))[np.arange(n_cells) % 3]
    return np.log1p(1e4 * rng.poisson(rates) / TOTAL).astype(np.float32)


def test_an_untrained_model_has_learned_nothing_and_a_trained_one_has(
    task: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(task, three_kinds(task.values.dataset.n_cells, task.values.n_positions), monkeypatch)
    before = task.result().reconstruction
    assert reconstruction_line(before).startswith(NOTHING)
    again = task.result().reconstruction
    assert before.equals(again), "the same genes are hidden, and the model is left as it is"
    Loop(task, CONFIG, Observer()).run()
    after = task.result().reconstruction
    line = reconstruction_line(after)
    assert line.startswith("is better than each gene's mean"), line
    simple = after["predictor"] != MODEL
    columns = ["predictor", "r2", "r2_nonzero", "r2_gene", "cells"]
    assert after.loc[simple, columns].equals(before.loc[simple, columns]), "they do not depend on the model"
    r2 = after.set_index("predictor")["r2"]
    assert 0.3 < r2[["pca", "neighbours"]].max() < r2["noise-floor"] < 0.8
    assert (after["cells"] == len(task.validation)).all()


def test_a_model_of_shuffled_genes_has_learned_nothing(
    task: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = three_kinds(task.values.dataset.n_cells, task.values.n_positions)
    give(task, np.random.default_rng(1).permuted(values, axis=0), monkeypatch)
    Loop(task, CONFIG, Observer()).run()
    line = reconstruction_line(task.result().reconstruction)
    assert line.startswith(NOTHING), line


def test_every_strategy_faces_the_same_hidden_genes(task: Pretraining) -> None:
    rows = task.validation[:8]
    x = task.values.batch(rows)
    eligible = task.model.eligible
    hidden = hidden_genes(x, eligible, rows, CONFIG)
    guided = replace(CONFIG, masker="self-guided", summary="both", temperature=0.2)
    assert torch.equal(hidden, hidden_genes(x, eligible, rows, guided))
    assert torch.equal(hidden[3:5], hidden_genes(x[3:5], eligible, rows[3:5], CONFIG)), "whatever the batch"
    nonzero = x > 0
    expected = (nonzero.sum(1) * CONFIG.mask_ratio).round().clamp(min=1) * (nonzero.sum(1) > 1)
    assert torch.equal((hidden & nonzero).sum(1).float(), expected)


def test_whole_donors_are_held_out_where_there_are_some() -> None:
    donors = np.repeat(["a", "b", "c", "d", "e", "f"], [40, 10, 30, 30, 50, 40])
    for seed in range(10):
        apart = _held_out(donors, seed)
        assert 0.2 <= apart.mean() <= 0.5
        assert not set(donors[apart]) & set(donors[~apart])
    for one in (np.repeat("a", 50), np.repeat(["a", "b"], [98, 2])):
        assert 0 < _held_out(one, 0).sum() <= len(one) / 2
