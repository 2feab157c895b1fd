"""More than 2^31 counts, and counts above 65,535: right, or refused in a line.

The files are full of holes: large by their length, a few pages on disk.
"""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small_files import GENES, N_CELLS, ROLES, small_obs

from sgm_core import home
from sgm_core.cells.build import import_dataset
from sgm_core.cells.compressed import Compressed
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.read.source import sparse_blocks
from sgm_core.cells.write import write_dataset
from sgm_core.errors import InputError

OVER = 2**31 + 10


def hollow(path, dtype, length: int, tail: np.ndarray) -> None:
    """Write a .npy file of `length` values, all holes but the `tail`."""
    with path.open("wb") as stream:
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(stream, header)
        start = stream.tell()
        stream.seek(start + (length - len(tail)) * np.dtype(dtype).itemsize)
        stream.write(np.asarray(tail, dtype).tobytes())


@pytest.fixture
def huge():
    """A dataset of three cells; the second's counts end beyond 2^31, the third has three."""
    obs = pd.DataFrame({"cell": list("abc"), "donor": list("xyz"), "type": list("hhk")})
    roles = {"donor": "donor", "cell_type": "type", "timepoint": None}
    ds = write_dataset("huge", [sparse.csr_matrix(np.eye(3, 5))], obs, list("ABCDE"), roles)
    total = OVER + 3
    np.save(ds.path / "indptr.npy", np.array([0, 2, OVER, total]))
    np.save(ds.path / "totals.npy", np.array([1.0, 1.0, 8.0]))
    hollow(ds.path / "indices.npy", np.int32, total, np.array([0, 2, 4]))
    hollow(ds.path / "counts.npy", np.uint8, total, np.array([1, 2, 5]))
    for name in ("indices", "counts"):
        assert (ds.path / f"{name}.npy").stat().st_blocks * 512 < 10**6, "it has no holes"
    return open_dataset("huge")


def test_cells_beyond_two_billion_counts_are_read(huge):
    want = [[1, 0, 2, 0, 5]]
    for rows in (slice(2, 3), np.array([2]), [2, 2]):
        assert np.array_equal(huge.take(rows).toarray(), want * len(huge.take(rows).toarray()))
    np.testing.assert_allclose(huge.lognorm(slice(2, 3)).toarray()[0, 4], np.log1p(1e4 * 5 / 8), rtol=1e-6)
    assert huge.n_genes_per_cell().tolist() == [2, OVER - 2, 3]


def test_more_than_fits_one_matrix_is_refused_in_a_line(huge):
    with pytest.raises(InputError, match=r"2,147,483,661 counts, more than fit one matrix: take some cells"):
        huge.counts()
    with pytest.raises(InputError, match=r"3 rows of .* hold 2,147,483,661 values, .* take fewer at a time"):
        huge.take(slice(None))


def test_genes_beyond_two_billion_counts_are_read(huge):
    by_gene = huge.path / "by_gene"
    total = OVER + 2
    np.save(by_gene / "indptr.npy", np.array([0, 5, 5, 5, OVER, total]))
    hollow(by_gene / "indices.npy", np.int32, total, np.array([0, 2]))
    hollow(by_gene / "counts.npy", np.uint8, total, np.array([3, 4]))
    ds = open_dataset("huge")
    assert ds.gene("E", normalised=False).tolist() == [3, 0, 4]
    assert ds.gene("C").tolist() == [0, 0, 0]
    assert list(Compressed(by_gene).blocks(100)) == [(0, 3), (3, 4), (4, 5)]


def test_a_file_with_more_than_two_billion_values_gives_its_blocks(tmp_path, monkeypatch):
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        options = {"shape": (OVER + 2,), "chunks": (1_000_000,)}  # chunks that are never written take no room
        group.create_dataset("data", dtype="f4", **options)[-2:] = [7, 70_000]
        group.create_dataset("indices", dtype="i4", **options)[-2:] = [1, 3]
        group["indptr"] = np.array([0, 0, OVER, OVER + 2])
    assert path.stat().st_size < 10**8
    # The rows before the last hold nothing but zeros, 8 GB of them.
    monkeypatch.setattr("sgm_core.cells.read.source.row_blocks", lambda indptr: iter([(2, 3)]))
    with h5py.File(path) as file:
        ((first, block),) = sparse_blocks(file["X"], (3, 5))
    assert first == 2
    assert block.toarray().tolist() == [[0, 7, 0, 70_000, 0]]


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_counts_above_65535_keep_their_value(tmp_path, kind):
    counts = np.random.default_rng(0).poisson(0.6, (N_CELLS, len(GENES))).astype(np.float32)
    counts[:, 0] += 1
    counts[5, 4], counts[6, 4] = 70_000, 65_536
    counts[7, 4] = 2**24
    import anndata as ad

    x = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[kind](counts)
    data = ad.AnnData(x, obs=small_obs(), var=pd.DataFrame(index=GENES))
    path = tmp_path / "large.h5ad"
    data.write_h5ad(path)
    ds = import_dataset(path, "mine", **ROLES, min_genes=1, min_cells=1)
    assert ds.gene("CD34", normalised=False)[5:8].tolist() == [70_000, 65_536, 2**24]
    assert ds.take(np.array([7])).max() == 2**24
    assert ds.totals()[7] == counts[7].astype(np.float64).sum()
    assert ds.var.set_index("gene").loc["CD34", "total_counts"] == counts[:, 4].astype(np.float64).sum()


def test_counts_too_large_for_molecules_are_refused(tmp_path):
    import anndata as ad

    counts = np.ones((N_CELLS, len(GENES)))
    counts[5, 4] = 2.0**32
    path = tmp_path / "wrong.h5ad"
    ad.AnnData(sparse.csr_matrix(counts), obs=small_obs(), var=pd.DataFrame(index=GENES)).write_h5ad(path)
    with pytest.raises(InputError, match="too large to be a number of molecules"):
        import_dataset(path, "mine", **ROLES, min_genes=1, min_cells=1)
    assert list(home.folder("datasets").iterdir()) == []
