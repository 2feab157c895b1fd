"""Pretraining and finetuning from imported weights: what is trained, what is kept, what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from few_dataset import few

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.backbone import Backbone
from sgm_core.model.checkpoint import load_model, save_model
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.weights import load_backbone
from sgm_core.progress import Observer
from sgm_core.training import pooling, prefix, pretrain
from sgm_core.training import start as start_module
from sgm_core.training.backbones import BUNDLE_DEFAULTS
from sgm_core.training.classifier import train_classifier
from sgm_core.training.config import (
    SCHEMES,
    FinetuneConfig,
    PretrainConfig,
    finetune_config,
    pretrain_config,
)
from sgm_core.training.data import Values, model_values
from sgm_core.training.finetune import finetune_run
from sgm_core.training.labelled import labelled_rows
from sgm_core.training.pretrain import parameter_groups, prepare
from sgm_core.training.schemes import Classifier
from sgm_core.training.start import initial_state, original
from sgm_core.training.train_cells import every_cell

CPU = torch.device("cpu")
QUICK = {
    "data": "few",
    "device": "cpu",
    "batch_size": 4,
    "accumulation": 2,
    "latents": 4,
    "latent_width": 8,
    "latent_heads": 2,
    "subset": 2,
    "lr_backbone": 1e-3,
    "lr_new": 1e-3,
}


class Keep(Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, object]] = []
        self.lines: list[str] = []
        self.tables: dict[str, pd.DataFrame] = {}

    def metric(self, **values: object) -> None:
        self.metrics.append(values)

    def message(self, text: str) -> None:
        self.lines.append(text)

    def table(self, name: str, frame: pd.DataFrame) -> None:
        self.tables[name] = frame


def start(dataset: Dataset, backbone: str, arm: str = "uniform", **fields: object):
    config = pretrain_config(**{**QUICK, "backbone": backbone, **ARMS[arm], **fields})
    return config, initial_state(dataset, config, np.arange(dataset.n_cells), CPU)


@pytest.fixture
def fewest(demo_home: Path, sgm_home: Path) -> Dataset:
    """Dataset ``few`` of 60 cells: a step in the full vocabulary is slow."""
    return few(demo_home, sgm_home, step=10)


@pytest.fixture
def imported(few_cells: Dataset, bundle: str) -> tuple[MaskedModel, Values]:
    model = original(bundle, "gene")
    return model, model_values(few_cells, model, np.array(model.backbone.genes), CPU)


@pytest.mark.parametrize("arm", ("uniform", "expression+summary", "self-guided"))
def test_every_masker_trains_from_imported_weights(fewest: Dataset, bundle: str, arm: str) -> None:
    fields = {**QUICK, "backbone": bundle, "epochs": 2, **ARMS[arm]}
    watcher, fold = Keep(), donor_folds(fewest, n_folds=3)[0]
    result = pretrain.pretrain(fewest, pretrain_config(**fields), fold, watcher)
    losses = [row["validation_loss"] for row in watcher.metrics]
    assert losses[1] < 0.95 * losses[0]
    weights = load_backbone(bundle, "gene").state_dict()
    assert not torch.equal(result.model.backbone.values.table, weights["values.table"])
    counted = result.masks[result.masks["by"] == "all"]
    assert set(counted["gene"]) <= set(fewest.genes), "unmeasured genes are in no table"
    assert counted["masked"].sum() > 0 and len(counted) == len(result.genes)


def test_a_step_starts_from_the_imported_weights(few_cells: Dataset, bundle: str) -> None:
    _, ready = start(few_cells, bundle, weights_key="cell")
    for name, tensor in load_backbone(bundle, "cell").state_dict().items():
        assert torch.equal(ready.model.backbone.state_dict()[name], tensor), name


@pytest.mark.parametrize("basis", ("all", "strata"))
@pytest.mark.parametrize("arm", ("uniform", "expression+summary", "self-guided"))
def test_what_is_not_measured_is_never_masked(few_cells: Dataset, bundle: str, arm: str, basis: str) -> None:
    config, ready = start(few_cells, bundle, arm, mask_basis=basis, mask_ratio=0.9, zero_ratio=0.9)
    batch = prepare(ready.values, config, 0, 0, np.arange(6))
    masked = ready.model.draw(batch.x, batch.noise, batch.subset).masked
    assert masked.any() and not masked[:, ~torch.from_numpy(ready.values.measured)].any()


@pytest.mark.parametrize("arm", ("uniform", "expression+summary", "self-guided"))
def test_masked_values_reach_nothing(few_cells: Dataset, bundle: str, arm: str) -> None:
    """With the mask, the visible values and both read depths held fixed."""
    config, ready = start(few_cells, bundle, arm)
    batch = prepare(ready.values, config, 0, 0, np.arange(3))
    masked = ready.model.draw(batch.x, batch.noise, batch.subset).masked
    changed = torch.where(masked, 2 * batch.x.flip(1) + 0.5, batch.x)
    assert not torch.equal(changed, batch.x)
    model = ready.model.eval()
    with torch.no_grad():
        assert torch.equal(model.predict(batch.x, masked), model.predict(changed, masked))


def test_random_weights_of_the_same_shape_are_the_untrained_counterpart(
    few_cells: Dataset, bundle: str
) -> None:
    config, imported = start(few_cells, bundle)
    random = initial_state(few_cells, config, np.arange(9), CPU, random=True)
    assert random.names.tolist() == imported.names.tolist()
    assert random.model.backbone.config == imported.model.backbone.config
    assert not torch.equal(random.model.backbone.norm.weight, imported.model.backbone.norm.weight)


def test_two_groups_hold_every_parameter_once(few_cells: Dataset, bundle: str) -> None:
    config, ready = start(few_cells, bundle, "self-guided", lr_backbone=1e-5, lr_new=1e-4)
    backbone, new = parameter_groups(ready.model, config)
    assert (backbone["lr"], new["lr"]) == (1e-5, 1e-4)
    assert len(backbone["params"]) == len(list(ready.model.backbone.parameters()))
    assert {id(p) for p in new["params"]} == {
        id(p) for name, p in ready.model.named_parameters() if not name.startswith("backbone.")
    }


def test_imported_weights_have_rates_of_their_own(bundle: str) -> None:
    config = pretrain_config(data="few", backbone=bundle)
    assert {name: getattr(config, name) for name in BUNDLE_DEFAULTS["pretrain"]} == BUNDLE_DEFAULTS[
        "pretrain"
    ]
    assert pretrain_config(backbone=bundle, lr_backbone=3e-4).lr_backbone == 3e-4
    paper = pretrain_config("paper", backbone=bundle)
    assert (paper.batch_size, paper.accumulation, paper.lr_backbone) == (1, 5, 1e-5)
    assert pretrain_config().lr_backbone == 1e-3
    assert (finetune_config(bundle).lr, finetune_config().lr) == (1e-4, 1e-3)
    assert finetune_config(bundle, run="x").lr == 1e-4, "a run that started from them"


def gradients(model: MaskedModel) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def test_accumulated_gradients_are_the_mean_of_the_batches(few_cells: Dataset, bundle: str) -> None:
    """Two batches of two: their mean. A batch of four: the same weighted by masked positions."""
    config, ready = start(few_cells, bundle)
    model, whole = ready.model, prepare(ready.values, config, 0, 0, np.arange(4))
    masked = model.draw(whole.x, whole.noise, whole.subset).masked
    halves, counts = [], []
    for half in (slice(0, 2), slice(2, 4)):
        model(whole.x[half], masked[half]).loss.backward()
        halves.append(gradients(model))
        counts.append(float(masked[half].sum()))
    for half in (slice(0, 2), slice(2, 4)):
        (model(whole.x[half], masked[half]).loss / 2).backward()
    accumulated = gradients(model)
    model(whole.x, masked).loss.backward()
    together = gradients(model)
    assert counts[0] != counts[1]
    for name, first in halves[0].items():
        second, scale = halves[1][name], first.abs().max() + 1e-12
        assert (accumulated[name] - (first + second) / 2).abs().max() < 1e-5 * scale, name
        weighted = (counts[0] * first + counts[1] * second) / sum(counts)
        assert (together[name] - weighted).abs().max() < 1e-4 * scale, name


def test_recomputing_gives_the_same_gradients(few_cells: Dataset, bundle: str) -> None:
    found = []
    for recompute in (False, True):
        config, ready = start(few_cells, bundle, "self-guided", recompute=recompute)
        assert ready.model.backbone.recompute == recompute
        batch = prepare(ready.values, config, 0, 0, np.arange(4))
        masked = ready.model.draw(batch.x, batch.noise, batch.subset).masked
        ready.model(batch.x, masked).loss.backward()
        found.append(gradients(ready.model))
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], rtol=1e-4, atol=1e-7), name


def test_features_are_redrawn_at_the_interval(
    fewest: Dataset, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    forward = MaskedModel.forward

    def watch(self: MaskedModel, *inputs: torch.Tensor):
        if self.training:
            seen.append(self.backbone.decoder[0].attention.projection.clone())
        return forward(self, *inputs)

    monkeypatch.setattr(MaskedModel, "forward", watch)
    config = pretrain_config(
        **{**QUICK, "backbone": bundle, "epochs": 1, "redraw_interval": 4}, **ARMS["uniform"]
    )
    for _ in range(2):
        pretrain.pretrain(fewest, config, donor_folds(fewest, n_folds=3)[0])
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), "a seed, one sequence"
    changed = [i for i in range(1, len(first)) if not torch.equal(first[i], first[i - 1])]
    assert len(first) > 8 and changed == list(range(4, len(first), 4))


def test_official_redraws_are_counted_on_from_the_weights(
    fewest: Dataset, bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The released file stores how many steps its features are old; its code draws new ones at 1,000."""
    load, drawn = start_module.load_backbone, []

    def aged(*arguments: str) -> Backbone:
        backbone = load(*arguments)
        backbone.redraw_calls.fill_(997)
        return backbone

    monkeypatch.setattr(start_module, "load_backbone", aged)
    monkeypatch.setattr(Backbone, "redraw_features", lambda self, generator: drawn.append(len(seen)))
    forward, seen = MaskedModel.forward, []

    def watch(self: MaskedModel, *inputs: torch.Tensor):
        if self.training:
            seen.append(self.backbone.config.compat)
        return forward(self, *inputs)

    monkeypatch.setattr(MaskedModel, "forward", watch)
    quick = {**QUICK, "backbone": bundle, "epochs": 1, "compat": "official"}
    config = pretrain_config(**quick, **ARMS["uniform"])
    result = pretrain.pretrain(fewest, config, donor_folds(fewest, n_folds=3)[0])
    assert drawn == [3] and set(seen) == {"official"}
    assert int(result.model.backbone.redraw_calls) == len(seen) - 3


def test_downsampling_trains(few_cells: Dataset, bundle: str) -> None:
    config, ready = start(few_cells, bundle, downsample=1.0)
    batch = prepare(ready.values, config, 0, 0, np.arange(5))
    assert torch.equal(batch.target, ready.values.batch(np.arange(5))), "the target is the original"
    assert (batch.x[:, -1] < batch.target[:, -1]).any()
    assert torch.equal(batch.x[:, -2], batch.target[:, -1])
    validation = prepare(ready.values, config, 1, 0, np.arange(5))
    assert torch.equal(validation.x, validation.target), "validation is never thinned"


def test_a_size_with_depth_tokens_trains_and_comes_back(few_cells: Dataset, tmp_path: Path) -> None:
    fields = {**QUICK, "n_genes": 60, "depth_tokens": True, "downsample": 0.5, "epochs": 1}
    config = PretrainConfig(**fields)
    result = pretrain.pretrain(few_cells, config, donor_folds(few_cells, n_folds=3)[0])
    assert result.model.eligible.tolist() == [True] * 60 + [False] * 2
    save_model(tmp_path, result.model, result.names, "self-guided")
    model, names, _ = load_model(tmp_path)
    values = model_values(few_cells, model, names, CPU)
    rows = np.arange(9)
    before = pooling.pooled_vectors(result.model, values, rows)
    assert values.n_positions == 62 and np.array_equal(before, pooling.pooled_vectors(model, values, rows))
    assert not (tmp_path / "LICENCE.txt").exists()


def changed(model: MaskedModel, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("scheme", SCHEMES[1:])
@pytest.mark.parametrize("cache", (True, False), ids=("cached", "uncached"))
def test_a_scheme_changes_its_own_parameters_alone(
    few_cells: Dataset, imported: tuple[MaskedModel, Values], scheme: str, cache: bool
) -> None:
    model, values = imported
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train, _, test, labels = labelled_rows(few_cells, donor_folds(few_cells, n_folds=3)[0], None)
    classes, codes = np.unique(labels.iloc[train].astype(str), return_inverse=True)
    config = FinetuneConfig(scheme=scheme, epochs=1, batch_size=8, cache=cache, device="cpu")
    got, _ = train_classifier(
        model, values, every_cell(train), codes, train[:0], codes[:0], test, len(classes), config
    )
    assert got.shape == (len(test), len(classes)) and np.allclose(got.sum(1), 1, atol=1e-5)
    block = {"partial": 1, "last-block": 1, "official": 0}[scheme]
    trained = {name for name in before if name.startswith(f"backbone.blocks.{block}.")}
    if scheme == "partial":
        trained |= {name for name in before if name.startswith(("backbone.values.", "backbone.positions."))}
        # no cell is masked or padded while finetuning
        trained -= {"backbone.values.masked", "backbone.values.pad"}
    assert changed(model, before) == trained


@pytest.mark.parametrize(
    "scheme, compat", [("last-block", "corrected"), ("official", "corrected"), ("official", "official")]
)
def test_the_cache_changes_nothing(
    few_cells: Dataset, imported: tuple[MaskedModel, Values], scheme: str, compat: str
) -> None:
    model, values = imported
    # a maximum may fall on another token of nearly the same value, which moves its gradient: compare the mean
    model.backbone.config = replace(model.backbone.config, pool=("gene-mean",))
    config = FinetuneConfig(scheme=scheme, compat=compat, dropout=0.0, device="cpu")
    classifier, rows = Classifier(model, values, 5, config), np.array([7, 1, 30, 4])
    classifier.train(True)
    known, found = torch.tensor([0, 3, 1, 4]), []
    with prefix.stored(classifier.prefix, np.arange(40)) as store:
        for source in (None, store):
            loss = torch.nn.functional.cross_entropy(
                classifier.logits(*classifier.entered(rows, source)), known
            )
            loss.backward()
            found.append((float(loss.detach()), [p.grad.clone() for p in classifier.parameters()]))
            classifier.model.zero_grad()
            classifier.head.zero_grad()
    (plain, exact), (kept, near) = found
    assert kept == pytest.approx(plain, rel=1e-3)
    for one, other in zip(exact, near, strict=True):
        assert (one - other).norm() <= 0.05 * one.norm() + 1e-6, "float16 on disk"


def test_official_finetuning_reads_its_padding_and_ours_does_not(
    imported: tuple[MaskedModel, Values],
) -> None:
    model, values = imported
    cells = values.batch(np.arange(21))
    later = (cells > 0).cumsum(1) > 5
    cells[:-1] = cells[:-1].masked_fill(later[:-1], 0)  # among few tokens, padding often has the maximum
    logits = {}
    for compat in ("corrected", "official"):
        config = FinetuneConfig(scheme="official", compat=compat, device="cpu")
        classifier = Classifier(model, values, 3, config)
        classifier.train(False)
        with torch.no_grad():
            alone = torch.cat([classifier.logits(cell[None]) for cell in cells])
            beside = classifier.logits(cells)
        logits[compat] = alone
        assert torch.allclose(alone, beside, atol=1e-5) == (compat == "corrected")
    assert torch.allclose(logits["official"], logits["corrected"], atol=1e-5), "alone there is no padding"


def test_one_cell_at_a_time_trains(few_cells: Dataset, imported: tuple[MaskedModel, Values]) -> None:
    model, values = imported
    train, codes = np.arange(24), np.arange(24) % 3
    config = FinetuneConfig(scheme="last-block", epochs=2, batch_size=1, accumulation=5, device="cpu")
    watcher = Keep()
    got, _ = train_classifier(
        model, values, every_cell(train), codes, train, codes, train, 3, config, watcher
    )
    assert np.isfinite(got).all() and all(np.isfinite(row["train_loss"]) for row in watcher.metrics)


def test_a_full_disk_is_refused_with_what_to_do(
    imported: tuple[MaskedModel, Values], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, values = imported
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr(prefix.shutil, "disk_usage", lambda _: usage)
    ready = prefix.Prefix(model, values, 1, False)
    with pytest.raises(InputError, match=r"0\.0 GB free .* cache=false"), prefix.stored(ready, np.arange(9)):
        pass


def test_what_was_kept_is_deleted_even_after_a_failure(
    imported: tuple[MaskedModel, Values], sgm_home: Path
) -> None:
    ready = prefix.Prefix(imported[0], imported[1], 1, False)
    with pytest.raises(ZeroDivisionError), prefix.stored(ready, np.arange(9)):
        assert list((sgm_home / "tmp").iterdir()) == [], "the file is mapped and has no name any more"
        raise ZeroDivisionError
    assert list((sgm_home / "tmp").iterdir()) == []


def test_the_probe_encodes_each_cell_once_for_all_folds(
    few_cells: Dataset, bundle: str, sgm_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = MaskedModel.encode

    def count(self: MaskedModel, values: torch.Tensor, keep_summary: bool, parts=None):
        encoded.append(len(values))
        return encode(self, values, keep_summary, parts)

    monkeypatch.setattr(MaskedModel, "encode", count)
    watcher = Keep()
    config = finetune_config(bundle, data="few", n_folds=3, probe_epochs=2, device="cpu")
    finetune_run(config, sgm_home / "runs" / "here", watcher)
    assert sum(encoded) == few_cells.labels().notna().sum()
    assert list(watcher.tables["folds"]["fold"]) == [0, 1, 2]
    assert set(watcher.tables["folds"]["arm"]) == {"original"}
    assert any("unknown" in line and bundle in line for line in watcher.lines), "its corpus is stated"


def test_a_corpus_that_is_known_is_stated(few_cells: Dataset, bundle: str) -> None:
    from sgm_core.training.backbones import corpus_sentence

    known = replace(few_cells, meta={**few_cells.meta, "pretraining_corpora": {bundle: "yes"}})
    assert "optimistic" in corpus_sentence(known, bundle)


def test_a_pretraining_run_from_imported_weights_is_finetuned(
    fewest: Dataset, bundle: str, sgm_home: Path
) -> None:
    folder = sgm_home / "runs" / "one"
    folder.mkdir(parents=True)
    config = pretrain_config(**{**QUICK, "backbone": bundle, "epochs": 1}, fold=0, n_folds=3)
    (folder / "config.json").write_text(json.dumps({"kind": "pretrain", "parameters": config.to_dict()}))
    pretrain.pretrain_run(config, folder, Keep())
    model, names, arm = load_model(folder / "checkpoint")
    assert arm == "self-guided" and model.backbone.genes == tuple(names) and len(names) == 19264
    assert "non-commercial" in (folder / "checkpoint" / "LICENCE.txt").read_text()
    described = json.loads((folder / "checkpoint" / "model.json").read_text())
    assert described["weights"] == {"name": bundle, "key": "gene"}
    watcher = Keep()
    finetune_run(
        finetune_config(bundle, run="one", scheme="last-block", epochs=1, device="cpu"),
        sgm_home / "runs" / "two",
        watcher,
    )
    assert list(watcher.tables["folds"]["fold"]) == [0]


def test_wrong_requests_say_what_to_do(few_cells: Dataset, bundle: str, sgm_home: Path) -> None:
    with pytest.raises(InputError, match=f"choose a size .dense, tiny, small. or imported weights .{bundle}"):
        PretrainConfig(backbone="huge")
    with pytest.raises(InputError, match="give one"):
        FinetuneConfig(run="x", backbone=bundle)
    with pytest.raises(InputError, match="nothing to finetune"):
        finetune_run(FinetuneConfig(), sgm_home / "runs" / "x", Keep())
    with pytest.raises(InputError, match="give --data"):
        finetune_run(finetune_config(bundle), sgm_home / "runs" / "x", Keep())
    with pytest.raises(InputError, match="trained from scratch"):
        finetune_run(finetune_config("tiny", data="few"), sgm_home / "runs" / "x", Keep())
    with pytest.raises(InputError, match="the arm 'original' is imported weights"):
        CompareConfig(data="few", arms=("original",))
    with pytest.raises(InputError, match="belongs to the scheme 'official'"):
        FinetuneConfig(compat="official")
    with pytest.raises(InputError, match="max_tokens"):
        start(few_cells, bundle, max_tokens=20)
    with pytest.raises(NotFoundError, match="no set 'rde'"):
        (sgm_home / "weights" / bundle / "rde.safetensors").unlink()
        meta = sgm_home / "weights" / bundle / "bundle.json"
        described = json.loads(meta.read_text())
        meta.write_text(json.dumps(described | {"keys": ["cell", "gene"]}))
        start(few_cells, bundle, weights_key="rde")


def test_a_backbone_of_one_block_has_no_second_to_last(few_cells: Dataset) -> None:
    _, ready = start(few_cells, "tiny", n_genes=50)
    with pytest.raises(InputError, match="one block"):
        Classifier(ready.model, ready.values, 3, FinetuneConfig(scheme="official", device="cpu"))


def test_default_arms_follow_the_backbone(bundle: str) -> None:
    imported = CompareConfig.from_dict({"data": "few", "backbone": bundle})
    assert imported.arms == ("original", "uniform", "uniform+summary", "self-guided")
    assert imported.schemes == ("linear-probe", "partial")
    assert "original" not in CompareConfig.from_dict({"data": "few"}).arms
