"""Training: no test donor is seen, a seed gives one model, what is counted is right."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import donor_folds, fold_cells
from sgm_core.comparison.config import ARMS
from sgm_core.device import pick_device
from sgm_core.errors import InputError
from sgm_core.model.checkpoint import load_model, save_model
from sgm_core.progress import Observer
from sgm_core.training.classifier import class_weights, train_classifier
from sgm_core.training.config import PRESETS, FinetuneConfig, PretrainConfig, pretrain_config
from sgm_core.training.data import Values, batches, informative_genes
from sgm_core.training.labelled import labelled_rows
from sgm_core.training.pooling import pooled_vectors
from sgm_core.training.pretrain import arm_name, prepare, pretrain, pretrain_cells
from sgm_core.training.probe import probe
from sgm_core.training.train_cells import every_cell
from sgm_core.training.validation import encode_classes

SMALL = {
    "backbone": "tiny",
    "n_genes": 80,
    "latents": 4,
    "latent_width": 16,
    "latent_heads": 2,
    "subset": 2,
    "epochs": 2,
    "device": "cpu",
}


class Watcher(Observer):
    """Remembers the metrics."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def metric(self, **values: object) -> None:
        self.rows.append(values)


@pytest.fixture(scope="module")
def pretrained(demo_home: Path):
    """A pretraining that several tests look at: dataset, config, fold, result and what was reported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(demo_home))
        dataset = open_dataset("small")
        watcher, config = Watcher(), PretrainConfig(data=dataset.name, **SMALL)
        fold = donor_folds(dataset, n_folds=3)[1]
        yield dataset, config, fold, pretrain(dataset, config, fold, watcher), watcher


def test_pretraining_learns_and_reports(pretrained) -> None:
    _, config, _, result, watcher = pretrained
    losses = [row["validation_loss"] for row in watcher.rows]
    assert len(losses) == config.epochs and losses[-1] < losses[0]
    assert all(0 < row["effective_share"] <= 1 for row in watcher.rows)
    assert list(result.mask_cells["epoch"]) == [0, 1, 2], "and what was drawn before the first step"


def test_counts_add_up(pretrained) -> None:
    ds, config, fold, result, _ = pretrained
    train, _ = pretrain_cells(ds, fold)
    masks = result.masks
    everything = masks[masks["by"] == "all"]
    assert len(everything) == len(result.genes)
    assert (everything["opportunities"] == len(train) * config.epochs).all()
    for by in ("epoch", "donor", "timepoint", "condition", "malignant"):
        summed = masks[masks["by"] == by].groupby("gene")["masked"].sum()
        assert np.allclose(summed[everything["gene"]], everything["masked"]), by
    assert np.isclose(everything["expected"].sum(), everything["masked"].sum()), "the null has the same k"
    values = ds.lognorm(train, result.genes)
    assert np.allclose(everything["value_sum"], config.epochs * np.asarray(values.sum(0)).ravel(), rtol=1e-4)
    tested = masks[(masks["by"] == "donor") & masks["level"].isin(fold.test)]
    assert (tested["opportunities"] == 0).all(), "a test donor was never masked"


def test_bf16_runs_and_stays_close(pretrained, few_cells: Dataset) -> None:
    ds, _, _, result, _ = pretrained
    values = Values(ds, result.genes, torch.device("cpu"))
    rows = np.arange(40)
    full = pooled_vectors(result.model, values, rows)
    half = pooled_vectors(result.model, values, rows, precision="bf16")
    cosine = (full * half).sum(1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() > 0.999
    fold = donor_folds(few_cells, n_folds=3)[1]
    config = PretrainConfig(data="few", **SMALL | {"epochs": 1, "precision": "bf16"})
    watcher = Watcher()
    pretrain(few_cells, config, fold, watcher)
    assert np.isfinite(watcher.rows[0]["validation_loss"])


def test_the_test_donors_reach_nothing(few_cells: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row that pretraining touches belongs to a donor that is not tested."""
    ds = few_cells
    fold = donor_folds(ds, n_folds=3)[0]
    touched: list[np.ndarray] = []
    original = Values.batch

    def batch(self: Values, rows: np.ndarray) -> torch.Tensor:
        touched.append(rows)
        return original(self, rows)

    monkeypatch.setattr(Values, "batch", batch)
    pretrain(ds, PretrainConfig(data=ds.name, **SMALL | {"epochs": 1}), fold)
    donors = set(ds.donors().iloc[np.unique(np.concatenate(touched))])
    assert donors and donors.isdisjoint(fold.test)
    *parts, _ = labelled_rows(ds, fold, None)
    for rows, names in zip(parts, (fold.train, fold.validation, fold.test), strict=True):
        assert set(ds.donors().iloc[rows]) == set(names)
    assert ds.labels().iloc[np.concatenate(parts)].notna().all(), "cells without a label are left out"


def test_the_same_seed_gives_the_same_model(pretrained) -> None:
    ds, config, fold, result, _ = pretrained
    again = pretrain(ds, config, fold).model.state_dict()
    for name, tensor in result.model.state_dict().items():
        assert torch.equal(tensor, again[name]), name


def test_gradients_do_not_depend_on_which_thread_comes_first(pretrained) -> None:
    """Sums over the tokens of a gene or cell once ran in racing threads, and no two runs were alike."""
    ds, config, _, result, _ = pretrained
    model, rows, threads = copy.deepcopy(result.model), np.arange(32), torch.get_num_threads()
    values = Values(ds, result.genes, torch.device("cpu"))
    batch = prepare(values, config, 0, 0, rows)
    masked = model.draw(batch.x, batch.noise, batch.subset).masked
    torch.set_num_threads(2)
    try:
        found = []
        for _ in range(12):
            model.zero_grad()
            model(batch.x, masked).loss.backward()
            found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def test_gradient_accumulation_takes_every_cell(few_cells: Dataset) -> None:
    fold = donor_folds(few_cells, n_folds=3)[0]
    cells = len(pretrain_cells(few_cells, fold)[0])
    steps = next(steps for steps in (3, 4, 5) if -(-cells // 8) % steps)  # the last update has fewer
    fields = SMALL | {"epochs": 1, "batch_size": 8, "accumulation": steps, "patience": 1}
    config = PretrainConfig(data="few", **fields | {"masker": "uniform", "summary": "none"})
    result = pretrain(few_cells, config, fold)
    assert result.masks["opportunities"].max() == cells


def test_a_checkpoint_comes_back_whole(pretrained, tmp_path) -> None:
    ds, _, _, result, _ = pretrained
    save_model(tmp_path, result.model, ds.genes[result.genes], "self-guided")
    model, genes, arm = load_model(tmp_path)
    assert arm == "self-guided" and list(genes) == list(ds.genes[result.genes])
    for name, tensor in result.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    (tmp_path / "weights.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(InputError, match="damaged"):
        load_model(tmp_path)


def test_partial_finetuning_changes_what_the_paper_trains_and_nothing_else(pretrained) -> None:
    ds, _, fold, result, _ = pretrained
    model = copy.deepcopy(result.model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    values = Values(ds, result.genes, torch.device("cpu"))
    train, _, test, labels = labelled_rows(ds, fold, None)
    classes, codes = np.unique(labels.iloc[train].astype(str), return_inverse=True)
    config = FinetuneConfig(epochs=1, device="cpu", scheme="partial")
    probabilities, _ = train_classifier(
        model, values, every_cell(train), codes, train[:0], codes[:0], test, len(classes), config
    )
    assert probabilities.shape == (len(test), len(classes))
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    last = f"backbone.blocks.{len(model.backbone.blocks) - 1}."
    trained = ("backbone.values.", "backbone.positions.", last)
    for name, tensor in model.state_dict().items():
        if name == "backbone.values.masked":
            continue  # no cell is masked while finetuning, so the mask vector has no gradient
        assert torch.equal(tensor, before[name]) != name.startswith(trained), name


def test_a_probe_learns_real_structure(pretrained) -> None:
    ds, _, fold, result, _ = pretrained
    values = Values(ds, result.genes, torch.device("cpu"))
    *parts, labels = labelled_rows(ds, fold, None)
    classes, codes, known, chosen_by = encode_classes(labels.iloc[parts[0]], labels.iloc[parts[1]])
    train, validation, test = (pooled_vectors(result.model, values, rows) for rows in parts)
    config, true = FinetuneConfig(device="cpu", probe_epochs=30), labels.iloc[parts[2]].to_numpy()
    right = []
    for taught in (codes, np.random.default_rng(0).permutation(codes)):
        got, _ = probe(train, taught, validation[known], chosen_by, test, len(classes), config)
        right.append((classes[got.argmax(1)] == true).mean())
    assert right[0] > 2 * right[1]


def test_pooled_vectors_come_in_the_order_of_the_rows(pretrained) -> None:
    ds, _, _, result, _ = pretrained
    values = Values(ds, result.genes, torch.device("cpu"))
    rows = np.array([17, 3, 99, 42])
    together = pooled_vectors(result.model, values, rows)
    for row, vector in zip(rows, together):
        assert np.allclose(pooled_vectors(result.model, values, np.array([row]))[0], vector, atol=1e-4)


def test_batches_cover_every_cell_once() -> None:
    rows, lengths = np.arange(5, 205), np.random.default_rng(0).integers(1, 90, 300)
    for rng in (None, np.random.default_rng(1)):
        got = list(batches(rows, lengths, 16, rng))
        assert sorted(np.concatenate(got)) == list(rows)
        assert max(map(len, got)) == 16
    padded = sum(len(b) * lengths[b].max() for b in batches(rows, lengths, 16, np.random.default_rng(1)))
    assert padded < 1.3 * lengths[rows].sum(), "cells of similar length come together"


def test_genes_are_chosen_on_the_training_cells_alone(demo_dataset: Dataset) -> None:
    fold = donor_folds(demo_dataset, n_folds=3)[0]
    train, _, _ = fold_cells(demo_dataset, fold)
    genes = informative_genes(demo_dataset, train, 100)
    assert len(genes) == 100 and (np.diff(genes) > 0).all()
    x = demo_dataset.lognorm(train).toarray()
    ratio = np.where((x > 0).mean(0) >= 0.01, x.var(0) / np.maximum(x.mean(0), 1e-9), -1)
    assert ratio[genes].min() >= np.delete(ratio, genes).max() - 1e-6


def test_presets_and_fields_are_checked() -> None:
    assert set(PRESETS) == {"sgm", "paper", "authors"}
    for preset in PRESETS:
        assert pretrain_config(preset, data="x").preset == preset
    assert pretrain_config("paper").latents == 128
    with pytest.raises(InputError, match="unknown field 'epoch'"):
        pretrain_config("sgm", epoch=3)
    with pytest.raises(InputError, match="mask_basis is 'some'"):
        pretrain_config("sgm", mask_basis="some")
    with pytest.raises(InputError, match="epochs is 'many'"):
        pretrain_config("sgm", epochs="many")
    with pytest.raises(InputError, match="epochs is -1: it must be at least 1"):
        pretrain_config("sgm", epochs=-1)
    config = pretrain_config("sgm", epochs="3", patience="none", lr_new="1e-4", fold="2")
    assert (config.epochs, config.patience, config.lr_new, config.fold) == (3, None, 1e-4, 2)
    assert PretrainConfig.from_dict(config.to_dict()) == config


def test_arms_have_their_names() -> None:
    for name, fields in ARMS.items():
        if fields:
            assert arm_name(PretrainConfig(**fields)) == name


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match="not on this machine"):
        pick_device("cuda:99")
    with pytest.raises(InputError, match="not known"):
        pick_device("abacus")


def test_class_weights_average_to_one_over_the_cells() -> None:
    codes = np.repeat([0, 1, 2], [90, 9, 1])
    weights = class_weights(codes, 3).numpy()
    assert weights[codes].mean() == pytest.approx(1)
    assert weights[2] > weights[1] > weights[0]


def test_shared_pretraining_trains_on_all_donors(demo_dataset: Dataset) -> None:
    train, validation = pretrain_cells(demo_dataset, None)
    assert set(train).isdisjoint(validation) and len(train) + len(validation) == demo_dataset.n_cells
    assert set(demo_dataset.donors().iloc[train]) == set(demo_dataset.donors())
