import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small_files import FILTERS, GENES, N_CELLS, ROLES, small_anndata, small_counts, write_cells, write_h5ad

from sgm_core import home
from sgm_core.cells.build import import_dataset
from sgm_core.errors import Cancelled, InputError, NotFoundError
from sgm_core.progress import Observer


@pytest.fixture
def path(tmp_path):
    return write_h5ad(tmp_path / "a.h5ad")


def left_behind() -> list[str]:
    return sorted(path.name for path in home.folder("datasets").iterdir())


def test_the_filters_are_those_of_scanpy(tmp_path):
    import scanpy as sc

    counts = small_counts() * (np.random.default_rng(5).random((N_CELLS, len(GENES))) < 0.4)
    data = small_anndata(sparse.csr_matrix(counts.astype(np.float32)))
    ds = import_dataset(write_h5ad(tmp_path / "b.h5ad", data), "b", **ROLES, min_genes=8, min_cells=10)
    sc.pp.filter_cells(data, min_genes=8)
    sc.pp.filter_genes(data, min_cells=10)
    assert 0 < data.n_obs < N_CELLS
    assert 0 < data.n_vars < len(GENES)
    expected = data[:, sorted(data.var_names)]
    assert ds.obs["cell"].tolist() == expected.obs_names.tolist()
    assert ds.genes.tolist() == expected.var_names.tolist()
    assert np.array_equal(ds.counts().toarray(), expected.X.toarray())
    dropped = {"cells_dropped": N_CELLS - data.n_obs, "genes_dropped": len(GENES) - data.n_vars}
    assert dropped.items() <= ds.meta["filters"].items()


def test_what_is_kept_about_the_import(path):
    ds = import_dataset(path, "a", **ROLES, **FILTERS, unlabelled=["T"], note="mine", simulated=True)
    meta = json.loads((ds.path / "dataset.json").read_text())
    assert meta["source"] == {"path": str(path), "format": "h5ad (csr)", "counts": "X", "notes": []}
    assert meta["roles"] == {"donor": "donor", "cell_type": "cell_type", "timepoint": "day"}
    assert (meta["unlabelled"], meta["note"], meta["simulated"]) == (["T"], "mine", True)
    assert (meta["n_cells"], meta["n_genes"], meta["n_donors"]) == (N_CELLS, len(GENES), 6)
    assert ds.labels().isna().sum() == 20
    assert ds.obs["score"].dtype == float
    assert ds.counts().dtype == np.uint8
    assert left_behind() == ["a"]


def test_duplicates_are_summed_before_the_filters(tmp_path):
    data = small_anndata()
    data.var_names = ["ACTB", "ACTB", *GENES[2:]]
    data.var_names_make_unique = lambda *a, **k: None
    ds = import_dataset(write_h5ad(tmp_path / "b.h5ad", data), "b", **ROLES, **FILTERS)
    summed = ds.counts()[:, ds.genes.tolist().index("ACTB")].toarray().ravel()
    assert np.array_equal(summed, small_counts()[:, :2].sum(axis=1))
    assert ds.meta["gene_report"]["summed_examples"] == ["ACTB"]


def test_a_gene_list_restricts_and_its_coverage_is_reported(path, tmp_path):
    (tmp_path / "list.tsv").write_text("gene_name\tindex\n" + "\n".join([*GENES[:10], "NOWHERE", "ABSENT"]))
    ds = import_dataset(path, "a", **ROLES, min_genes=1, min_cells=1, genes=tmp_path / "list.tsv")
    assert set(ds.genes) == set(GENES[:10])
    report = ds.meta["gene_report"]
    assert (report["vocabulary"], report["vocabulary_found"]) == (12, 10)
    assert report["coverage_genes"] == 0.25
    counts = small_counts()
    assert report["coverage_counts"] == pytest.approx(counts[:, :10].sum() / counts.sum())


def test_aliases_come_from_a_file(path, tmp_path):
    (tmp_path / "map.tsv").write_text("Symbol\tApproved.Symbol\nACTB\tNEWACTB\nGAPDH\tGAPDH\n")
    ds = import_dataset(path, "a", **ROLES, **FILTERS, aliases=tmp_path / "map.tsv")
    assert "NEWACTB" in ds.genes
    assert ds.meta["gene_report"]["aliases_mapped"] == 1


def test_progress_goes_from_nothing_to_all(path):
    class Watch(Observer):
        def __init__(self):
            self.shares, self.messages = [], []

        def progress(self, done, total, what=""):
            self.shares.append(done / total)

        def message(self, text):
            self.messages.append(text)

    watch = Watch()
    import_dataset(path, "a", **ROLES, **FILTERS, observer=watch)
    assert watch.shares[0] == 0
    assert watch.shares[-1] == 1
    assert watch.shares == sorted(watch.shares)
    assert "counts in X" in watch.messages[0]


def test_a_cancelled_import_leaves_nothing(path):
    class Stop(Observer):
        def check(self):
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        import_dataset(path, "a", **ROLES, observer=Stop())
    assert left_behind() == []


def test_a_table_of_cells_adds_columns(tmp_path):
    data = small_anndata()
    data.obs = data.obs[["score"]]
    path = write_h5ad(tmp_path / "b.h5ad", data)
    cells = write_cells(tmp_path / "cells.csv")
    with pytest.raises(InputError, match=r"say which column of b\.h5ad is the donor, with --donor"):
        import_dataset(path, "b", cell_type="cell_type")
    ds = import_dataset(path, "b", **ROLES, **FILTERS, cells=cells)
    assert ds.meta["n_donors"] == 6
    pd.DataFrame({"cell": ["x", "y"], "donor": ["a", "b"]}).to_csv(cells, index=False)
    with pytest.raises(InputError, match=r"no cell name of cells\.csv \(such as 'x'\) is in b\.h5ad"):
        import_dataset(path, "c", **ROLES, cells=cells)


def test_files_that_are_not_there(tmp_path, path):
    with pytest.raises(NotFoundError, match="there is no file"):
        import_dataset(tmp_path / "none.h5ad", "a")
    with pytest.raises(NotFoundError, match="there is no file"):
        import_dataset(path, "a", **ROLES, genes="none.tsv")
    assert left_behind() == []


def test_no_heavy_import_at_start():
    code = (
        "import sys, sgm_core.cells.dataset, sgm_core.cells.split, sgm_core.cells.quality;"
        "import sgm_core.cells.build;"
        "print([m for m in ('torch', 'scanpy', 'sklearn', 'anndata', 'umap') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
