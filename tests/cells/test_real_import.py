"""The import of real AML data, against anndata and pandas, which share no code with it."""

import os
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sgm_core.cells.build import import_dataset
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.quality import cell_quality
from sgm_core.cells.split import class_coverage, donor_folds, scored_classes

ROLES = {"donor": "donor", "cell_type": "ennis_cell_type", "timepoint": "timepoint"}


@pytest.fixture(scope="module")
def file(shared):
    return shared / "data/vangalen2019_aml/vangalen2019_aml_d0_bm.h5ad"


@pytest.fixture(scope="module")
def real_home(file, tmp_path_factory):
    """Home folder with the dataset, imported by the command of the README; its processor seconds and GB."""
    home = tmp_path_factory.mktemp("real")
    command = [sys.executable, "-m", "sgm_core.cli", "data", "import", str(file), "--name", "vangalen"]
    command += ["--donor", "donor", "--cell-type", "ennis_cell_type", "--timepoint", "timepoint"]
    command += ["--unlabelled", "not_in_atlas"]
    with (tmp_path_factory.mktemp("log") / "log.txt").open("w+") as log:
        environment = {"SGM_HOME": str(home), "PATH": "/usr/bin:/bin"}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)  # of this process alone
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        assert process.returncode == 0, log.read()
    return home, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


@pytest.fixture
def dataset(real_home, monkeypatch):
    monkeypatch.setenv("SGM_HOME", str(real_home[0]))
    return open_dataset("vangalen")


@pytest.fixture(scope="module")
def reference(file):
    return ad.read_h5ad(file)


def test_time_and_memory(real_home):
    _, seconds, peak = real_home
    assert seconds < 60
    assert peak < 2.0


def test_every_count_is_anndatas(dataset, reference):
    detected = np.asarray((reference.X > 0).sum(axis=0)).ravel()
    expected = reference[:, detected >= 3]
    expected = expected[:, np.argsort(expected.var_names.to_numpy(dtype=str))].copy()
    assert dataset.genes.tolist() == expected.var_names.tolist()
    assert dataset.obs["cell"].tolist() == expected.obs_names.tolist()
    assert np.array_equal(
        dataset.var["total_counts"], np.asarray(expected.X.sum(axis=0, dtype=np.float64)).ravel()
    )
    assert np.array_equal(dataset.totals(), np.asarray(expected.X.sum(axis=1, dtype=np.float64)).ravel())
    rows = np.random.default_rng(0).integers(0, dataset.n_cells, 20)
    assert np.array_equal(dataset.take(rows).toarray(), expected.X[rows].toarray())
    assert dataset.counts().dtype == np.uint16


def test_cells_and_labels_are_pandas(dataset, reference):
    obs = reference.obs
    assert dataset.donors().tolist() == obs["donor"].astype(str).tolist()
    labels = dataset.labels()
    assert labels.isna().sum() == 201
    kept = obs["ennis_cell_type"] != "not_in_atlas"
    assert labels.dropna().tolist() == obs["ennis_cell_type"][kept].tolist()
    assert "vangalen_cell_type" in dataset.grouping_columns()
    assert "score_HSC" not in dataset.grouping_columns()
    np.testing.assert_array_equal(dataset.obs["ennis_umap_x"], obs["ennis_umap_x"])


def test_mitochondrial_share_is_scanpys(dataset, reference):
    import scanpy as sc

    data = reference[:, np.isin(reference.var_names, dataset.genes)].copy()
    data.var["mt"] = data.var_names.str.startswith("MT-")
    sc.pp.calculate_qc_metrics(data, qc_vars=["mt"], percent_top=None, inplace=True)
    quality = cell_quality(dataset)
    np.testing.assert_allclose(quality["percent_mito"], data.obs["pct_counts_mt"], atol=1e-4)
    assert np.array_equal(quality["n_genes"], data.obs["n_genes_by_counts"])


def test_normalisation_is_scanpys(dataset, reference):
    import scanpy as sc

    rows = np.arange(0, dataset.n_cells, 997)
    data = reference[rows][:, dataset.genes].copy()
    sc.pp.normalize_total(data, target_sum=1e4)
    sc.pp.log1p(data)
    np.testing.assert_allclose(dataset.lognorm(rows).toarray(), data.X.toarray(), rtol=1e-5)


@pytest.mark.parametrize(("label", "n_scored"), [("ennis_cell_type", 17), ("vangalen_cell_type", 21)])
def test_folds_cover_the_classes(dataset, label, n_scored):
    scored, others = scored_classes(dataset, label)
    assert len(scored) == n_scored
    assert set(others["cell_type"]) == ({"Mesenchymal", "Pre.B"} if n_scored == 17 else set())
    folds = donor_folds(dataset, label=label)
    coverage = class_coverage(dataset, folds, label).query("scored")
    assert (coverage["train_cells"] > 0).all()
    assert (coverage["test_cells"] > 0).all()
    healthy = [sum(donor.startswith("BM") for donor in fold.test) for fold in folds]
    assert sorted(healthy) == [0, 0, 1, 1, 1]


def test_the_geo_pairs_hold_the_same_cells(shared, reference):
    ds = import_dataset(
        shared / "data/vangalen2019_aml/raw", "geo", min_genes=0, min_cells=0, unlabelled=["nan"]
    )
    assert ds.meta["source"]["format"] == "GEO, 5 pairs"
    expected = reference[ds.obs["cell"], ds.genes]
    assert np.array_equal(ds.counts().toarray(), expected.X.toarray())
    assert ds.donors().tolist() == expected.obs["donor"].astype(str).tolist()
    assert ds.obs["timepoint"].tolist() == expected.obs["timepoint"].astype(str).tolist()
    assert ds.labels().tolist() == expected.obs["vangalen_cell_type"].astype(str).tolist()
    assert ds.obs["PredictionRefined"].tolist() == expected.obs["PredictionRefined"].astype(str).tolist()


def test_coverage_of_the_vocabulary_is_as_stated_at_the_source(file, shared, reference):
    lists = shared / "data/gene_lists"
    vocabulary = lists / "OS_scRNA_gene_index.19264.tsv"
    plain = import_dataset(file, "plain", **ROLES, unlabelled=["not_in_atlas"], genes=vocabulary, min_cells=0)
    report = plain.meta["gene_report"]
    assert report["vocabulary_found"] == 18_432
    assert report["coverage_counts"] == pytest.approx(0.836, abs=5e-4)
    symbols = pd.read_csv(vocabulary, sep="\t")["gene_name"]
    share = reference[:, reference.var_names.isin(symbols)].X.sum() / reference.X.sum(dtype=np.float64)
    assert report["coverage_counts"] == pytest.approx(share, abs=1e-6)
    mapped = import_dataset(
        file, "mapped", **ROLES, unlabelled=["not_in_atlas"], genes=vocabulary, min_cells=0,
        aliases=lists / "hgnchelper_symbol_map_2022-04.tsv",
    )  # fmt: skip
    assert mapped.meta["gene_report"]["coverage_counts"] == pytest.approx(0.886, abs=2e-3)
