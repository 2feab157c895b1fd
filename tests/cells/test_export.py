"""Some cells as a file of their own."""

import anndata
import numpy as np
import pandas as pd
import pytest

from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.export import export_csv, export_h5ad, export_run, exported
from sgm_core.errors import Cancelled, InputError
from sgm_core.home import write_table
from sgm_core.progress import Observer
from sgm_core.spreadsheet import restored


@pytest.fixture
def rows(demo_dataset) -> np.ndarray:
    table = pd.DataFrame({"cell": np.arange(500), "x": np.arange(500.0), "y": -np.arange(500.0)})
    write_table(demo_dataset.path / "embeddings" / "pca_umap.parquet", table)
    return np.random.default_rng(0).permutation(demo_dataset.n_cells)[:333]


def test_an_h5ad_written_in_blocks_is_the_one_made_in_memory(demo_dataset, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("sgm_core.cells.export._BLOCK_VALUES", 1000)
    file = anndata.read_h5ad(export_h5ad(demo_dataset, rows, tmp_path / "some.h5ad"))
    expected = demo_dataset.to_anndata(rows)
    assert (file.X != expected.X).nnz == 0
    assert file.X.dtype == expected.X.dtype
    pd.testing.assert_frame_equal(file.obs.astype(object), expected.obs.astype(object), check_dtype=False)
    pd.testing.assert_frame_equal(file.var, expected.var)
    np.testing.assert_array_equal(file.obsm["X_pca_umap"], expected.obsm["X_pca_umap"])
    assert np.isnan(file.obsm["X_pca_umap"]).any() and not np.isnan(file.obsm["X_pca_umap"]).all()
    assert dict(file.uns["sgm_core"]) == dict(expected.uns["sgm_core"])


def test_it_can_be_imported_again(demo_dataset, rows, tmp_path):
    from sgm_core.cells.build import import_dataset

    path = export_h5ad(demo_dataset, np.sort(rows), tmp_path / "some.h5ad")
    again = import_dataset(path, "again", donor="donor", cell_type="cell_type", min_genes=0, min_cells=0)
    assert again.n_cells == len(rows)
    np.testing.assert_array_equal(again.totals(), demo_dataset.totals()[np.sort(rows)])


def test_a_cancelled_export_leaves_nothing(demo_dataset, rows, tmp_path):
    class Impatient(Observer):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        export_h5ad(demo_dataset, rows, tmp_path / "some.h5ad", Impatient())
    assert list(tmp_path.glob("some*")) == []


def test_what_is_no_row_is_refused(demo_dataset, tmp_path):
    for wrong, why in (
        ([], "no cell is selected"),
        ([-1], "go from 0 to"),
        ([demo_dataset.n_cells], "go from"),
    ):
        for write in (export_h5ad, export_csv):
            with pytest.raises(InputError, match=why):
                write(demo_dataset, np.array(wrong, dtype=int), tmp_path / "x")


def test_the_csv_has_every_cell_and_no_formula(demo_dataset, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("sgm_core.cells.export._BLOCK_ROWS", 100)
    write_table(demo_dataset.path / "obs.parquet", demo_dataset.obs.assign(note="=1+1"))
    demo_dataset = open_dataset(demo_dataset.name)
    more = pd.DataFrame({"confidence": np.arange(demo_dataset.n_cells) / 10})
    path = export_csv(demo_dataset, rows, tmp_path / "some.csv", more)
    table = pd.read_csv(path)
    assert (table["note"] == "'=1+1").all()
    assert restored(table)["note"].eq("=1+1").all()
    assert table["cell"].tolist() == demo_dataset.obs["cell"].iloc[rows].tolist()
    np.testing.assert_allclose(table["confidence"], rows / 10)


def test_an_export_in_the_background(demo_dataset, rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    export_run({"data": "small", "rows": "rows.npy", "name": "mine"}, tmp_path, Observer())
    assert anndata.read_h5ad(exported("mine")).n_obs == len(rows)
    assert open_dataset("small").n_cells == demo_dataset.n_cells
