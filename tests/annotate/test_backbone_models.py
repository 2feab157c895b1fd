"""Arms with a backbone as models: what they read, whose donors judge them, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sgm_core.annotation.annotate import annotate
from sgm_core.annotation.card import card_markdown
from sgm_core.annotation.store import export_model, import_model, open_model
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.simulate import make_demo
from sgm_core.cli import main
from sgm_core.errors import InputError
from sgm_core.model.checkpoint import load_model
from sgm_core.progress import Observer
from sgm_core.runs.store import create_run, list_runs
from sgm_core.runs.worker import run_in_foreground
from sgm_core.training.data import model_values
from sgm_core.training.pooling import pooled_vectors

COMPARISON = {
    "data": "small", "backbone": "tiny", "folds": 3, "arms": ["uniform+summary"], "seeds": 1, "umap": False,
    "schemes": ["linear-probe"], "pretrain": {"epochs": 1, "n_genes": 80, "latents": 4},
    "finetune": {"epochs": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def compared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home with a comparison of ``tiny`` backbones and the model ``probe`` of one of its arms."""
    home = tmp_path_factory.mktemp("backbones") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        make_demo(name="small", n_cells=400, n_genes=200)
        run = create_run("compare", "small", COMPARISON)
        assert run_in_foreground(run, Observer()).state == "done"
        said = ["--arm", "uniform+summary", "--scheme", "linear-probe", "--no-map"]
        assert main(["model", "fit", run.id, "--name", "probe", *said]) == 0
    return home


@pytest.fixture
def compared(compared_home: Path, sgm_home: Path) -> Path:
    shutil.copytree(compared_home, sgm_home, dirs_exist_ok=True)
    return sgm_home


def test_unseen_donors_are_named_by_backbones_that_never_saw_them(compared: Path) -> None:
    """Worked out again from the comparison's checkpoint of each fold, whose donors are those of the run."""
    model, run, dataset = open_model("probe"), list_runs()[0], open_dataset("small")
    table, labels = model.table("out_of_donor"), dataset.labels().astype(str).to_numpy()
    rows = np.flatnonzero(np.isin(labels, model.classes))
    donors = dataset.donors().astype(str).to_numpy()
    for number, parts in enumerate(model.meta["fold_donors"]):
        folder = run.path / "tasks" / f"uniform+summary.fold{number}.seed0" / "checkpoint"
        backbone, names, _ = load_model(folder)
        values = model_values(dataset, backbone, names, backbone.eligible.device)
        train = rows[np.isin(donors[rows], parts["train"])]
        own = table[(table["fold"] == number) & table["true"].isin(model.classes)]
        assert set(own["donor"]) <= set(parts["test"])
        x = [pooled_vectors(backbone, values, cells) for cells in (train, own["cell"].to_numpy())]
        scale = StandardScaler().fit(x[0])
        x = [np.clip(scale.transform(each), -10, 10) for each in x]
        head = LogisticRegression(C=model.meta["strength"], class_weight="balanced", max_iter=1000)
        said = head.fit(x[0], labels[train]).predict(x[1])
        assert (said == own["predicted"]).mean() > 0.97
    folds = run.read_table("folds")
    there = folds[(folds["arm"] == "uniform+summary") & (folds["scheme"] == "linear-probe")]
    assert abs(there["macro_f1"].mean() - model.meta["scores"]["macro_f1"]) < 0.1


def test_a_finetuned_backbone_is_kept_as_it_was_judged(
    compared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("folds", "fit"):  # so few cells choose the probe itself, which is epoch 0
        monkeypatch.setattr(f"sgm_core.annotation.{module}.common_epochs", lambda chosen: 1)
    run = list_runs()[0]
    kept = run.path / "tasks" / "uniform+summary.fold0.seed0" / "checkpoint" / "weights.safetensors"
    before = kept.read_bytes()
    said = ["--arm", "uniform+summary", "--scheme", "partial", "--no-map"]
    assert main(["model", "fit", run.id, "--name", "tuned", *said]) == 0
    tuned, probe = open_model("tuned"), open_model("probe")
    assert len(tuned.meta["fold_epochs"]) == 3
    weights = [load_model(model.path / "backbone")[0].state_dict() for model in (tuned, probe)]
    moved = {name for name, value in weights[0].items() if not torch.equal(value, weights[1][name])}
    trained = ("backbone.values", "backbone.positions", "backbone.blocks.0")
    assert moved and all(name.startswith(trained) for name in moved)
    assert kept.read_bytes() == before
    table, donors = tuned.table("out_of_donor"), open_dataset("small").donors().astype(str).to_numpy()
    for number, parts in enumerate(tuned.meta["fold_donors"]):
        assert set(table.loc[table["fold"] == number, "donor"]) <= set(parts["test"])
        assert set(donors[tuned.members[1 + number].reference_rows]) <= set(parts["train"])
    held = tuned.table("held_out")
    assert held["cell_type"].is_unique and held["auroc"].between(0, 1).all()
    result = annotate("small", "tuned", tmp_path / "x").predictions
    labels = open_dataset("small").labels()
    known = labels.isin(tuned.classes).to_numpy()
    assert (result["best"][known].to_numpy() == labels[known].to_numpy()).mean() > 0.6
    assert "tuned it" in card_markdown(tuned)


def test_its_vectors_are_those_of_training(compared: Path, tmp_path: Path) -> None:
    """Cells that come as normalised values of a file are read as those of the dataset were."""
    model, dataset = open_model("probe"), open_dataset("small")
    rows = np.arange(0, 60)
    made = model.members[0].reader.read(dataset.lognorm(rows), dataset.totals()[rows])
    backbone, names, _ = load_model(model.path / "backbone")
    values = model_values(dataset, backbone, names, backbone.eligible.device)
    assert np.allclose(made, pooled_vectors(backbone, values, rows), atol=1e-4)
    result = annotate("small", model, tmp_path / "x").predictions
    truth = dataset.labels()
    known = truth.isin(model.classes).to_numpy()
    assert (result["best"][known].to_numpy() == truth[known].to_numpy()).mean() > 0.5
    assert result["confidence"].between(0, 1).all() and np.isfinite(result["distance"]).all()


def test_its_card_says_what_it_is(compared: Path) -> None:
    text = card_markdown(open_model("probe"))
    assert "linear probe on tiny, uniform + summary" in text
    assert "never saw the fold's test donors" in text and "from no imported weights" in text


def test_it_travels_with_its_weights(compared: Path, tmp_path: Path, capsys) -> None:
    packed = export_model("probe", tmp_path / "probe.zip")
    again = import_model(packed, "again")
    assert again.hash == open_model("probe").hash and "backbone/weights.safetensors" in again.files
    weights = again.path / "backbone" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    (tmp_path / "out").mkdir()
    said = ["annotate", "small", "--model", "again", "--out", str(tmp_path / "out" / "x.csv")]
    assert main(said) == 2
    assert "backbone/weights.safetensors of model 'again' was changed" in capsys.readouterr().err
    weights.unlink()
    assert main(said) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("sgm: ") and "lacks backbone/weights.safetensors" in line
    assert not list((tmp_path / "out").iterdir())


def test_weights_that_must_not_be_passed_on_are_not(compared: Path, tmp_path: Path) -> None:
    model = open_model("probe")
    model.meta["backbone"]["imported"] = True
    (model.path / "model.json").write_text(json.dumps(model.meta))
    with pytest.raises(InputError, match="must not be passed on"):
        export_model("probe", tmp_path / "x.zip")
    assert not list(tmp_path.glob("*.zip"))


def test_what_cant_be_kept_is_one_line(compared: Path, capsys) -> None:
    run = list_runs()[0].id
    for said, why in (
        (["--arm", "uniform+summary", "--scheme", "official"], "scheme 'official' can't be kept"),
        (["--arm", "pca-knn"], "arm 'pca-knn' can't be kept"),
        (["--arm", "hvg-logistic", "--scheme", "partial"], "has no backbone"),
        (["--scheme", "partial"], "give --arm too"),
        (["--backbone", "tiny"], "leave out --backbone"),
    ):
        assert main(["model", "fit", run, "--name", "n", *said]) == 2
        assert why in capsys.readouterr().err.strip().splitlines()[-1]
    assert sorted(path.name for path in (compared / "models").iterdir()) == ["probe"]


def test_a_poor_cell_of_a_backbone(compared: Path, tmp_path: Path) -> None:
    adata = open_dataset("small").to_anndata()[:3].copy()
    dense = adata.X.toarray()
    dense[1, np.flatnonzero(dense[1])[2:]] = 0
    model = open_model("probe")
    read = model.members[0].reader.genes
    dense[2, read] = 0  # none of the genes that the backbone has
    adata.X = dense
    adata.obs = pd.DataFrame(index=adata.obs_names)
    adata.write_h5ad(tmp_path / "poor.h5ad")
    made = annotate(str(tmp_path / "poor.h5ad"), model, tmp_path / "x").predictions
    assert made["reason"].iloc[1] == "too few genes"
    assert np.isfinite(made[["confidence", "distance", "known"]].to_numpy()).all()
