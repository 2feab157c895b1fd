"""Maps and colours of h5ad files."""

import h5py
import numpy as np
import pandas as pd
import pytest
from small_files import FILTERS, N_CELLS, ROLES, small_anndata, write_cells, write_h5ad

from sgm_core.cells.build import import_dataset
from sgm_core.cells.colours import hex_colour

LEVELS = ["GMP", "HSC", "T"]


def notes(ds) -> str:
    return "; ".join(ds.meta["source"]["notes"])


def test_maps_come_with_the_cells_that_are_kept(tmp_path):
    data = small_anndata()
    rng = np.random.default_rng(0)
    for name, width in (("X_umap", 2), ("X_tsne", 3), ("X_pca", 20), ("X_pca_umap", 2)):
        data.obsm[name] = rng.normal(size=(N_CELLS, width))
    data.obsm["X_umap"][7] = np.nan
    data.X = data.X.toarray()
    data.X[3] = 0  # a cell that the filters drop
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), "mine", **ROLES, **FILTERS)
    assert list(ds.maps()) == ["pca_umap_in_file", "tsne", "umap"]
    kept = pd.read_parquet(ds.maps()["umap"])
    assert ds.n_cells == N_CELLS - 1 and len(kept) == N_CELLS - 2
    rows = np.delete(np.arange(N_CELLS), 3)[kept["cell"]]
    assert 7 not in rows and 3 not in rows
    np.testing.assert_allclose(kept[["x", "y"]], data.obsm["X_umap"][rows], rtol=1e-6)
    assert "map X_umap has 59 of the 60 cells" in notes(ds)


def test_the_content_of_a_dataset_is_its_counts_and_not_its_maps(tmp_path):
    plain = import_dataset(write_h5ad(tmp_path / "a.h5ad"), "plain", **ROLES, **FILTERS)
    data = small_anndata()
    data.obsm["X_umap"] = np.ones((N_CELLS, 2))
    data.uns["cell_type_colors"] = np.array(["red", "green", "blue"])
    more = import_dataset(write_h5ad(tmp_path / "b.h5ad", data), "more", **ROLES, **FILTERS)
    assert plain.content_hash == more.content_hash
    assert more.maps() and not plain.maps()


def test_colours_follow_the_order_of_the_categories(tmp_path):
    data = small_anndata()
    data.obs["cell_type"] = data.obs["cell_type"].cat.set_categories(["T", "HSC", "never", "GMP"])
    data.uns["cell_type_colors"] = np.array(["#1F77B4", "steelblue", "#abc", "#d6272880"])
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), "mine", **ROLES, **FILTERS)
    got = ds.colours("cell_type")
    assert got == {"T": "#1f77b4", "HSC": "#4682b4", "never": "#aabbcc", "GMP": "#d62728"}
    assert ds.colours("donor") is None and ds.colours("nope") is None


@pytest.mark.parametrize(
    ("colours", "why"),
    [(["red"], "there are 1 for 3 levels"), (["red", "no such", "blue"], "'no such' is no colour")],
)
def test_colours_that_do_not_fit_are_a_note_and_no_error(tmp_path, colours, why):
    data = small_anndata()
    data.uns["cell_type_colors"] = np.array(colours)
    data.uns["day_colors"] = np.array(["red", "blue"])  # day is text in this file: anndata makes categories
    data.uns["score_colors"] = np.array(["red"])
    ds = import_dataset(write_h5ad(tmp_path / "a.h5ad", data), "mine", **ROLES, **FILTERS)
    assert ds.colours("cell_type") is None
    assert why in notes(ds)
    assert "'score' were left out" in notes(ds)
    assert ds.colours("day") == {"D0": "#ff0000", "D30": "#0000ff"}


def test_colours_of_a_column_that_a_table_replaced_are_left_out(tmp_path):
    data = small_anndata(cell_type=pd.Categorical(np.array(["x", "y", "z"])[np.arange(N_CELLS) % 3]))
    data.uns["cell_type_colors"] = np.array(["red", "green", "blue"])
    path, table = write_h5ad(tmp_path / "a.h5ad", data), write_cells(tmp_path / "cells.csv")
    ds = import_dataset(path, "mine", **ROLES, **FILTERS, cells=table)
    assert ds.colours("cell_type") is None
    assert "its levels are others now" in notes(ds)


def test_a_damaged_map_is_left_out(tmp_path):
    path = write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        file["obsm/X_short"] = np.ones((5, 2))
        file["obsm/X_empty"] = np.full((N_CELLS, 2), np.nan)
        file["obsm/X_text"] = np.full((N_CELLS, 2), b"a")
        file["obsm/X_flat"] = np.ones(N_CELLS)
    ds = import_dataset(path, "mine", **ROLES, **FILTERS)
    assert not ds.maps()
    assert "X_short was left out: it has 5 rows" in notes(ds) and "X_empty was left out" in notes(ds)


@pytest.mark.parametrize(
    ("given", "want"),
    [("#ABC", "#aabbcc"), ("#abcd", "#aabbcc"), ("#11223344", "#112233"), ("tab:blue", "#1f77b4"),
     ("0.5", None), ("", None), ("#12", None), ("<b>", None)],
)  # fmt: skip
def test_colours_are_brought_into_one_form(given, want):
    assert hex_colour(given) == want
