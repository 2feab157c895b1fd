import json
import sys
from pathlib import Path

import pytest

from sgm_core.cli.frame import main

sys.path.insert(0, str(Path(__file__).parents[1] / "cells"))
from small_files import small_anndata, write_h5ad

IMPORT = ["--donor", "donor", "--cell-type", "cell_type", "--timepoint", "day", "--min-genes", "5"]


@pytest.fixture
def path(tmp_path):
    return write_h5ad(tmp_path / "a.h5ad")


@pytest.fixture
def run(capsys):
    """Run ``sgm data ...`` and return exit code, stdout and stderr."""

    def command(*arguments: str):
        code = main(["data", *map(str, arguments)])
        return code, *capsys.readouterr()

    return command


def test_import_says_what_it_did(run, path):
    code, out, err = run("import", path, "--name", "mine", *IMPORT, "--unlabelled", "T")
    assert code == 0
    assert "mine: 60 cells x 40 genes, 6 donors, 2 classes" in out
    assert "(h5ad (csr), counts in X)" in out
    assert "unlabelled 20 cells (T): pretrain only, never scored" in out
    assert "counts in X" in err


def test_import_as_json(run, path):
    code, out, _ = run("import", path, "--name", "mine", *IMPORT, "--json")
    meta = json.loads(out)
    assert (code, meta["name"], meta["n_cells"]) == (0, "mine", 60)
    assert meta["filters"]["min_genes"] == 5


def test_unlabelled_takes_several_values(run, path):
    one = run("import", path, "--name", "a", *IMPORT, "--unlabelled", "T", "nan", "--json")
    two = run("import", path, "--name", "b", *IMPORT, "--unlabelled", "T", "--unlabelled", "nan", "--json")
    assert json.loads(one[1])["unlabelled"] == json.loads(two[1])["unlabelled"] == ["T", "nan"]


def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, sgm_home):
    path = write_h5ad(tmp_path / "b.h5ad", small_anndata(donor="P1"))
    code, out, err = run("import", path, "--name", "mine", *IMPORT)
    assert (code, out) == (2, "")
    assert err.count("\n") == 2  # what is being read, and why it is refused
    assert "one donor only (P1)" in err
    assert list((sgm_home / "datasets").iterdir()) == []


def test_list(run, path):
    assert "no dataset yet" in run("list")[1]
    run("import", path, "--name", "mine", *IMPORT)
    code, out, _ = run("list", "--json")
    (row,) = json.loads(out)["datasets"]
    assert (code, row["name"], row["cells"], row["donors"]) == (0, "mine", 60, 6)
    assert "mine" in run("list")[1]


def test_show(run, path):
    run("import", path, "--name", "mine", *IMPORT)
    code, out, _ = run("show", "mine")
    assert code == 0
    assert "median_percent_mito" in out
    data = json.loads(run("show", "mine", "--json")[1])
    assert [row["donor"] for row in data["donors"]] == [f"P{i}" for i in range(6)]
    assert sum(row["cells"] for row in data["classes"]) == 60
    assert run("show", "yours")[0] == 2


def test_split(run, path):
    run("import", path, "--name", "mine", *IMPORT)
    code, out, _ = run("split", "mine", "--folds", "3")
    assert code == 0
    assert "fold 2:" in out
    assert "test cells (donors) per class" in out
    data = json.loads(run("split", "mine", "--folds", "3", "--json")[1])
    assert sorted(donor for fold in data["folds"] for donor in fold["test"]) == [f"P{i}" for i in range(6)]
    held = json.loads(run("split", "mine", "--scheme", "holdout", "--json")[1])
    assert [len(held["folds"][0][part]) for part in ("train", "validation", "test")] == [4, 1, 1]
    code, _, err = run("split", "mine", "--folds", "9")
    assert code == 2
    assert "9 folds can't be made of 6 donors" in err
