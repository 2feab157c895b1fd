"""What a strict reading of fitting and annotating found: each was wrong once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import mmwrite

from sgm_core.annotation.annotate import annotate
from sgm_core.annotation.bounds import bounds_of
from sgm_core.annotation.fit import fit_model
from sgm_core.annotation.folds import fold_members, unseen_cells
from sgm_core.annotation.kept import keep
from sgm_core.annotation.output import write_csv
from sgm_core.annotation.shares import reference_donors
from sgm_core.annotation.store import open_model
from sgm_core.annotation.task import make_task
from sgm_core.cells.dataset import open_dataset
from sgm_core.cli import main
from sgm_core.errors import Cancelled, InputError
from sgm_core.progress import Observer


class Listens(Observer):
    def __init__(self, stop: bool = False) -> None:
        self.said: list[str] = []
        self.stop = stop

    def message(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: float, total: float, what: str = "") -> None:
        if self.stop:
            raise Cancelled("stopped")


def changed_obs(home: Path, **columns: object) -> None:
    path = home / "datasets" / "tiny" / "obs.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path)


def test_a_class_that_a_fold_was_never_shown_is_no_known_class_to_it(
    fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cells, which the fold can't name, made the temperature of all and counted as false alarms."""
    task = make_task(open_dataset("tiny"), "hvg-logistic", None, 3, None, 0, Observer())
    donors = task.dataset.donors().astype(str)
    lost = 0
    elsewhere = ~donors.isin(task.split[0].test).to_numpy()
    codes = np.where(elsewhere & (task.codes == lost), -1, task.codes)
    task = replace(task, codes=codes)
    members, _ = fold_members(task)
    tested, logits = unseen_cells(task, members)
    own = (tested["code"] == lost).to_numpy()
    assert own.any() and not tested["shown"][own].any() and tested["shown"][tested["code"] > lost].all()
    assert (logits[own].argmax(1) != lost).all()
    monkeypatch.setattr("sgm_core.annotation.bounds.held_out_classes", lambda *_: (pd.DataFrame(), 0.5))
    strength = members[0].linear.strength
    bounds = bounds_of(task, tested, logits, strength, 0.05)
    without = bounds_of(task, tested.assign(code=np.where(own, -1, tested["code"])), logits, strength, 0.05)
    assert bounds.temperature == without.temperature and bounds.threshold == without.threshold
    assert bounds.known[own].all() and not without.known[own].any()  # they do count as wrong in the scores


def test_no_class_is_called_unknown(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = lambda dataset, label: (["HSC", "Unknown"], pd.DataFrame())  # noqa: E731
    monkeypatch.setattr("sgm_core.annotation.task.scored_classes", found)
    with pytest.raises(InputError, match="--unlabelled 'Unknown'"):
        fit_model("tiny", "n", folds=3, with_map=False)
    assert not (fitted / "models" / "n").exists()


def test_donors_without_labelled_cells_are_no_reference(fitted: Path) -> None:
    model = open_model("m")
    path = model.path / "donors.parquet"
    table = pd.read_parquet(path)
    column = next(name for name in table if name.startswith("is:"))
    level = table[column].value_counts().index[0]
    own = np.flatnonzero(table[column] == level)
    table.loc[own[1:], [f"n:{name}" for name in model.classes]] = 0
    table.to_parquet(path)
    with pytest.raises(InputError, match=r"^1 donors .* two are needed"):
        reference_donors(model, column.removeprefix("is:"), level)


@pytest.mark.parametrize("file", ["reference.parquet", "signatures.json", "tensors.safetensors"])
def test_a_damaged_model_is_one_line(fitted: Path, tmp_path: Path, file: str, capsys) -> None:
    (open_model("m").path / file).write_bytes(b"{ cut")
    (tmp_path / "out").mkdir()
    assert main(["annotate", "tiny", "--model", "m", "--out", str(tmp_path / "out" / "x.csv")]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{file} of model 'm' is gone or damaged" in said
    assert not list((tmp_path / "out").iterdir())


def test_an_empty_cell_is_unknown(fitted: Path, tmp_path: Path) -> None:
    adata = open_dataset("tiny").to_anndata()[:2].copy()
    adata.X = adata.X.toarray() * np.array([[0], [1]])
    adata.write_h5ad(tmp_path / "empty.h5ad")
    model = open_model("m")
    model.meta["least_genes"] = 0  # of a dataset that was imported with empty cells
    made = annotate(str(tmp_path / "empty.h5ad"), model, tmp_path / "x").predictions
    assert made["reason"].iloc[0] == "too few genes" and made["n_genes"].iloc[0] == 0
    assert np.isfinite(made["confidence"]).all()


def test_what_is_refused_leaves_nothing(fitted: Path, tmp_path: Path) -> None:
    adata = open_dataset("tiny").to_anndata()[:5].copy()
    adata.X = adata.X * 500
    adata.write_h5ad(tmp_path / "bulk.h5ad")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="bulk"):
        annotate(str(tmp_path / "bulk.h5ad"), "m", tmp_path / "out" / "x.csv")
    assert not list((tmp_path / "out").iterdir())


def test_other_aliases_start_over(fitted: Path, tmp_path: Path) -> None:
    """Blocks that were named under another alias table were taken for those of this one."""
    adata = open_dataset("tiny").to_anndata()
    symbol = str(adata.var_names[0])
    adata.var_names = ["OLDNAME1", *adata.var_names[1:]]
    adata.write_h5ad(tmp_path / "q.h5ad")
    with pytest.raises(Cancelled):
        annotate(str(tmp_path / "q.h5ad"), "m", tmp_path / "x", observer=Listens(stop=True))
    heard = Listens()
    aliases = {"OLDNAME1": (symbol,)}
    annotate(str(tmp_path / "q.h5ad"), "m", tmp_path / "x", aliases=aliases, observer=heard)
    assert any("had another genes: starting over" in text for text in heard.said)


def test_columns_that_are_called_as_ours_are_kept(fitted: Path, tmp_path: Path) -> None:
    """A dataset of an annotated file: the CSV ended in an error, in the h5ad the column was lost."""
    changed_obs(fitted, sgm_cell_type="mine")
    result = annotate("tiny", "m", tmp_path / "x")
    table = pd.read_csv(write_csv(result, tmp_path / "x.csv"))
    assert set(table["sgm_cell_type_in_file"]) == {"mine"}
    assert table["sgm_cell_type"].tolist() == result.predictions["cell_type"].tolist()
    assert main(["annotate", "tiny", "--model", "m", "--out", str(tmp_path / "x.h5ad")]) == 0
    made = ad.read_h5ad(tmp_path / "x.h5ad")
    assert set(made.obs["sgm_cell_type_in_file"]) == {"mine"} and made.obs.columns.is_unique
    assert made.obs["sgm_cell_type"].tolist() == result.predictions["cell_type"].tolist()


@pytest.fixture
def counts(fitted: Path) -> ad.AnnData:
    adata = open_dataset("tiny").to_anndata()
    adata.obs = pd.DataFrame(index=adata.obs_names)
    return adata


def as_csv(adata: ad.AnnData, folder: Path) -> Path:
    table = pd.DataFrame(adata.X.toarray().astype(int), index=adata.obs_names, columns=adata.var_names)
    table.T.to_csv(folder / "counts.csv")
    return folder / "counts.csv"


def as_10x(adata: ad.AnnData, folder: Path) -> Path:
    mmwrite(folder / "matrix.mtx", adata.X.T.astype(int))
    (folder / "barcodes.tsv").write_text("".join(f"{name}\n" for name in adata.obs_names))
    (folder / "features.tsv").write_text("".join(f"{n}\t{n}\tGene Expression\n" for n in adata.var_names))
    return folder


def as_loom(adata: ad.AnnData, folder: Path) -> Path:
    with h5py.File(folder / "counts.loom", "w") as file:
        file["matrix"] = adata.X.T.toarray() * 0.5
        file["layers/raw"] = adata.X.T.toarray()
        file["row_attrs/Gene"] = np.array(adata.var_names, dtype="S")
        file["col_attrs/CellID"] = np.array(adata.obs_names, dtype="S")
        file["col_attrs/sgm_reason"] = np.array(["own"] * adata.n_obs, dtype="S")
    return folder / "counts.loom"


@pytest.mark.parametrize("write", [as_csv, as_10x, as_loom])
def test_an_h5ad_of_files_that_are_none(counts: ad.AnnData, tmp_path: Path, write) -> None:
    (tmp_path / "in").mkdir()
    path, out = write(counts, tmp_path / "in"), tmp_path / "out.h5ad"
    more = ["--layer", "raw"] if path.suffix == ".loom" else []
    assert main(["annotate", str(path), "--model", "m", "--out", str(out), *more]) == 0
    made = ad.read_h5ad(out)
    assert made.obs_names.tolist() == counts.obs_names.tolist()
    assert (made[:, counts.var_names].X != counts.X).nnz == 0 and made.X.dtype == np.float32
    direct = annotate("tiny", "m", tmp_path / "work").predictions
    assert made.obs["sgm_cell_type"].tolist() == direct["cell_type"].tolist()
    assert made.uns["sgm_annotation"]["model"] == "m"
    if path.suffix == ".loom":
        assert set(made.obs["sgm_reason_in_file"]) == {"own"}
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["out.h5ad"]


def test_corrections_are_the_labels_of_a_new_dataset(fitted: Path, tmp_path: Path) -> None:
    dataset = open_dataset("tiny")
    adata = dataset.to_anndata()
    adata.obs = pd.DataFrame({"donor": dataset.donors().astype(str).to_numpy()}, index=adata.obs_names)
    file, table = tmp_path / "query.h5ad", tmp_path / "labels.csv"
    adata.write_h5ad(file)
    kept = keep("mine", annotate(str(file), "m", tmp_path / "x"))
    kept.correct(np.array([1, 4]), "=blast, odd", "A. Reviewer")
    kept.correct(np.array([4]), "HSC", "B")
    table.write_text(kept.labels_csv())
    said = ["--donor", "donor", "--cell-type", "cell_type", "--unlabelled", "unknown", "--min-genes", "0"]
    assert main(["data", "import", str(file), "--name", "new", "--cells", str(table), *said]) == 0
    labels = open_dataset("new").labels()
    wanted = kept.labels()["cell_type"].where(lambda name: name != "unknown")
    assert labels.iloc[[1, 4]].tolist() == ["=blast, odd", "HSC"]
    assert labels.where(labels.notna(), None).tolist() == wanted.where(wanted.notna(), None).tolist()
    assert open_dataset("new").annotations["source"].iloc[[1, 4]].tolist() == ["A. Reviewer", "B"]


def test_two_who_correct_at_once_lose_nothing(fitted: Path, tmp_path: Path) -> None:
    kept = keep("mine", annotate("tiny", "m", tmp_path / "x"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda row: kept.correct(np.array([row]), f"class {row}", "A"), range(24)))
    assert kept.labels()["cell_type"].iloc[:24].tolist() == [f"class {row}" for row in range(24)]


def as_old(adata: ad.AnnData, path: Path, compound: bool) -> Path:
    """Write cells as anndata before 0.7 did, or as a group of columns that does not say what it is."""
    wells = ["B2", "=A1"]
    codes = np.arange(adata.n_obs) % 2
    names = np.array(adata.obs_names, dtype="S")
    with h5py.File(path, "w") as file:
        if compound:
            old = file.create_group("X")
            old.attrs["h5sparse_format"], old.attrs["h5sparse_shape"] = "csr", adata.shape
            for part in ("data", "indices", "indptr"):
                old[part] = getattr(adata.X, part)
            obs = np.zeros(adata.n_obs, dtype=[("index", names.dtype), ("well", "i1"), ("depth", "f8")])
            obs["index"], obs["well"], obs["depth"] = names, codes, 0.5
            genes = np.array(adata.var_names, dtype="S")
            var = np.zeros(adata.n_vars, dtype=[("index", genes.dtype), ("kept", "i1")])
            var["index"] = genes
            file["obs"], file["var"] = obs, var
            file["uns/well_categories"] = np.array(wells, dtype=object)
        else:
            ad.io.write_elem(file, "X", adata.X)
            ad.io.write_elem(file, "var", adata.var[[]])
            obs = file.create_group("obs")
            obs.attrs["_index"] = "_index"
            obs["_index"], obs["depth"] = np.array(adata.obs_names, dtype=object), np.full(adata.n_obs, 0.5)
            obs["well"] = np.array([wells[code] for code in codes], dtype=object)
        file["uns/mine"] = "kept"
    return path


@pytest.mark.parametrize("compound", [True, False])
def test_an_old_obs_becomes_one_of_today(counts: ad.AnnData, tmp_path: Path, compound: bool) -> None:
    """It was refused, after all its cells could be named."""
    (tmp_path / "in").mkdir()
    path, out = as_old(counts, tmp_path / "in" / "old.h5ad", compound), tmp_path / "out.h5ad"
    before = path.read_bytes()
    assert main(["annotate", str(path), "--model", "m", "--out", str(out)]) == 0
    assert path.read_bytes() == before
    made = ad.read_h5ad(out)
    assert made.obs_names.tolist() == counts.obs_names.tolist()
    assert made.obs["well"].astype(str).tolist() == ["B2", "=A1"] * (counts.n_obs // 2)
    assert (made.obs["depth"] == 0.5).all()
    direct = annotate("tiny", "m", tmp_path / "work").predictions
    assert made.obs["sgm_cell_type"].tolist() == direct["cell_type"].tolist()
    assert (made[:, counts.var_names].X != counts.X).nnz == 0 and str(made.uns["mine"]) == "kept"


def test_a_mask_is_no_list_of_rows(fitted: Path, tmp_path: Path) -> None:
    """True and False were taken for the rows 1 and 0."""
    kept = keep("mine", annotate("tiny", "m", tmp_path / "x"))
    mask = np.zeros(500, bool)
    mask[[7, 9]] = True
    assert kept.correct(mask, "blast", "A")["rows"] == [7, 9]
    for wrong, why in (
        (mask[:-1], "of each of 500"),
        (np.zeros(500, bool), "choose cells"),
        ([1.5], "float"),
    ):
        with pytest.raises(InputError, match=why):
            kept.correct(np.asarray(wrong), "blast", "A")
    assert len(kept.corrections()) == 1


def test_shares_of_a_useless_model_are_refused(fitted: Path) -> None:
    lost = open_model("lost")
    column = next(c.removeprefix("is:") for c in lost.table("donors") if c.startswith("is:"))
    with pytest.raises(InputError, match="no better than chance"):
        reference_donors(lost, column, str(lost.table("donors")[f"is:{column}"].iloc[0]))
