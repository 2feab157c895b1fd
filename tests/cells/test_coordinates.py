import numpy as np
import pandas as pd
import pytest
from small_files import FILTERS, ROLES, small_counts, small_obs, write_h5ad

from sgm_core.analysis.embedding import dataset_umap
from sgm_core.cells.build import import_dataset
from sgm_core.cells.coordinates import is_coordinates
from sgm_core.cells.maps import coordinate_pairs, map_name
from sgm_core.cells.quality import class_table, composition
from sgm_core.errors import InputError

N = 30


def table(**changes) -> pd.DataFrame:
    number = np.arange(N)
    return pd.DataFrame(
        {
            "barcode": [f"c{i}" for i in number],
            "umap_x": number / 3,
            "umap_y": -number / 7,
            "cell_type": np.array(["HSC", "T", None], dtype=object)[number % 3],
            "patient": [f"P{i % 4}" for i in number],
            "age": number % 5,
        }
    ).assign(**changes)


def saved(tmp_path, frame: pd.DataFrame, name: str = "map.parquet"):
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    return path


@pytest.mark.parametrize("name", ["map.parquet", "map.csv", "map.csv.gz", "map.tsv"])
def test_coordinates_and_labels_become_a_dataset_without_counts(tmp_path, name):
    ds = import_dataset(saved(tmp_path, table(), name), "mine")
    assert (ds.n_cells, ds.n_genes, ds.has_counts, ds.has_donors, ds.donor_column) == (
        N,
        0,
        False,
        False,
        None,
    )
    kept = pd.read_parquet(ds.maps()["umap"])
    assert kept["cell"].tolist() == list(range(N))
    np.testing.assert_allclose(kept["x"], np.arange(N) / 3, rtol=1e-6)
    np.testing.assert_allclose(kept["y"], -np.arange(N) / 7, rtol=1e-6)
    assert ds.obs["cell"].tolist() == [f"c{i}" for i in range(N)]
    assert ds.labels().notna().sum() == 20
    assert ds.obs["age"].tolist() == (np.arange(N) % 5).tolist()
    assert "umap_x" not in ds.obs
    assert any("'cell_type' was taken" in note for note in ds.meta["source"]["notes"])
    assert class_table(ds).to_dict("list") == {"cell_type": ["HSC", "T"], "cells": [10, 10]}
    assert composition(ds)["cells"].sum() == N


def test_what_needs_counts_or_donors_says_so(tmp_path):
    ds = import_dataset(saved(tmp_path, table()), "mine")
    for call in (ds.counts, ds.totals, ds.lognorm, lambda: ds.gene("CD34"), lambda: ds.take(slice(2))):
        with pytest.raises(InputError, match="'mine' has coordinates and labels only, no counts"):
            call()
    with pytest.raises(InputError, match=r"'mine' does not say which donor .* --donor COL"):
        ds.donors()
    with pytest.raises(InputError, match=r"no counts, which a comparison needs"):
        ds.require_counts("a comparison")
    with pytest.raises(InputError, match=r"no counts, which a map of its expression needs"):
        dataset_umap(ds)


def test_donors_are_used_where_they_are_named(tmp_path):
    ds = import_dataset(saved(tmp_path, table()), "mine", donor="patient", cell_type="cell_type")
    assert ds.donors().nunique() == ds.meta["n_donors"] == 4
    assert "donors" in class_table(ds)


def test_the_content_is_the_places_and_the_labels(tmp_path):
    one = import_dataset(saved(tmp_path, table()), "one")
    same = import_dataset(saved(tmp_path, table(), "again.csv"), "same")
    moved = import_dataset(saved(tmp_path, table(umap_x=np.arange(N) / 4), "moved.parquet"), "moved")
    assert one.content_hash == same.content_hash != moved.content_hash


def test_other_columns_are_named_with_map(tmp_path):
    frame = table().rename(columns={"umap_x": "across", "umap_y": "up"})
    path = saved(tmp_path, frame)
    with pytest.raises(
        InputError, match=r"no pair of columns .* --map X Y; its columns are 'barcode', 'across'"
    ):
        import_dataset(path, "mine")
    with pytest.raises(InputError, match="no column 'down' for --map"):
        import_dataset(path, "mine", map_columns=("across", "down"))
    ds = import_dataset(path, "mine", map_columns=("across", "up"))
    assert list(ds.maps()) == ["map"]


def test_cells_without_a_place_stay_in_the_table_and_off_the_map(tmp_path):
    x = np.arange(N) / 3
    x[4], x[5] = np.nan, np.inf
    ds = import_dataset(saved(tmp_path, table(umap_x=x)), "mine")
    assert ds.n_cells == N
    assert len(pd.read_parquet(ds.maps()["umap"])) == N - 2
    assert any("28 of the 30 cells" in note for note in ds.meta["source"]["notes"])


def test_bad_tables_are_refused_in_a_line(tmp_path):
    words = saved(tmp_path, table(umap_x=["left"] * N), "words.csv")
    with pytest.raises(InputError, match=r"'umap_x' of words.csv holds 'left' \(row 1\)"):
        import_dataset(words, "mine")
    nowhere = saved(tmp_path, table(umap_x=np.nan), "nowhere.parquet")
    with pytest.raises(InputError, match=r"no cell of nowhere.* has a place"):
        import_dataset(nowhere, "mine")
    unknown = saved(tmp_path, table().drop(columns=["cell_type"]).assign(a="b", c=["d", "e"] * 15))
    with pytest.raises(InputError, match=r"which column of map.parquet is the cell type, .* 'patient'"):
        import_dataset(unknown, "mine")
    with pytest.raises(InputError, match=r"no counts: leave out --layer"):
        import_dataset(saved(tmp_path, table()), "mine", layer="raw")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="no whole parquet file"):
        import_dataset(tmp_path / "broken.parquet", "mine")


def test_names_that_repeat_are_kept_as_a_column(tmp_path):
    ds = import_dataset(saved(tmp_path, table(barcode=["same", "other", "third"] * 10)), "mine")
    assert ds.obs["cell"].tolist()[:2] == ["row_1", "row_2"]
    assert ds.obs["barcode"].tolist()[:2] == ["same", "other"]


def test_a_table_of_counts_with_places_beside_them_stays_one(tmp_path):
    counts = pd.DataFrame(small_counts(), columns=["ACTB", "CD34", *[f"G{i}" for i in range(38)]])
    for i, gene in enumerate(["GAPDH", "B2M", "MALAT1", "LYZ", "HBB"]):
        counts = counts.rename(columns={f"G{i}": gene})
    counts.insert(0, "cell", small_obs().index)
    counts["UMAP_1"], counts["UMAP_2"] = 0.5, 1.5
    path = saved(tmp_path, counts, "counts.csv")
    assert not is_coordinates(path)
    assert is_coordinates(saved(tmp_path, table(), "map.csv"))
    assert not is_coordinates(write_h5ad(tmp_path / "a.h5ad"))
    with_cells = tmp_path / "cells.csv"
    small_obs().rename_axis("cell").to_csv(with_cells)
    ds = import_dataset(path, "mine", **ROLES, cells=with_cells, **FILTERS)
    assert ds.has_counts and "CD34" in ds.genes


@pytest.mark.parametrize(
    ("columns", "pairs"),
    [
        (["x", "y"], {"map": ("x", "y")}),
        (
            ["UMAP_1", "UMAP_2", "tSNE-1", "tSNE-2"],
            {"UMAP": ("UMAP_1", "UMAP_2"), "tSNE": ("tSNE-1", "tSNE-2")},
        ),
        (["X_umap0", "X_umap1"], {"umap": ("X_umap0", "X_umap1")}),
        (["sample_1", "sample_2", "chr_x"], {}),
        (["y", "day1", "day2"], {}),
        (["pca_umap_x", "pca_umap_y"], {"pca_umap_in_file": ("pca_umap_x", "pca_umap_y")}),
    ],
)
def test_pairs_are_found_by_their_names(columns, pairs):
    assert coordinate_pairs(columns) == pairs


def test_a_map_gets_a_name_that_a_file_can_have():
    assert map_name("X_umap") == "umap"
    assert map_name("X_a/b ../c") == "a_b___c"
    assert map_name("../..") == "map"
    assert map_name("umap", {"umap": 1}) == "umap_in_file"


def test_no_run_is_made_of_a_dataset_without_counts(tmp_path):
    from sgm_core.runs.store import create_run, list_runs

    import_dataset(saved(tmp_path, table()), "mine")
    with pytest.raises(InputError, match="no counts, which a run of kind 'compare' needs"):
        create_run("compare", "mine", {"data": "mine"})
    assert list_runs() == []
    # its cells can be written all the same
    assert create_run("export", "mine", {"data": "mine", "rows": "rows.npy", "name": "few"}).kind == "export"
