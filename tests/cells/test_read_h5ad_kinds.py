"""h5ad files as every version of anndata, and others, wrote them."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small_files import (
    FILTERS,
    GENES,
    ROLES,
    small_anndata,
    small_counts,
    small_obs,
    write_10x_h5,
    write_cells,
    write_h5ad,
)
from test_bad_input import refused
from test_read import check

from sgm_core.cells.build import import_dataset


def coded(column: str) -> tuple[np.ndarray, list[str]]:
    codes, levels = pd.factorize(small_obs()[column].astype(str), sort=True)
    return codes.astype(np.int8), list(levels)


def write_sparse(file: h5py.File, place: str, attributes: bool = True, kind=sparse.csr_matrix) -> None:
    counts = kind(small_counts().astype(np.float32))
    group = file.create_group(place)
    for name in ("data", "indices", "indptr"):
        group[name] = getattr(counts, name)
    if attributes:
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", np.array(counts.shape)


def write_compound(path, raw: bool = False):
    """As anndata before 0.7: tables are compound datasets, categories are in uns."""
    obs = small_obs()
    columns = {"index": np.array(obs.index, dtype="S")}
    columns |= {column: coded(column)[0] for column in ("donor", "cell_type", "day")}
    with h5py.File(path, "w") as file:
        write_sparse(file, "raw.X" if raw else "X")
        file["obs"] = np.rec.fromarrays(list(columns.values()), names=list(columns))
        genes = [np.array(GENES, dtype="S"), np.arange(len(GENES))]
        var = np.rec.fromarrays(genes, names=["index", "n_cells"])
        file["var"] = var
        if raw:
            file["X"] = np.log1p(small_counts())[:, :30]
            del file["var"]
            file["raw.var"], file["var"] = var, var[:30]
        for column in ("donor", "cell_type", "day"):
            file[f"uns/{column}_categories"] = np.array(coded(column)[1], dtype=object)
    return path


def write_bare(path, reference: bool = True):
    """A group of columns that doesn't say what it is, with categories beside."""
    with h5py.File(path, "w") as file:
        write_sparse(file, "X", attributes=False)
        obs, var = file.create_group("obs"), file.create_group("var")
        obs["_index"], var["index"] = np.array(small_obs().index, dtype=object), np.array(GENES, dtype="S")
        obs.attrs["_index"] = "_index"
        for column in ("donor", "cell_type"):
            codes, levels = coded(column)
            obs[column] = codes
            obs[f"__categories/{column}"] = np.array(levels, dtype=object)
            if reference:
                obs[column].attrs["categories"] = obs[f"__categories/{column}"].ref
        obs["day"] = small_obs()["day"].to_numpy().astype("S")
    return path


@pytest.mark.parametrize("raw", [False, True])
def test_tables_of_anndata_before_0_7(tmp_path, raw):
    ds = import_dataset(write_compound(tmp_path / "a.h5ad", raw), "a", **ROLES, **FILTERS)
    check(ds)
    assert ds.meta["source"]["counts"] == ("raw.X" if raw else "X")


@pytest.mark.parametrize("reference", [True, False])
def test_tables_without_a_declared_encoding(tmp_path, reference):
    ds = import_dataset(write_bare(tmp_path / "a.h5ad", reference), "a", **ROLES, **FILTERS)
    check(ds)
    assert "X doesn't say how it is stored: by its lengths it is csr" in ds.meta["source"]["notes"]


def test_a_bare_table_that_does_not_name_its_rows(tmp_path):
    path = write_bare(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        del file["obs/_index"]
    refused(path, r"obs of a\.h5ad doesn't say which column holds the names: its attribute _index is missing")


@pytest.mark.parametrize("place", ["obs/__categories/{}", "uns/{}_categories"])
def test_codes_with_their_levels_aside(tmp_path, place):
    # SeuratDisk writes factors so, in tables that declare their encoding.
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        for column in ("donor", "cell_type"):
            del file[f"obs/{column}"]
            codes, levels = coded(column)
            file[f"obs/{column}"] = codes.astype(np.int32)
            file[place.format(column)] = np.array(levels, dtype=object)
    check(import_dataset(path, "a", **ROLES, **FILTERS))


def test_codes_whose_levels_are_lost_are_said(tmp_path):
    codes = {column: coded(column)[0].astype(int) for column in ("donor", "cell_type")}
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(**codes))
    notes = import_dataset(path, "a", **ROLES, **FILTERS).meta["source"]["notes"]
    assert sum("'donor', 'cell_type' holds numbers only" in note and "--cells" in note for note in notes) == 1


def test_bytes_of_a_fixed_length_become_text(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        for column in ("donor", "cell_type", "day"):
            del file[f"obs/{column}"]
            file[f"obs/{column}"] = small_obs()[column].astype(str).to_numpy().astype("S")
    check(import_dataset(path, "a", **ROLES, **FILTERS))


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix])
def test_a_matrix_without_attributes(tmp_path, kind):
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "r+") as file:
        del file["X"]
        write_sparse(file, "X", attributes=False, kind=kind)
    check(import_dataset(path, "a", **ROLES, **FILTERS))


def test_a_square_matrix_without_attributes_is_ambiguous(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata()[:40].copy())
    with h5py.File(path, "r+") as file:
        file["X"].attrs.clear()
    refused(path, r"X of a\.h5ad doesn't say how it is stored: its attributes encoding-type and shape")


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("indices", lambda v: np.where(np.arange(v.size) == 9, 40, v), "it names column 40 of 40"),
        ("indices", lambda v: np.where(np.arange(v.size) == 9, -1, v), "it names column -1 of 40"),
        ("indptr", lambda v: v[:-1], "indptr does not divide"),
        ("indptr", lambda v: v[::-1].copy(), "indptr does not divide"),
        ("data", lambda v: v[:-5], "indptr does not divide"),
    ],
)  # fmt: skip
def test_a_matrix_that_is_inconsistent(tmp_path, part, change, message):
    for kind in ("h5ad", "h5"):
        path = write_h5ad(tmp_path / "a.h5ad") if kind == "h5ad" else write_10x_h5(tmp_path / "a.h5")
        place = f"{'X' if kind == 'h5ad' else 'matrix'}/{part}"
        with h5py.File(path, "r+") as file:
            values = change(file[place][:])
            del file[place]
            file[place] = values
        cells = {} if kind == "h5ad" else {"cells": write_cells(tmp_path / "cells.csv")}
        refused(path, message, **cells)


def test_a_column_called_cell(tmp_path):
    data = small_anndata()
    data.obs = data.obs.rename(columns={"cell_type": "cell"})
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), "a", "donor", "cell", "day", **FILTERS)
    check(ds)


@pytest.mark.parametrize(
    ("column", "left_out"),
    [
        ("feature_types", "3 features that are no genes were left out (2 Antibody Capture, 1 Custom)"),
        ("feature_type", "3 features that are no genes were left out (2 Antibody Capture, 1 Custom)"),
    ],
)
def test_antibodies_are_no_genes(tmp_path, column, left_out):
    data = small_anndata()
    data.var[column] = pd.Categorical(["Gene Expression"] * 37 + ["Antibody Capture"] * 2 + ["Custom"])
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), "a", **ROLES, **FILTERS)
    check(ds, GENES[:37])
    assert left_out in ds.meta["source"]["notes"]
    assert ds.meta["gene_report"]["other_features"] == 3


def test_biotypes_are_no_feature_types(tmp_path):
    data = small_anndata()
    data.var["feature_type"] = ["protein_coding", "lncRNA"] * 20
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), "a", **ROLES, **FILTERS)
    check(ds)
    assert ds.meta["source"]["notes"] == []


def test_features_without_a_gene(tmp_path):
    data = small_anndata()
    data.var["feature_types"] = "Peaks"
    path = write_h5ad(tmp_path / "a.h5ad", data)
    refused(path, r"a\.h5ad holds no gene expression: its features are 40 Peaks")
