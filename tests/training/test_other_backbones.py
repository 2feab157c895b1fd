"""scGPT and scBERT in masked pretraining and finetuning, through what trains scFoundation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from other_bundles import KINDS, other_bundle

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import donor_folds
from sgm_core.comparison.config import ARMS
from sgm_core.errors import InputError
from sgm_core.model.checkpoint import load_model, save_model
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.scgpt import ScGPT
from sgm_core.model.strategies import NEED_VALUES
from sgm_core.model.weights import load_backbone
from sgm_core.progress import Observer
from sgm_core.training import pretrain
from sgm_core.training.classifier import train_classifier
from sgm_core.training.config import MASKERS, SCHEMES, FinetuneConfig, finetune_config, pretrain_config
from sgm_core.training.data import model_values
from sgm_core.training.finetune import finetune_run
from sgm_core.training.labelled import labelled_rows
from sgm_core.training.pooling import pooled_vectors
from sgm_core.training.start import initial_state, original
from sgm_core.training.train_cells import every_cell

CPU = torch.device("cpu")
QUICK = {"data": "few", "device": "cpu", "latents": 4, "latent_width": 16, "subset": 2, "epochs": 2}
RATES = {"lr_backbone": 1e-3, "lr_new": 1e-3, "batch_size": 8, "accumulation": 1}
GENES = 250


class Keep(Observer):
    def __init__(self) -> None:
        self.metrics: list[dict] = []
        self.said: list[str] = []
        self.tables: dict[str, pd.DataFrame] = {}

    def metric(self, **row: object) -> None:
        self.metrics.append(row)

    def message(self, text: str) -> None:
        self.said.append(text)

    def table(self, name: str, table: pd.DataFrame) -> None:
        self.tables[name] = table


@pytest.fixture
def few_cells(few_cells: Dataset) -> Dataset:
    """The dataset with counts to the fourth power: values of all of scBERT's classes."""
    folder = few_cells.path
    counts = np.load(folder / "counts.npy")
    deep = (np.minimum(counts, 12).astype(np.int64) ** 4).astype(counts.dtype)
    assert deep.max() > 1e4
    np.save(folder / "counts.npy", deep)
    indptr, totals = np.load(folder / "indptr.npy"), np.load(folder / "totals.npy")
    np.save(folder / "totals.npy", np.add.reduceat(deep.astype(np.float64), indptr[:-1]).astype(totals.dtype))
    document = json.loads((folder / "dataset.json").read_text())
    document["content_hash"] = "deep" + document["content_hash"][4:]
    (folder / "dataset.json").write_text(json.dumps(document))
    return open_dataset("few")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, few_cells: Dataset, shared: Path, tmp_path: Path) -> str:
    """Imported weights that know a quarter of the dataset's genes, and ten that it lacks."""
    genes = [f"OTHER{i}" for i in range(10)] + list(map(str, few_cells.genes[: GENES - 10]))
    other_bundle(request.param, genes, shared, tmp_path / "files")
    return request.param


def start(dataset: Dataset, kind: str, arm: str = "uniform", **fields: object):
    config = pretrain_config(**{**QUICK, "backbone": kind, **ARMS[arm], **fields})
    return config, initial_state(dataset, config, np.arange(dataset.n_cells), CPU)


@pytest.mark.parametrize("masker", (*MASKERS, "self-guided, guided by errors"))
def test_every_masker_trains(few_cells: Dataset, kind: str, masker: str) -> None:
    masker, _, guided = masker.partition(",")
    fields = {**QUICK, **RATES, "backbone": kind, "masker": masker, "n_folds": 3}
    fields |= {"guide": "error"} if guided else {}
    if masker in NEED_VALUES:
        with pytest.raises(InputError, match="predicts classes"):
            pretrain_config(**fields)
        return
    config, watcher = pretrain_config(**fields), Keep()
    assert config.zero_ratio == 0
    result = pretrain.pretrain(few_cells, config, donor_folds(few_cells, n_folds=3)[0], watcher)
    losses = [row["validation_loss"] for row in watcher.metrics]
    assert np.isfinite(losses).all()
    if masker == "uniform":  # others hide harder genes as they learn
        assert losses[1] < losses[0]
    weights = load_backbone(kind).state_dict()
    moved = [
        name
        for name, tensor in result.model.backbone.state_dict().items()
        if not torch.equal(tensor, weights[name])
    ]
    assert {name.split(".")[0] for name in moved} >= {"values", "blocks"}
    assert ("positions.weight" in moved) == (kind == "scgpt")
    counted = result.masks[result.masks["by"] == "all"]
    assert set(counted["gene"]) <= set(few_cells.genes), "unmeasured genes are in no table"
    assert counted["masked"].sum() == counted["masked_nonzero"].sum() > 0, "no zero is hidden"
    assert len(result.reconstruction) == 0 and "predicts classes" in watcher.said[-1]


def test_what_may_be_hidden(few_cells: Dataset, kind: str) -> None:
    """Measured genes; of scBERT's, those whose class is not zero, which is fewer than are expressed."""
    config, ready = start(few_cells, kind, mask_ratio=0.9)
    model, batch = ready.model, pretrain.prepare(ready.values, config, 0, 0, np.arange(20))
    drawn = model.draw(batch.x, batch.noise, batch.subset)
    codes = model.backbone.codes(batch.x)
    nonzero = (codes > 0) & torch.from_numpy(ready.values.measured)
    assert torch.equal(drawn.masked & nonzero, drawn.masked)
    assert torch.equal(drawn.masked.sum(1), (0.9 * nonzero.sum(1)).round().long())
    assert not drawn.eligible[:, -1].any() and not drawn.eligible[:, :10].any()
    low = (batch.x > 0) & (codes == 0)  # expressed, and of class zero
    assert bool(low.any()) == (kind == "scbert")
    # chance is counted over what could be drawn
    assert not drawn.eligible[low].any()


@pytest.mark.parametrize("arm", ("uniform", "self-guided"))
def test_hidden_codes_reach_nothing(few_cells: Dataset, kind: str, arm: str) -> None:
    _, ready = start(few_cells, kind, arm)
    model = ready.model.eval()
    backbone, x = model.backbone, ready.values.batch(np.arange(4))
    codes = backbone.codes(x)
    masked = (codes > 0) & (torch.rand(codes.shape, generator=torch.Generator().manual_seed(1)) < 0.4)
    masked &= model.eligible
    other = torch.where(masked, codes.max() + 1 - codes, codes)
    assert not torch.equal(codes, other)
    with torch.no_grad():
        made = []
        for one in (codes, other):
            encoded, added, _ = model._encode_masked(one, masked)
            made.append(backbone.decode(encoded, masked, None, added))
    assert torch.equal(*made)


def test_latents_attend_over_the_models_own_tokens(few_cells: Dataset, kind: str) -> None:
    """The attention of the split tokens is that of the whole ones, zeros and hidden genes among them."""
    _, ready = start(few_cells, kind, "self-guided", key_init="random")
    model, backbone = ready.model, ready.model.backbone
    x = ready.values.batch(np.arange(3))
    codes, rows = backbone.codes(x), backbone.gene_rows()
    masked = (codes > 0) & (torch.arange(codes.shape[1]) % 3 == 0)
    with torch.no_grad():
        vectors = torch.where(masked.unsqueeze(-1), backbone.values.masked, backbone.values(codes))
        tokens = vectors + rows
        latents = model.latents
        q = latents.query(latents.latents).unflatten(-1, (latents.heads, -1)).transpose(0, 1)
        k = latents.key(tokens).unflatten(-1, (latents.heads, -1)).transpose(1, 2)
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        expected = logits.masked_fill(~model.eligible, -torch.inf).softmax(-1)
        found = latents.attention(latents.see(backbone, codes, masked), model.eligible)
        assert torch.allclose(found, expected, atol=1e-6) and expected.std() > 1e-5
        # of a whole cell the encoder's own tokens are these
        whole = backbone.embed_tokens(codes, backbone.shown(codes))
        own = (backbone.values(codes) + rows)[whole.cell, whole.at]
        assert torch.allclose(whole.tokens, own, atol=1e-5)


@pytest.mark.parametrize("scheme", ("partial", "last-block"))
def test_finetuning_from_a_run(few_cells: Dataset, kind: str, sgm_home: Path, scheme: str) -> None:
    folder = sgm_home / "runs" / "one"
    folder.mkdir(parents=True)
    config = pretrain_config(**{**QUICK, **RATES, "backbone": kind, "epochs": 1}, fold=0, n_folds=3)
    document = {"kind": "pretrain", "parameters": config.to_dict()}
    (folder / "config.json").write_text(json.dumps(document))
    pretrain.pretrain_run(config, folder, Keep())
    model, names, arm = load_model(folder / "checkpoint")
    assert (arm, model.backbone.config.kind, len(names)) == ("self-guided", kind, GENES)
    licence = (folder / "checkpoint" / "LICENCE.txt").read_text()
    assert {"scgpt": "No licence is stated", "scbert": "GNU General Public"}[kind] in licence
    given = finetune_config(kind, run="one", scheme=scheme, epochs=1, device="cpu", batch_size=8)
    watcher = Keep()
    finetune_run(given, sgm_home / "runs" / "two", watcher)
    assert list(watcher.tables["folds"]["fold"]) == [0]


@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_a_scheme_changes_its_own_parameters_alone(few_cells: Dataset, kind: str, scheme: str) -> None:
    model = original(kind, "gene")
    values = model_values(few_cells, model, np.array(model.backbone.genes), CPU)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train, _, test, labels = labelled_rows(few_cells, donor_folds(few_cells, n_folds=3)[0], None)
    classes, codes = np.unique(labels.iloc[train].astype(str), return_inverse=True)
    config = FinetuneConfig(scheme=scheme, epochs=1, batch_size=8, device="cpu")
    got, _ = train_classifier(
        model, values, every_cell(train), codes, train[:0], codes[:0], test, len(classes), config
    )
    assert got.shape == (len(test), len(classes)) and np.allclose(got.sum(1), 1, atol=1e-5)
    embeddings = ("values.", "positions.", "gene_norm.") if kind == "scgpt" else ("values.",)
    own = {
        "partial": ("blocks.1.", *embeddings),
        "last-block": ("blocks.1.",),
        # scGPT's own code trains all, scBERT's the second-to-last block and the norm
        "official": ("blocks.", *embeddings) if kind == "scgpt" else ("blocks.0.", "norm."),
    }[scheme]
    trained = {name for name in before if name.startswith(tuple(f"backbone.{one}" for one in own))}
    # random features, and what stands for a gene to generate
    trained -= {name for name in before if name.endswith((".projection", "values.flag"))}
    state = model.state_dict()
    assert {name for name in before if not torch.equal(state[name], before[name])} == trained


@pytest.mark.parametrize("masker", ("self-guided", "programmes"))
def test_generation_trains(
    few_cells: Dataset, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, masker: str
) -> None:
    other_bundle("scgpt", list(map(str, few_cells.genes[:GENES])), shared, tmp_path / "files")
    fields = {**QUICK, **RATES, "backbone": "scgpt", "masker": masker, "n_folds": 3}
    config, watcher = pretrain_config(**fields, objective="generative"), Keep()
    monkeypatch.setattr(ScGPT, "feedback_after", 3)  # of a dozen steps an epoch
    result = pretrain.pretrain(few_cells, config, donor_folds(few_cells, n_folds=3)[0], watcher)
    model, losses = result.model, [row["validation_loss"] for row in watcher.metrics]
    assert np.isfinite(losses).all() and losses[1] < losses[0]
    assert model.backbone.generative and model.backbone.steps > 3
    weights = load_backbone("scgpt").state_dict()
    moved = {name for name, one in model.backbone.state_dict().items() if not torch.equal(one, weights[name])}
    assert {"values.flag", "by_cell.match.weight", "expression.fc1.weight"} <= moved
    counted = result.masks[result.masks["by"] == "all"]
    assert counted["masked"].sum() == counted["masked_nonzero"].sum() > 0
    save_model(tmp_path / "kept", model, result.names, masker)
    again = load_model(tmp_path / "kept")[0]
    x = model_values(few_cells, model, result.names, CPU).batch(np.arange(4))
    masked = (x > 0) & model.eligible & (torch.arange(x.shape[1]) % 2 == 0)
    with torch.no_grad():
        found, expected = (one.eval().predict(x, masked) for one in (again, model))
    assert torch.allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("backbone", ("scbert", "tiny"))
def test_only_scgpt_generates(few_cells: Dataset, shared: Path, tmp_path: Path, backbone: str) -> None:
    if backbone == "scbert":
        other_bundle("scbert", list(map(str, few_cells.genes[:GENES])), shared, tmp_path)
    with pytest.raises(InputError, match="how scGPT was pretrained, and backbone is"):
        pretrain_config(data="few", backbone=backbone, objective="generative")


def test_a_long_cell_is_cut_and_it_is_said(
    few_cells: Dataset, shared: Path, tmp_path: Path, sgm_home: Path
) -> None:
    from sgm_core.training.backbones import length_sentence, say_of_weights

    other_bundle("scgpt", list(map(str, few_cells.genes)), shared, tmp_path, max_seq_len=50)
    expressed = few_cells.n_genes_per_cell()
    said = length_sentence(few_cells, "scgpt")
    assert said is not None and said.startswith(f"{int((expressed + 1 > 50).sum()):,} of 150 cells")
    watcher = Keep()
    say_of_weights(few_cells, "scgpt", watcher)
    assert "49 are drawn in each" in watcher.said[-1]
    config, ready = start(few_cells, "scgpt")
    assert ready.values.lengths.max() == 50 and np.array_equal(
        ready.values.lengths, np.minimum(expressed + 1, 50)
    )
    batch = pretrain.prepare(ready.values, config, 0, 0, np.arange(10))
    codes = ready.model.backbone.codes(batch.x)
    shown = ready.model.backbone.shown(codes)
    assert (shown.sum(1) == torch.from_numpy(ready.values.lengths[:10])).all()
    masked = ready.model.draw(batch.x, batch.noise, batch.subset).masked
    assert torch.equal(masked & shown, masked), "what is not read is not hidden"


def test_random_weights_of_the_same_shape(few_cells: Dataset, kind: str) -> None:
    config = pretrain_config(**QUICK, backbone=kind)
    ready = initial_state(few_cells, config, np.arange(50), CPU, random=True)
    imported = initial_state(few_cells, config, np.arange(50), CPU)
    assert isinstance(ready.model, MaskedModel)
    assert ready.model.backbone.config == imported.model.backbone.config
    ours, theirs = (one.model.backbone.blocks.state_dict() for one in (ready, imported))
    assert not torch.equal(next(iter(ours.values())), next(iter(theirs.values())))


def test_annotation_encodes_cells_as_training_does(few_cells: Dataset, kind: str) -> None:
    """Its values come from the normalised table, by another rounding."""
    from sgm_core.annotation.encoder import Encoder

    model = original(kind, "gene")
    names = np.array(model.backbone.genes)
    expected = pooled_vectors(model, model_values(few_cells, model, names, CPU), np.arange(20))
    encoder = Encoder(model, names, few_cells.genes, FinetuneConfig(device="cpu", max_tokens=10))
    found = encoder.of_cells(few_cells, np.arange(20), Observer())
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
