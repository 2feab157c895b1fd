import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sgm_core.cells import by_gene
from sgm_core.cells import dataset as datasets
from sgm_core.cells.compressed import Compressed
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.facts import Moments, gene_moments
from sgm_core.cells.quality import cell_quality
from sgm_core.cells.write import write_dataset
from sgm_core.errors import InputError

N, GENES = 90, ["A", "B", "C", "MT-CO1", "Z"]


@pytest.fixture
def counts() -> np.ndarray:
    counts = np.random.default_rng(5).poisson(0.7, (N, len(GENES)))
    counts[3] = 0
    counts[:, 2] = 0
    counts[8, 1] = 70_000
    return counts


def write(counts: np.ndarray, name: str = "mine"):
    obs = pd.DataFrame(
        {
            "cell": [f"c{i}" for i in range(N)],
            "type": ["a", "b", "c"] * 30,
            "donor": [f"P{i % 7}" for i in range(N)],
        }
    )
    roles = {"donor": "donor", "cell_type": "type", "timepoint": None}
    return write_dataset(name, [sparse.csr_matrix(counts)], obs, GENES, roles)


@pytest.fixture
def ds(counts):
    return write(counts)


def make_old(ds):
    """What a dataset of an older program is."""
    shutil.rmtree(ds.path / "by_gene")
    shutil.rmtree(ds.path / "facts")
    (ds.path / "quality.parquet").unlink()
    return open_dataset(ds.name)


@pytest.mark.parametrize("block", [1, 7, 50, 10**6])
def test_the_copy_by_gene_is_the_same_matrix_whatever_the_blocks(ds, counts, monkeypatch, tmp_path, block):
    monkeypatch.setattr(by_gene, "_BLOCK", block)
    shares = []
    made = by_gene.write_by_gene(Compressed(ds.path), ds.n_genes, tmp_path, tmp_path, shares.append)
    values, cells, pointers = made.take(slice(None))
    got = sparse.csc_matrix((values, cells, pointers), shape=counts.shape)
    assert np.array_equal(got.toarray(), counts)
    assert got.has_sorted_indices
    assert (pointers.dtype, cells.dtype, values.dtype) == (np.int64, np.int32, np.uint32)
    files = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert files == {"counts.npy", "indices.npy", "indptr.npy"}
    assert shares == sorted(shares) and shares[-1] == 1


def test_one_gene_is_a_column_of_the_normalised_matrix(ds, counts):
    whole = ds.lognorm().toarray()
    for i, gene in enumerate(GENES):
        assert np.array_equal(ds.gene(gene), whole[:, i])
        assert np.array_equal(ds.gene(gene, normalised=False), counts[:, i])
        assert ds.gene(gene).dtype == np.float32
    some = ds.genes_matrix(["Z", "A", "Z"])
    assert isinstance(some, sparse.csc_matrix)
    assert np.array_equal(some.toarray(), whole[:, [4, 0, 4]])
    with pytest.raises(InputError, match="no gene 'NOPE'"):
        ds.gene("NOPE")


def test_a_gene_reads_its_own_values_only(ds, monkeypatch):
    def take(self, rows):
        raise AssertionError("all cells were read")

    monkeypatch.setattr(datasets.Dataset, "take", take)
    assert ds.gene("A").any()


def test_an_old_dataset_gets_its_copy_when_it_is_small_and_is_read_in_blocks_when_not(ds, monkeypatch):
    want = ds.gene("A"), ds.genes_matrix(["B", "A"]).toarray(), ds.content_hash
    old = make_old(ds)
    monkeypatch.setattr(datasets, "_AT_ONCE", 3)
    monkeypatch.setattr(datasets, "_BLOCK", 11)
    assert np.array_equal(old.gene("A"), want[0])
    assert np.array_equal(old.genes_matrix(["B", "A"]).toarray(), want[1])
    assert not (old.path / "by_gene").exists()
    monkeypatch.setattr(datasets, "_AT_ONCE", 10**6)
    assert np.array_equal(old.gene("A"), want[0])
    assert (old.path / "by_gene" / "indptr.npy").is_file()
    assert open_dataset("mine").content_hash == want[2]
    assert {path.name for path in old.path.iterdir() if path.name.startswith(".")} == set()


def test_a_folder_that_can_not_be_written_is_read_in_blocks(ds, monkeypatch):
    want, old = ds.gene("A"), make_old(ds)

    def refuse(*given):
        raise PermissionError("read-only")

    monkeypatch.setattr(datasets, "add_by_gene", refuse)
    assert np.array_equal(old.gene("A"), want)


def dense_moments(ds, counts, donors) -> tuple[np.ndarray, ...]:
    keep = ds.donors().isin(donors).to_numpy()
    x = np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))[keep]
    return keep.sum(), x.mean(axis=0), x.var(axis=0), (counts[keep] > 0).mean(axis=0)


@pytest.mark.parametrize("donors", [None, ["P3"], ["P6", "P0", "P6"]])
def test_moments_are_those_of_the_dense_matrix(ds, counts, donors):
    got = gene_moments(ds).over(donors)
    n, mean, variance, detection = dense_moments(ds, counts, donors or [f"P{i}" for i in range(7)])
    assert got.n_cells == n
    np.testing.assert_allclose(got.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(got.variance, variance, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.detection, detection, rtol=1e-12)


def test_moments_are_made_for_an_old_dataset_once_and_are_the_same(ds, monkeypatch):
    first = gene_moments(ds)
    old = make_old(ds)
    from sgm_core.cells import facts

    monkeypatch.setattr(facts, "_BLOCK", 10)  # a few genes at a time
    again = gene_moments(old)
    for name in ("n_cells", "total", "squares", "detected"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert again.donors.tolist() == [f"P{i}" for i in range(7)]
    assert again.total.shape == (7, len(GENES))
    monkeypatch.setattr(facts, "write_moments", None)
    gene_moments(open_dataset("mine"))


def test_moments_refuse_donors_that_are_not_there(ds):
    moments: Moments = gene_moments(ds)
    with pytest.raises(InputError, match="no donor is called 'P9'"):
        moments.over(["P0", "P9"])
    with pytest.raises(InputError, match="no cells"):
        moments.over([])


def test_quality_is_there_after_import_and_the_same_for_an_old_dataset(ds, counts):
    kept = pd.read_parquet(ds.path / "quality.parquet")
    old = make_old(ds)
    again = cell_quality(old)
    pd.testing.assert_frame_equal(kept, again)
    totals = counts.sum(axis=1)
    np.testing.assert_allclose(kept["percent_mito"], 100 * counts[:, 3] / np.maximum(totals, 1))
    assert kept["n_genes"].tolist() == (counts > 0).sum(axis=1).tolist()


def test_a_file_cut_short_is_said(ds):
    file = ds.path / "counts.npy"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"counts.npy is cut short: delete the dataset"):
        ds.take(slice(None))
    assert ds.take(np.array([0])).shape == (1, len(GENES))
