from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from sgm_core import home
from sgm_core.cells.write import plain_table, write_dataset
from sgm_core.errors import InputError

ROLES = {"donor": "donor", "cell_type": "type", "timepoint": None}


def cells(n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cell": [f"c{i}" for i in range(n)],
            "donor": np.arange(n) % 3,
            "type": np.where(np.arange(n) % 2, "a", "b"),
        }
    )


def write(name: str, counts: np.ndarray, cuts=(), **options):
    edges = [0, *sorted(cuts), len(counts)]
    chunks = [sparse.csr_matrix(counts[a:b]) for a, b in pairwise(edges)]
    genes = [f"G{i:03d}" for i in range(counts.shape[1])]
    return write_dataset(name, chunks, cells(len(counts)), genes, ROLES, **options)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_counts_come_back_whatever_the_chunks(tmp_path_factory, monkeypatch, data):
    monkeypatch.setenv("SGM_HOME", str(tmp_path_factory.mktemp("home")))
    shape = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 9))
    seed = data.draw(st.integers(0, 2**32 - 1))
    top = data.draw(st.sampled_from([1, 255, 256, 70_000]))
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, top + 1, shape) * (rng.random(shape) < 0.4)
    counts[0, 0] = top
    cuts = data.draw(st.lists(st.integers(0, shape[0]), max_size=3))
    rows = data.draw(st.lists(st.integers(0, shape[0] - 1), max_size=8))

    known = write("known", counts, largest=top, n_stored=int((counts > 0).sum()))
    cut = write("cut", counts, cuts)

    assert known.counts().dtype.itemsize == {1: 1, 255: 1, 256: 2, 70_000: 4}[top]
    assert known.content_hash == cut.content_hash
    for ds in (known, cut):
        assert np.array_equal(ds.counts().toarray(), counts)
        assert np.array_equal(ds.take(np.array(rows, dtype=int)).toarray(), counts[rows])
        assert np.array_equal(ds.totals(), counts.sum(axis=1))
        assert np.array_equal(ds.var["total_counts"], counts.sum(axis=0))
        assert np.array_equal(ds.var["n_cells"], (counts > 0).sum(axis=0))


def test_the_hash_sees_counts_genes_cells_and_roles():
    counts = np.arange(12).reshape(4, 3)
    hashes = {write("a", counts).content_hash, write("b", counts + 1).content_hash}
    hashes.add(write("c", counts, unlabelled=["b"]).content_hash)
    other = write_dataset("d", [sparse.csr_matrix(counts)], cells(4), ["X", "Y", "Z"], ROLES)
    assert len(hashes | {other.content_hash}) == 4


def test_role_columns_become_text_and_categories_are_undone():
    table = pd.DataFrame(
        {"donor": [1.0, 2.0], "type": pd.Categorical(["a", None]), "score": [0.5, 1], "flag": [True, False]}
    )
    plain = plain_table(table, ["donor"])
    assert plain["donor"].tolist() == ["1", "2"]
    assert plain["type"].tolist() == ["a", None]
    assert plain["score"].dtype == float
    assert plain["flag"].dtype == bool


def test_too_many_rows_leave_nothing_behind():
    with pytest.raises(ValueError):
        write_dataset("x", [sparse.csr_matrix(np.ones((5, 1)))], cells(4), ["G"], ROLES)
    with pytest.raises(ValueError, match="sorted"):
        write_dataset("x", [sparse.csr_matrix(np.ones((4, 2)))], cells(4), ["H", "G"], ROLES)
    assert list(home.folder("datasets").iterdir()) == []


def test_a_taken_name_is_refused_and_keeps_what_was_there():
    counts = np.eye(3, dtype=int)
    first = write("mine", counts)
    with pytest.raises(InputError, match="'mine' exists already"):
        write("mine", counts + 1)
    assert np.array_equal(first.counts().toarray(), counts)
    assert [path.name for path in home.folder("datasets").iterdir()] == ["mine"]


def test_a_disk_too_small_is_seen_before_writing(monkeypatch):
    import shutil

    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr("sgm_core.cells.write.shutil.disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"needs about 15\.0 GB and 0\.0 MB is left"):
        write("big", np.eye(3, dtype=int), largest=9, n_stored=1_000_000_000)
    assert list(home.folder("datasets").iterdir()) == []
