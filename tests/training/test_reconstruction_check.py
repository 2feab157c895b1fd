"""A model's reconstruction against simple predictors: a model that learned nothing is told from one that did."""

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
from sgm_core.training.reconstruction_check import hidden_genes

CONFIG = PretrainConfig(
    data="small", masker="uniform", summary="none", n_genes=60, epochs=6, batch_size=16, device="cpu"
)


@pytest.fixture
def task(demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Pretraining:
    monkeypatch.setenv("SGM_HOME", str(demo_home))
    dataset = open_dataset("small")
    return pretraining(dataset, CONFIG, donor_folds(dataset, n_folds=3)[1], Observer())


def test_an_untrained_model_has_learned_nothing_and_a_trained_one_has(task: Pretraining) -> None:
    before = task.result().reconstruction
    assert reconstruction_line(before).startswith(NOTHING)
    again = task.result().reconstruction
    assert before.equals(again), "the same genes are hidden, and the model is left as it is"
    Loop(task, CONFIG, Observer()).run()
    after = task.result().reconstruction
    assert reconstruction_line(after).startswith("better than each gene's mean"), reconstruction_line(after)
    simple = after["predictor"] != MODEL
    columns = ["predictor", "r2", "r2_nonzero", "r2_gene", "cells"]
    assert after.loc[simple, columns].equals(before.loc[simple, columns]), "they do not depend on the model"
    r2 = after.set_index("predictor")["r2"]
    assert r2["noise-floor"] > r2[["pca", "neighbours", MODEL]].max()
    assert (after["cells"] == len(task.validation)).all()


def test_a_model_of_shuffled_genes_has_learned_nothing(
    task: Pretraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = task.values.batch(np.arange(task.values.dataset.n_cells)).numpy()
    shuffled = torch.from_numpy(np.random.default_rng(0).permuted(everything, axis=0))
    monkeypatch.setattr(task.values, "batch", lambda rows: shuffled[rows])
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
    expected = (nonzero.sum(1) * CONFIG.mask_ratio).round().clamp(min=1)
    assert torch.equal((hidden & nonzero).sum(1).float(), expected)
