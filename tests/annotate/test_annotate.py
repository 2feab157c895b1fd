from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

from sgm_core.annotation import annotate as annotating
from sgm_core.annotation.annotate import annotate
from sgm_core.annotation.kept import keep, open_annotation
from sgm_core.annotation.output import PREFIX
from sgm_core.annotation.store import open_model
from sgm_core.cells.dataset import open_dataset
from sgm_core.cli import main
from sgm_core.errors import Cancelled
from sgm_core.progress import Observer


@pytest.fixture
def file(fitted: Path, tmp_path: Path) -> Path:
    """The cells of the dataset as an h5ad with things of its own, without labels and donors."""
    adata = open_dataset("tiny").to_anndata()
    adata.obs = pd.DataFrame(
        {"well": pd.Categorical(["=A1", "B2"] * 250)[: adata.n_obs]}, index=adata.obs_names
    )
    adata.layers["half"] = adata.X * 0.5
    adata.obsm["X_mine"] = np.ones((adata.n_obs, 3), np.float32)
    adata.uns = {"note": "mine"}
    adata.write_h5ad(tmp_path / "query.h5ad")
    return tmp_path / "query.h5ad"


def content(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with h5py.File(path) as stored:
        stored.visititems(
            lambda name, item: (
                found.update({name: np.asarray(item[()]).tobytes()})
                if isinstance(item, h5py.Dataset) and item.dtype.kind != "O"
                else None
            )
        )
    return found


def test_all_else_of_an_h5ad_is_untouched(file: Path, tmp_path: Path, capsys) -> None:
    before = file.read_bytes()
    out = tmp_path / "out.h5ad"
    assert main(["annotate", str(file), "--model", "m", "--out", str(out), "--keep", "kept"]) == 0
    assert file.read_bytes() == before
    old, new = content(file), content(out)
    assert {name: new[name] for name in old} == old
    made = ad.read_h5ad(out)
    assert made.obs["well"].tolist() == ad.read_h5ad(file).obs["well"].tolist()
    assert made.uns["note"] == "mine" and made.uns["sgm_annotation"]["model"] == "m"
    direct = annotate("tiny", "m", tmp_path / "work").predictions
    assert made.obs[f"{PREFIX}cell_type"].tolist() == direct["cell_type"].tolist()
    assert np.allclose(made.obs[f"{PREFIX}confidence"], direct["confidence"])
    truth = open_dataset("tiny").labels().to_numpy()
    named = (direct["cell_type"] != "unknown") & pd.notna(truth)
    assert (direct["cell_type"][named] == truth[named]).mean() > 0.7
    assert ((direct["reason"] == "") == (direct["cell_type"] != "unknown")).all()
    assert main(["annotate", str(out), "--model", "m", "--out", str(tmp_path / "again.h5ad")]) == 2
    assert "sgm_" in capsys.readouterr().err and not (tmp_path / "again.h5ad").exists()


def test_csv_runs_no_formula(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert main(["annotate", str(file), "--model", "m", "--out", str(out)]) == 0
    lines = out.read_text().splitlines()
    assert ",'=A1," in lines[1] and len(lines) == 501
    assert not list(tmp_path.glob(".out.csv*"))


def test_an_interrupted_run_goes_on(file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(annotating, "BLOCK", 100)

    class Stops(Observer):
        blocks = 0
        said: tuple[str, ...] = ()

        def message(self, text: str) -> None:
            self.said += (text,)

        def progress(self, done: float, total: float, what: str = "") -> None:
            self.blocks += 1
            if self.blocks == 3:
                raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        annotate(str(file), "m", tmp_path / "x", observer=Stops())
    heard = Stops()
    heard.blocks = 10
    whole = annotate(str(file), "m", tmp_path / "x", observer=heard)
    assert any("300 of 500 cells are done already" in text for text in heard.said)
    monkeypatch.setattr(annotating, "BLOCK", 2048)
    pd.testing.assert_frame_equal(
        whole.predictions, annotate(str(file), "m", tmp_path / "y").predictions, rtol=1e-4, atol=1e-5
    )


def refused(path: Path, tmp_path: Path, capsys) -> str:
    assert main(["annotate", str(path), "--model", "m", "--out", str(tmp_path / "bad.csv")]) == 2
    assert not (tmp_path / "bad.csv").exists()
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("sgm: ")
    return said


def test_bad_input_is_one_line(file: Path, tmp_path: Path, capsys) -> None:
    adata = ad.read_h5ad(file)
    other = tmp_path / "other.h5ad"

    def changed(names: list[str] | None = None, x=None, rows: slice = slice(None)) -> str:
        copy = ad.AnnData(adata.X if x is None else x, obs=adata.obs, var=adata.var[[]].copy())[rows].copy()
        if names is not None:
            copy.var_names = names
        copy.write_h5ad(other)
        return refused(other, tmp_path, capsys)

    symbols = adata.var_names.tolist()
    assert "mouse" in changed([name.capitalize() for name in symbols])
    assert "Ensembl ids" in changed([f"ENSG{number:011d}" for number in range(len(symbols))])
    assert "another species" in changed([f"ENSMUSG{number:011d}" for number in range(len(symbols))])
    assert "no whole numbers" in changed(x=adata.X * 0.37)
    assert "bulk" in changed(x=adata.X * 500, rows=slice(0, 6))
    adata[:, : len(symbols) // 5].copy().write_h5ad(other)
    assert "50% are needed" in refused(other, tmp_path, capsys)
    assert "neither a dataset" in refused(tmp_path / "none.h5ad", tmp_path, capsys)


def test_one_cell_and_a_poor_cell(file: Path, tmp_path: Path) -> None:
    adata = ad.read_h5ad(file)[:2].copy()
    poor = adata.X.toarray()
    poor[1, np.flatnonzero(poor[1])[3:]] = 0
    adata.X = poor
    adata.write_h5ad(tmp_path / "two.h5ad")
    made = annotate(str(tmp_path / "two.h5ad"), "m", tmp_path / "x").predictions
    assert made["reason"].iloc[1] == "too few genes" and made["cell_type"].iloc[1] == "unknown"
    adata[:1].copy().write_h5ad(tmp_path / "one.h5ad")
    assert len(annotate(str(tmp_path / "one.h5ad"), "m", tmp_path / "x").predictions) == 1


def test_corrections_are_kept_undone_and_exported(fitted: Path, tmp_path: Path) -> None:
    kept = keep("mine", annotate("tiny", "m", tmp_path / "x"))
    kept.correct(np.array([1, 4]), "=blast", "A. Reviewer")
    kept.correct(np.array([4]), "HSC", "B")
    again = open_annotation("mine")
    assert [each["who"] for each in again.corrections()] == ["A. Reviewer", "B"]
    assert again.labels()["cell_type"].iloc[[1, 4]].tolist() == ["=blast", "HSC"]
    assert again.undo()["label"] == "HSC"
    assert (
        again.labels()["cell_type"].iloc[4] == "=blast" and again.labels()["source"].iloc[4] == "A. Reviewer"
    )
    assert "'=blast" in again.labels_csv()
    assert again.undo() is not None and again.undo() is None


def test_a_run_annotates_in_the_background(file: Path, fitted: Path) -> None:
    from sgm_core.runs.store import create_run
    from sgm_core.runs.worker import run_in_foreground

    run = create_run("annotate", "m", {"path": str(file), "model": "m", "name": "patient"})
    assert run.title == "Annotate query.h5ad by model m"
    assert run_in_foreground(run, Observer()).state == "done"
    kept = open_annotation("patient")
    assert len(kept.predictions()) == len(kept.obs()) == 500 and kept.about["model"] == "m"


def test_a_map_of_the_cells_themselves(fitted: Path, tmp_path: Path, monkeypatch) -> None:
    """It is made of the cells' own places in the model's space, in their order, blocks put together."""

    @contextmanager
    def first_two(seed: int, observer: Observer):
        yield SimpleNamespace(umap=lambda placed, tell: placed[:, :2])

    monkeypatch.setattr(annotating, "umap_process", first_two)
    monkeypatch.setattr(annotating, "BLOCK", 128)
    out = tmp_path / "mapped.csv"
    assert main(["annotate", "tiny", "--model", "m", "--out", str(out), "--map"]) == 0
    made, plain = pd.read_csv(out), annotate("tiny", "m", tmp_path / "x").predictions
    assert made["sgm_cell_type"].tolist() == plain["cell_type"].tolist() and "umap_x" not in plain
    dataset, final = open_dataset("tiny"), open_model("m").members[0]
    rows = np.arange(dataset.n_cells)
    placed = final.place(final.vectors(dataset.lognorm(rows), dataset.totals()))
    assert np.allclose(made[["sgm_umap_x", "sgm_umap_y"]], placed[:, :2], atol=1e-3)
