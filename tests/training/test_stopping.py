"""Early stopping: the best epoch comes back, and the validation donors never train."""

import numpy as np
import pytest
import torch
from torch import nn

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds, fold_cells
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.training import finetune, schemes
from sgm_core.training.config import FINETUNE_PRESETS, finetune_config, pretrain_config
from sgm_core.training.pretrain import pretrain_cells
from sgm_core.training.start import begin
from sgm_core.training.stopping import EarlyStopping


def test_the_best_epoch_comes_back() -> None:
    layer = nn.Linear(2, 1)
    stopping, weights = EarlyStopping(2, [layer]), []
    for epoch, loss in enumerate((3.0, 1.0, 2.0, 1.5)):
        with torch.no_grad():
            layer.weight.fill_(epoch)
        weights.append(stopping.ends(loss))
    assert weights == [False, False, False, True]
    stopping.restore()
    assert (layer.weight == 1).all()


def test_held_out_cells_are_those_of_the_validation_donors(demo_dataset: Dataset) -> None:
    fold = donor_folds(demo_dataset, n_folds=3)[0]
    train, _, _ = finetune.labelled_rows(demo_dataset, fold, None)
    assert finetune.held_out(demo_dataset, fold, train, finetune_config()) is None
    held = finetune.held_out(demo_dataset, fold, train, finetune_config(patience=3))
    assert held is not None
    assert set(demo_dataset.donors().iloc[train[held]]) == set(fold.validation)
    assert set(demo_dataset.donors().iloc[train[~held]]) == set(fold.train)
    with pytest.raises(InputError, match="patience=none"):
        finetune.held_out(demo_dataset, fold, fold_cells(demo_dataset, fold)[0], finetune_config(patience=3))


def test_the_papers_recipe_stops_early_and_keeps_its_hands_off_the_validation_donors(
    demo_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cell at a time, five steps an update, as the paper has it."""
    fold = donor_folds(demo_dataset, n_folds=3)[0]
    config = finetune_config(preset="paper", scheme="partial", lr=0.01, patience=1, epochs=8, device="cpu")
    assert {name: getattr(config, name) for name in ("batch_size", "accumulation", "amsgrad")} == {
        name: FINETUNE_PRESETS["paper"][name] for name in ("batch_size", "accumulation", "amsgrad")
    }
    train, test, labels = finetune.labelled_rows(demo_dataset, fold, None)
    held = finetune.held_out(demo_dataset, fold, train, config)
    assert held is not None
    few = np.flatnonzero(~held)[:40].tolist() + np.flatnonzero(held)[:20].tolist()
    train, held = train[few], held[few]
    classes, codes = np.unique(labels.iloc[train].astype(str).to_numpy(), return_inverse=True)
    rows: list[dict[str, object]] = []
    stepped: list[np.ndarray] = []

    class Watch(Observer):
        def metric(self, **values: object) -> None:
            rows.append(values)

    original = schemes.Classifier.batches

    def batches(self, wanted: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        found = original(self, wanted, rng)
        if rng is not None:
            stepped.extend(found)
        return found

    monkeypatch.setattr(schemes.Classifier, "batches", batches)
    small = pretrain_config(data=demo_dataset.name, n_genes=80, latents=4, latent_width=16, device="cpu")
    ready = begin(demo_dataset, small, pretrain_cells(demo_dataset, fold)[0], torch.device("cpu"))
    found = schemes.train_classifier(
        ready.model, ready.values, train, codes, test[:30], len(classes), config, Watch(), held
    )
    assert np.isclose(found.sum(1), 1, atol=1e-5).all()
    losses = [float(row["validation_loss"]) for row in rows]
    worse = [i for i in range(1, len(losses)) if losses[i] >= min(losses[:i])]
    assert len(rows) == (worse[0] + 1 if worse else config.epochs), "it ends at the first epoch without gain"
    assert set(np.concatenate(stepped)) == set(train[~held]), (
        "validation donors are watched, never stepped on"
    )
    assert all(len(batch) == 1 for batch in stepped)


def test_the_probe_stops_early(demo_dataset: Dataset) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 8)).astype(np.float32), rng.integers(0, 3, 300)
    held = np.arange(300) >= 200
    noise = finetune_config(patience=2, probe_epochs=200, lr=0.05)
    stopped = finetune.probe(x, y, x[:50], 3, noise, held)
    through = finetune.probe(x[~held], y[~held], x[:50], 3, finetune_config(probe_epochs=200, lr=0.05))
    right = y[:50]
    assert stopped[np.arange(50), right].mean() < through[np.arange(50), right].mean(), (
        "noise was learnt by heart"
    )
