"""Input that can't be imported: one line says what is wrong and what to do, and nothing is left behind."""

import errno
import os
import re

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small_files import FILTERS, GENES, N_CELLS, ROLES, small_anndata, small_counts, small_obs, write_h5ad

from sgm_core import home
from sgm_core.cells.arrays import GrowingArray
from sgm_core.cells.build import import_dataset
from sgm_core.cells.read.transpose import Transposer
from sgm_core.errors import SGMError


def refused(path, message: str, name: str = "bad", **options) -> None:
    """Assert that the import fails with one line that matches `message`, and leaves nothing."""
    with pytest.raises(SGMError) as caught:
        import_dataset(path, name, **{**ROLES, **FILTERS, **options})
    text = str(caught.value)
    assert re.search(message, text), text
    assert "\n" not in text
    assert list(home.folder("datasets").iterdir()) == []


def floats(**changes) -> np.ndarray:
    counts = small_counts().astype(np.float32)
    for value in changes.values():
        counts[7, 3] = value
    return counts


def test_truncated_h5ad(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    whole = path.read_bytes()
    for share in (0.2, 0.5, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(path, r"a\.h5ad is damaged or cut short \(.*\): copy or download it again")


def test_h5ad_whose_values_are_damaged(tmp_path):
    data = small_anndata()
    data.write_h5ad(tmp_path / "a.h5ad", compression="gzip")
    with h5py.File(tmp_path / "a.h5ad") as file:
        place = file["X/data"].id.get_chunk_info(0)
    content = bytearray((tmp_path / "a.h5ad").read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    (tmp_path / "a.h5ad").write_bytes(content)
    refused(tmp_path / "a.h5ad", r"a\.h5ad is damaged or cut short")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"these are not cells", r"a\.h5ad is no HDF5 file, though its name says so: check what it is"),
        (b"", r"a\.h5ad is empty"),
        (b"\x1f\x8b\x08 packed", "it is gzipped: gunzip it first"),
    ],
)
def test_not_hdf5(tmp_path, content, message):
    for name in ("a.h5ad", "a.loom", "a.h5"):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, message.replace(r"a\.h5ad", name))


def test_hdf5_of_another_kind(tmp_path):
    for name, message in (
        ("a.h5ad", "without obs and var: it is no h5ad file"),
        ("a.loom", "it is no loom file"),
        ("a.h5", "HDF5 file with no matrix: a 10x"),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            file["numbers"] = np.arange(3)
        refused(tmp_path / name, message)


def test_only_scaled_values(tmp_path):
    data = small_anndata(floats() - 0.6)
    data.layers["logs"] = np.log1p(floats())
    path = write_h5ad(tmp_path / "a.h5ad", data)
    refused(
        path,
        r"a\.h5ad has no raw counts: X has negative values \(down to -0\.6\); "
        r"layers/logs has values that are no whole numbers \(such as 0\.69\d+\); .*--layer",
    )
    refused(path, r"has no raw counts: layers/logs has", layer="logs")


def test_negative_values(tmp_path):
    refused(
        write_h5ad(tmp_path / "a.h5ad", small_anndata(floats(value=-2))),
        r"X has negative values \(down to -2\)",
    )


def test_nan_values(tmp_path):
    refused(
        write_h5ad(tmp_path / "a.h5ad", small_anndata(floats(value=np.nan))), "X has NaN or infinite values"
    )


@pytest.mark.parametrize("value", [-1, np.nan, 0.5])
def test_a_bad_value_that_the_first_look_misses(tmp_path, monkeypatch, value):
    monkeypatch.setattr("sgm_core.cells.read.values._SAMPLE", 2)
    counts = small_counts().astype(np.float32)
    counts[20, counts[20].argmax()] = value
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(sparse.csr_matrix(counts)))
    refused(path, r"X of a\.h5ad has .*, first in cell 'cell_20_ACGTACGTAC': counts must be whole numbers")


@pytest.mark.parametrize("value", [-1, None, 0.5])
def test_bad_values_in_text(tmp_path, value):
    table = pd.DataFrame(small_counts().T, index=GENES, columns=small_obs().index).astype(object)
    table.iloc[3, 2] = value
    table.to_csv(tmp_path / "a.csv", index_label="gene")
    small_obs().to_csv(tmp_path / "cells.csv")
    refused(
        tmp_path / "a.csv",
        r"the table of a\.csv has .*, first in cell 'cell_02_ACGTACGTAC'",
        cells=tmp_path / "cells.csv",
    )


def test_missing_donor_column(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    columns = "its columns are donor, cell_type, day, score"
    refused(path, rf"a\.h5ad has no column 'patient' for --donor; {columns}", donor="patient")
    refused(path, rf"no column 'type' for --cell-type; {columns}", cell_type="type")
    refused(path, rf"no column 'when' for --timepoint; {columns}", timepoint="when")
    refused(path, rf"say which column of a\.h5ad is the donor, with --donor; {columns}", donor=None)
    refused(path, "both column 'donor'", cell_type="donor")


def test_one_donor_only(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(donor="P1"))
    refused(
        path, r"one donor only \(P1\) in column 'donor': donors are never split .* at least two are needed"
    )


def test_one_donor_only_after_the_filters(tmp_path):
    counts = small_counts() * (np.arange(N_CELLS) % 6 == 2)[:, None]
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(sparse.csr_matrix(counts)))
    refused(path, r"a\.h5ad \(after the filters\) has one donor only \(P2\)")


def test_cells_without_a_donor(tmp_path):
    donors = small_obs()["donor"].where(np.arange(N_CELLS) != 5)
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(donor=pd.Categorical(donors)))
    refused(path, r"1 of 60 cells of a\.h5ad have no donor in column 'donor': fill them in or remove")


def test_one_class_only(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    message = r"one class only \(T\) in column 'cell_type': a classifier needs at least two classes"
    refused(path, message, unlabelled=["HSC", "GMP"])
    refused(path, "has no labelled cell", unlabelled=["HSC", "GMP", "T"])


def test_empty_after_filters(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    refused(
        path,
        r"nothing of a\.h5ad passes the filters: the richest of 60 cells has \d+ genes, 200 are asked for",
        min_genes=200,
    )
    refused(path, "0 genes are in at least 61 of the cells kept", min_cells=61)


def test_duplicate_cell_names(tmp_path):
    data = small_anndata()
    data.obs_names = ["twice", "twice", *data.obs_names[2:]]
    refused(
        write_h5ad(tmp_path / "a.h5ad", data),
        r"1 cell names of a\.h5ad occur more than once \(such as 'twice'\)",
    )


def test_ensembl_ids(tmp_path):
    data = small_anndata()
    data.var_names = [f"ENSG{i:011d}" for i in range(len(GENES))]
    refused(
        write_h5ad(tmp_path / "a.h5ad", data),
        r"genes of a\.h5ad are Ensembl ids \(ENSG0+ \.\.\.\) and it has no column of symbols: add one to var",
    )


def test_no_known_gene(tmp_path):
    (tmp_path / "list.txt").write_text("ALB\nINS\n")
    path = write_h5ad(tmp_path / "a.h5ad")
    refused(
        path, r"no known gene in a\.h5ad: its genes are named 'ACTB', 'GAPDH'", genes=tmp_path / "list.txt"
    )


@pytest.mark.parametrize("missing", [None, "nan", "", "NA"])
def test_undeclared_nan_labels(tmp_path, missing):
    labels = small_obs()["cell_type"].astype(object)
    labels.iloc[:9] = missing
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(cell_type=pd.Categorical(labels)))
    refused(
        path,
        r"9 of 60 cells of a\.h5ad have no value in column 'cell_type': declare that with --unlabelled nan",
    )
    ds = import_dataset(path, "declared", **ROLES, **FILTERS, unlabelled=["nan"])
    assert ds.labels().isna().sum() == 9
    assert set(ds.labels().dropna()) == {"HSC", "GMP", "T"}


def test_an_unlabelled_value_that_does_not_occur(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    refused(path, "--unlabelled 'hsc' is no value of .* are GMP, HSC, T", unlabelled=["hsc"])


@pytest.mark.parametrize(
    "name", ["../escape", "a/b", "", ".hidden", "a b", "naïve", "x" * 65, "a..b", "-rf", "a\nb"]
)
def test_odd_names(tmp_path, name):
    refused(write_h5ad(tmp_path / "a.h5ad"), r"dataset name .* can't be used", name=name)
    assert {path.name for path in home.home().iterdir()} == {"datasets", "actions.jsonl"}


def test_a_taken_name(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    first = import_dataset(path, "mine", **ROLES, **FILTERS)
    with pytest.raises(SGMError, match="a dataset 'mine' exists already: choose another name or delete"):
        import_dataset(path, "mine", **ROLES, **FILTERS)
    assert [file.name for file in home.folder("datasets").iterdir()] == ["mine"]
    assert first.counts().sum() == small_counts().sum()


@pytest.mark.parametrize("writer", [GrowingArray, Transposer])
def test_disk_full_while_importing(tmp_path, monkeypatch, writer):
    # The scratch files of a matrix stored by gene can fill the disk as well as the dataset can.
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(sparse.csc_matrix(small_counts())))
    method = "append" if writer is GrowingArray else "add"
    written = []
    real = getattr(writer, method)

    def fill(self, *arrays):
        if len(written) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(real(self, *arrays))

    monkeypatch.setattr("sgm_core.cells.read.source.CHUNK_VALUES", 50)
    monkeypatch.setattr(writer, method, fill)
    need = r"about 0\.0 MB" if writer is GrowingArray else "more"
    refused(
        path,
        rf"no space left for dataset 'bad': it needs {need} and [\d.]+ [GM]B is left in .*free some space",
    )
    assert written
