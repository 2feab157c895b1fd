"""Validation donors choose the epoch and the weight decay, and train nothing."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.training import finetune
from sgm_core.training.classifier import train_classifier
from sgm_core.training.config import FinetuneConfig, finetune_config, pretrain_config
from sgm_core.training.labelled import labelled_rows
from sgm_core.training.pretrain import pretrain_cells
from sgm_core.training.probe import HEAD_DECAYS, probe
from sgm_core.training.start import initial_state
from sgm_core.training.stopping import BestEpoch
from sgm_core.training.train_cells import every_cell
from sgm_core.training.validation import encode_classes, validation_score


class Watch(Observer):
    """Remembers the metrics and messages."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self.lines: list[str] = []

    def metric(self, **values: object) -> None:
        self.rows.append(values)

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize("patience, ended", [(2, [False] * 4 + [True]), (None, [False] * 5)])
def test_the_best_epoch_comes_back(patience: int | None, ended: list[bool]) -> None:
    layer, found = nn.Linear(2, 1), []
    best = BestEpoch([layer], patience)
    for epoch, score in enumerate(((0.1, -3.0), (0.5, -2.0), (0.5, -1.0), (0.4, -0.5), (0.5, -1.0)), 1):
        with torch.no_grad():
            layer.weight.fill_(epoch)
        found.append(best.ends(score, epoch))
    assert found == ended
    best.restore()
    assert (layer.weight == 3).all() and best.epoch == 3, "of equal F1, the epoch of the smaller loss"


def test_no_score_keeps_the_last_weights() -> None:
    layer = nn.Linear(2, 1)
    before = layer.weight.clone()
    BestEpoch([layer], None).restore()
    assert torch.equal(layer.weight, before)


@pytest.fixture
def cells(few_cells: Dataset):
    """An untrained model, its values, and the cells of a fold."""
    fold = donor_folds(few_cells, n_folds=3)[0]
    train, validation, test, labels = labelled_rows(few_cells, fold, None)
    classes, codes, known, chosen_by = encode_classes(labels.iloc[train], labels.iloc[validation])
    small = pretrain_config(data="few", n_genes=60, latents=4, latent_width=8, device="cpu")
    start = initial_state(few_cells, small, pretrain_cells(few_cells, fold)[0], torch.device("cpu"))
    return start, every_cell(train), codes, validation[known], chosen_by, test, len(classes)


FIXED = {"schedule": "constant", "lr": 0.02, "scheme": "partial", "head": "mlp", "device": "cpu"}


def test_validation_cells_choose_the_epoch_and_train_nothing(cells) -> None:
    """Training to that epoch without them gives the same predictions, bit for bit."""
    start, train, codes, validation, chosen_by, test, n = cells
    model, watch = copy.deepcopy(start.model), Watch()
    config = FinetuneConfig(**FIXED, epochs=5)
    got, chosen = train_classifier(
        model, start.values, train, codes, validation, chosen_by, test, n, config, watch
    )
    scores = [(row["validation_f1"], -row["validation_loss"]) for row in watch.rows]
    best = 1 + scores.index(max(scores))
    assert len(scores) == 5 and best < 5, "without patience all epochs run"
    assert chosen == f"epoch {best}"
    alone = FinetuneConfig(**FIXED, epochs=best)
    expected, said = train_classifier(
        start.model, start.values, train, codes, validation[:0], chosen_by[:0], test, n, alone
    )
    assert np.array_equal(got, expected) and "no validation cells" in said


def test_patience_ends_early_and_the_papers_batches_are_of_one_cell(cells) -> None:
    """One cell at a time, five steps an update."""
    start, train, codes, validation, chosen_by, test, n = cells
    config = finetune_config(preset="paper", scheme="partial", lr=0.01, patience=1, epochs=9, device="cpu")
    assert (config.batch_size, config.accumulation, config.choose_decay) == (1, 5, False)
    watch = Watch()
    train_classifier(
        start.model,
        start.values,
        every_cell(train.rows[:30]),
        codes[:30],
        validation,
        chosen_by,
        test,
        n,
        config,
        watch,
    )
    scores = [(row["validation_f1"], -row["validation_loss"]) for row in watch.rows]
    worse = [i for i in range(1, len(scores)) if scores[i] <= max(scores[:i])]
    assert len(scores) == worse[0] + 1 < config.epochs, "it ends at the first epoch without gain"
    assert any(f"stopped after epoch {len(scores)}" in line for line in watch.lines)


def test_validation_cells_choose_the_probes_decay_and_epoch_and_train_nothing() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 40))
    y = rng.integers(0, 3, 300)
    x = (centres[y] + 3 * rng.normal(size=(300, 40))).astype(np.float32)
    train, validation, test = slice(0, 100), slice(100, 200), slice(200, 300)
    fields = {"schedule": "constant", "lr": 0.01, "device": "cpu"}

    def trained(with_validation: bool, **own: object) -> tuple[np.ndarray, str]:
        part = validation if with_validation else slice(0, 0)
        config = FinetuneConfig(**fields | own)
        return probe(x[train], y[train], x[part], y[part], x[test], 3, config)

    got, chosen = trained(True, probe_epochs=40)
    epoch, decay = (text.split()[-1] for text in chosen.split(", "))
    assert int(epoch) < 40 and float(decay) in HEAD_DECAYS
    alone, _ = trained(False, probe_epochs=int(epoch), weight_decay=float(decay))
    assert np.array_equal(got, alone)
    for one in HEAD_DECAYS:  # no other decay does better on the validation cells at any epoch's end
        config = FinetuneConfig(**fields, probe_epochs=40, weight_decay=one, choose_decay=False)
        seen, said = probe(x[train], y[train], x[validation], y[validation], x[validation], 3, config)
        assert said.endswith(f"weight decay {one:g}")
        on_chosen = FinetuneConfig(**fields, probe_epochs=int(epoch), weight_decay=float(decay))
        nothing = (x[:0], y[:0])
        best, _ = probe(x[train], y[train], *nothing, x[validation], 3, on_chosen)
        assert validation_score(y[validation], seen) <= validation_score(y[validation], best)


def test_a_fold_counts_the_donors_and_cells_that_trained(few_cells: Dataset, bundle: str, sgm_home) -> None:
    config = finetune_config(bundle, data="few", n_folds=3, fold=1, probe_epochs=2, device="cpu")
    tables = {}
    watch = Watch()
    watch.table = lambda name, frame: tables.update({name: frame})  # type: ignore[method-assign]
    finetune.finetune_run(config, sgm_home / "runs" / "x", watch)
    fold = donor_folds(few_cells, n_folds=3)[1]
    row = tables["folds"].iloc[0]
    assert row["donors_train"] == len(fold.train) and row["donors_test"] == len(fold.test)
    labelled = few_cells.labels().notna() & few_cells.donors().isin(fold.train)
    assert row["n_train"] == labelled.sum()
    assert row["chosen"].startswith("C ")


def test_validation_donors_without_labels_choose_nothing_and_it_is_said(
    few_cells: Dataset, bundle: str, sgm_home
) -> None:
    fold = donor_folds(few_cells, n_folds=3)[0]
    obs = few_cells.obs.copy()
    obs.loc[obs["donor"].isin(fold.validation), "cell_type"] = None
    obs.to_parquet(few_cells.path / "obs.parquet")
    config = finetune_config(bundle, data="few", n_folds=3, probe_epochs=2, device="cpu")
    watch, tables = Watch(), {}
    watch.table = lambda name, frame: tables.update({name: frame})  # type: ignore[method-assign]
    unlabelled = set(fold.validation)
    finetune.finetune_run(config, sgm_home / "runs" / "x", watch)
    changed = donor_folds(finetune.open_dataset("few"), n_folds=3)
    silent = [one.index for one in changed if set(one.validation) <= unlabelled]
    said = [int(line.split(":")[0].split()[1]) for line in watch.lines if "nothing is chosen" in line]
    assert said == silent
    folds = tables["folds"].set_index("fold")["chosen"]
    assert all(("no validation cells" in folds[index]) == (index in silent) for index in folds.index)


def test_a_fold_without_labelled_cells_is_refused(few_cells: Dataset) -> None:
    fold = donor_folds(few_cells, n_folds=3)[0]
    few_cells.obs.loc[few_cells.obs["donor"].isin(fold.test), "cell_type"] = None
    with pytest.raises(InputError, match="no labelled cells of its test donors"):
        labelled_rows(few_cells, fold, None)
