import json
import shutil
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import sgm_core
from sgm_core.cells.dataset import open_dataset
from sgm_core.cli import main
from sgm_core.embedding import files as embed_files
from sgm_core.embedding import source as embed_source
from sgm_core.embedding.files import embed_to_file
from sgm_core.embedding.parts import open_parts
from sgm_core.embedding.write import write_cells
from sgm_core.errors import InputError
from sgm_core.model.bundle import open_bundle
from sgm_core.model.weights import import_weights
from sgm_core.progress import Observer


@pytest.fixture(scope="module")
def made(shared: Path, demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Folder of small weights for every fifth gene of the dataset, and its cells embedded by the function."""
    home = tmp_path_factory.mktemp("embed") / "home"
    shutil.copytree(demo_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        dataset = open_dataset("small")
        genes = dataset.genes[::5].tolist()
        bundle = import_weights(shared / "fixtures/scfoundation_tiny/models.ckpt", genes, "mine")
        vectors = sgm_core.embed(dataset, sgm_core.load_backbone("mine", "cell"))
    vectors.setflags(write=False)
    return bundle.path, vectors


@pytest.fixture
def weights(made, demo_dataset, sgm_home: Path):
    """The small weights in the test's own home."""
    shutil.copytree(made[0], sgm_home / "weights" / "mine")
    return open_bundle("mine")


@pytest.fixture
def direct(made, weights) -> np.ndarray:
    """What the function gives for the whole dataset."""
    return made[1]


def command(out: Path, *more: str) -> list[str]:
    return ["embed", "--data", "small", "--weights", "mine", "--out", str(out), *more]


def test_an_h5ad_file(demo_dataset, direct, tmp_path: Path, capsys) -> None:
    out = tmp_path / "new folder" / "x.h5ad"
    assert main(command(out)) == 0
    said = capsys.readouterr()
    assert "cells x 128 (cell, all)" in said.out and "non-commercial" in said.out
    assert "200 of its 1,000 genes are among the 200 of mine" in said.err and "cells/s" in said.err
    written = ad.read_h5ad(out)
    np.testing.assert_allclose(written.obsm["X_scfoundation"], direct, atol=5e-6)
    assert written.obs_names.tolist() == demo_dataset.obs["cell"].tolist()
    assert written.obs[demo_dataset.donor_column].tolist() == demo_dataset.donors().tolist()
    assert {demo_dataset.cell_type_column, demo_dataset.timepoint_column} <= set(written.obs.columns)
    settings = written.uns["scfoundation"]
    assert (settings["weights"], settings["key"], settings["pool"]) == ("mine", "cell", "all")
    assert settings["target_depth"] == "t4" and settings["code_version"] == sgm_core.__version__
    assert "non-commercial" in settings["licence"]
    assert [path.name for path in out.parent.iterdir()] == ["x.h5ad"]


def test_a_npy_file_with_other_options(demo_dataset, weights, tmp_path: Path, capsys) -> None:
    out = tmp_path / "x.npy"
    options = ("--key", "rde", "--pool", "max", "--target-depth", "f1", "--max-cells", "50", "--json")
    assert main(command(out, *options)) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["n_cells"], said["width"], said["key"], said["out"]) == (50, 32, "rde", str(out))
    described = json.loads(out.with_suffix(".json").read_text())
    rows = pd.Index(demo_dataset.obs["cell"]).get_indexer(described["cells"])
    assert len(rows) == 50 and rows[0] == 0 and rows[-1] == demo_dataset.n_cells - 1  # spread evenly
    backbone = sgm_core.load_backbone("mine", "rde")
    cells = pd.DataFrame(demo_dataset.take(rows).toarray(), columns=demo_dataset.genes)
    expected = sgm_core.embed(cells, backbone, pool="max", target_depth="f1")
    np.testing.assert_allclose(np.load(out), expected, atol=5e-6)
    assert described["pool"] == "max" and described["shape"] == [50, 32]


def test_gene_embeddings_are_means_over_the_cells(
    demo_dataset, weights, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(embed_source, "BLOCK", 8)
    monkeypatch.setattr(embed_files, "BLOCK", 8)
    out, genes = tmp_path / "x.npy", tmp_path / "y.npy"
    assert main(command(out, "--genes-out", str(genes), "--max-cells", "20")) == 0
    described = json.loads(genes.with_suffix(".json").read_text())
    cells = json.loads(out.with_suffix(".json").read_text())["cells"]
    table = pd.DataFrame(demo_dataset.counts().toarray(), demo_dataset.obs["cell"], demo_dataset.genes)
    each = sgm_core.embed(table.loc[cells], sgm_core.load_backbone("mine", "gene"), output="gene")
    written = np.load(genes)
    assert written.dtype == np.float32 and described["n_cells"] == 20 and described["key"] == "gene"
    np.testing.assert_allclose(written, each.mean(0), atol=1e-4)
    assert described["genes"] == list(weights.genes)


@pytest.mark.parametrize("with_genes", (False, True), ids=("cells", "genes"))
def test_an_interrupted_run_goes_on(direct, tmp_path: Path, monkeypatch, capsys, with_genes: bool) -> None:
    monkeypatch.setattr(embed_source, "BLOCK", 10)
    monkeypatch.setattr(embed_files, "BLOCK", 10)
    out, calls = tmp_path / "x.npy", []
    more = ("--max-cells", "35", *(("--genes-out", str(tmp_path / "y.npy")) if with_genes else ()))
    if with_genes:
        assert main(["embed", "--data", "small", "--weights", "mine", "--out", str(tmp_path / "w.npy"),
                     "--max-cells", "35", "--genes-out", str(tmp_path / "v.npy")]) == 0  # fmt: skip

    def interrupted(cells, *rest, output: str = "cell", **options) -> np.ndarray:
        if output == "cell":
            calls.append(cells.first)
            if len(calls) == 2:
                raise KeyboardInterrupt
        return sgm_core.embed(cells, *rest, output=output, **options)

    monkeypatch.setattr(embed_files, "embed", interrupted)
    capsys.readouterr()
    assert main(command(out, *more)) == 130
    assert "10 of 35 cells are kept; the same command goes on" in capsys.readouterr().err
    parts = tmp_path / ".x.npy.parts"
    assert calls == [0, 10] and not out.exists() and parts.is_dir()
    # what a kill in mid-write leaves: half a block, and outputs that are written before the last one
    (parts / ".000001.npy.half").write_bytes(b"half")
    out.with_suffix(".json").write_text("{}")
    if with_genes:
        (tmp_path / "y.npy").write_bytes(b"")

    assert main(command(out, *more)) == 0
    assert "10 of 35 cells are done already" in capsys.readouterr().err
    assert calls == [0, 10, 10, 20, 30]
    assert not parts.exists()
    rows = np.linspace(0, len(direct) - 1, 35).round().astype(int)
    np.testing.assert_allclose(np.load(out), direct[rows], atol=5e-6)
    if with_genes:
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), np.load(tmp_path / "v.npy"), atol=1e-6)


def test_changed_settings_start_over_and_say_so(direct, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(embed_source, "BLOCK", 100)
    monkeypatch.setattr(embed_files, "BLOCK", 100)
    out, blocks = tmp_path / "x.npy", []

    def once(cells, *rest, **options) -> np.ndarray:
        blocks.append(cells.first)
        if len(blocks) == 2:
            raise KeyboardInterrupt
        return sgm_core.embed(cells, *rest, **options)

    monkeypatch.setattr(embed_files, "embed", once)
    assert main(command(out, "--pool", "max")) == 130
    assert main(command(out)) == 0
    assert "had another pool: starting over" in capsys.readouterr().err
    assert blocks == [0, 100, 0, 100, 200, 300, 400, 500]
    np.testing.assert_allclose(np.load(out), direct, atol=5e-6)


def test_a_damaged_description_of_the_parts_starts_over(direct, tmp_path: Path, capsys) -> None:
    parts = tmp_path / ".x.npy.parts"
    parts.mkdir()
    (parts / "settings.json").write_text("{")
    np.save(parts / "000000.npy", np.zeros((500, 128), np.float32))
    assert main(command(tmp_path / "x.npy")) == 0
    assert "starting over" in capsys.readouterr().err
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), direct, atol=5e-6)


def test_two_runs_do_not_write_one_output(tmp_path: Path, weights, capsys) -> None:
    out = tmp_path / "x.npy"
    with open_parts(out, {}, Observer()):
        assert main(command(out)) == 2
    assert "another run is writing" in capsys.readouterr().err


def test_a_file_is_the_same_as_the_dataset(demo_dataset, direct, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(embed_source, "BLOCK", 70)
    monkeypatch.setattr(embed_files, "BLOCK", 70)
    obs = demo_dataset.obs.set_index("cell")
    cells = ad.AnnData(demo_dataset.counts().astype(np.float32), obs, pd.DataFrame(index=demo_dataset.genes))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    ids = cells.copy()
    ids.obs["batch"] = pd.Categorical(["a", "b"] * (ids.n_obs // 2))
    ids.obs["flag"] = True
    ids.var["gene_symbol"] = ids.var_names
    ids.var_names = [f"ENSG{i:011d}" for i in range(ids.n_vars)]
    ids.write_h5ad(tmp_path / "ids.h5ad")
    for name in ("cells", "ids"):
        file, out = tmp_path / f"{name}.h5ad", tmp_path / f"{name}-out.h5ad"
        embed_to_file(str(file), "mine", out)
        written = ad.read_h5ad(out)
        np.testing.assert_allclose(written.obsm["X_scfoundation"], direct, atol=5e-6)
        assert written.obs_names.tolist() == demo_dataset.obs["cell"].tolist()
    rows = np.linspace(0, demo_dataset.n_cells - 1, 90).round().astype(int)
    embed_to_file(str(tmp_path / "cells.h5ad"), "mine", tmp_path / "few.npy", max_cells=90)
    np.testing.assert_allclose(np.load(tmp_path / "few.npy"), direct[rows], atol=5e-6)
    assert not list(tmp_path.glob(".*"))


def test_columns_with_missing_text_can_be_written(tmp_path: Path) -> None:
    columns = {"nothing": None, "some": [None, "a", "b"], "mixed": [1, "x", None], "a/b": ["1", "2", "3"]}
    obs = pd.DataFrame({"cell": ["c1", "c2", "c3"], **columns, "n": [1, 2, 3]})
    write_cells(tmp_path / "x.h5ad", np.ones((3, 2), np.float32), obs, {"key": "cell"})
    written = ad.read_h5ad(tmp_path / "x.h5ad").obs
    assert written["nothing"].isna().all()
    assert written["some"].astype(object).where(written["some"].notna(), None).tolist() == [None, "a", "b"]
    assert written["mixed"].tolist()[:2] == ["1", "x"] and written["n"].tolist() == [1, 2, 3]


def test_an_empty_cell_is_named_before_anything_is_embedded(weights, demo_dataset, tmp_path: Path) -> None:
    counts = demo_dataset.counts().toarray()
    counts[[70, 80]] = 0
    cells = ad.AnnData(counts.astype(np.float32), var=pd.DataFrame(index=demo_dataset.genes))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=rf"2 of {len(counts)} cells express none .* cell '70' \(row 70\)"):
        embed_to_file(str(tmp_path / "cells.h5ad"), "mine", tmp_path / "x.npy")
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("home", "cells.h5ad")] == []


def test_bad_input_is_one_line(weights, tmp_path: Path, capsys) -> None:
    taken = tmp_path / "taken.npy"
    taken.write_bytes(b"mine")
    lognorm = ad.AnnData(np.full((3, 200), 0.5, np.float32), var=pd.DataFrame(index=list(weights.genes)))
    lognorm.write_h5ad(tmp_path / "lognorm.h5ad")
    out = tmp_path / "x.npy"
    for arguments, message in (
        (command(tmp_path / "x.csv"), "must end in .h5ad or .npy"),
        (command(taken), "exists already"),
        (command(out, "--genes-out", str(out)), "its own name"),
        (command(out, "--data", "other"), "neither a dataset (there are: small) nor a file"),
        (command(out, "--data", str(tmp_path / "lognorm.h5ad")), "has no raw counts"),
        (command(out, "--weights", "other"), "there are mine"),
        (command(out, "--target-depth", "4"), "target depth '4'"),
        (command(out, "--max-tokens", "10"), "tokens and 10 are allowed"),
        (command(out, "--max-cells", "0"), "max cells is 0"),
        (command(out, "--device", "cuda:9"), "is not on this machine"),
    ):
        assert main(arguments) == 2, arguments
        output = capsys.readouterr()
        assert output.out == "" and message in output.err.splitlines()[-1], output.err
    assert taken.read_bytes() == b"mine"
    assert not out.exists() and not list(tmp_path.glob(".*"))
