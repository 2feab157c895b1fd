import json

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sgm_core.cells.dataset import list_datasets, open_dataset
from sgm_core.cells.write import write_dataset
from sgm_core.errors import InputError, NotFoundError

N = 60


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(3).poisson(1.0, (N, 4))


@pytest.fixture
def dataset(counts):
    obs = pd.DataFrame(
        {
            "cell": [f"c{i}" for i in range(N)],
            "type": ["HSC", "T", "doublet"] * 20,
            "donor": [f"P{i % 5}" for i in range(N)],
            "sex": [None, "f", "m"] * 20,
            "other": [f"x{i}" for i in range(N)],
            "one": ["same"] * N,
            "score": np.arange(N) / 2,
        }
    )
    roles = {"donor": "donor", "cell_type": "type", "timepoint": None}
    return write_dataset("mine", [sparse.csr_matrix(counts)], obs, ["A", "B", "C", "D"], roles, ["doublet"])


def test_counts_are_mapped_not_loaded(dataset):
    def mapped(array) -> bool:
        while array is not None:
            if isinstance(array, np.memmap):
                return True
            array = array.base
        return False

    assert mapped(dataset.counts().data)
    assert mapped(dataset.counts().indices)


def test_normalised_values_follow_the_formula(dataset, counts):
    # An empty cell stays zero.
    expected = np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    got = dataset.lognorm()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.toarray(), expected, rtol=1e-6)
    rows = np.array([7, 0, 7])
    np.testing.assert_allclose(
        dataset.lognorm(rows, ["C", "A"]).toarray(), expected[rows][:, [2, 0]], rtol=1e-6
    )
    np.testing.assert_allclose(
        dataset.lognorm(slice(4, 9), np.array([3])).toarray(), expected[4:9, 3:], rtol=1e-6
    )
    with pytest.raises(InputError, match="no gene 'NOPE'"):
        dataset.lognorm(genes=["A", "NOPE"])


def test_a_slice_reads_the_same_as_rows(dataset, counts):
    for part in (slice(None), slice(3, 8), slice(8, 3), slice(0, N, 7)):
        assert np.array_equal(dataset.take(part).toarray(), counts[part])


@pytest.mark.parametrize("rows", [np.arange(N) < 3, np.array([-1]), np.array([0, N]), np.array([0.5])])
def test_what_is_no_row_number_is_refused(dataset, rows):
    # yes/no for each cell was read as the cells 1 and 0
    with pytest.raises(InputError, match=f"whole numbers from 0 to {N - 1}"):
        dataset.take(rows)


def test_labels_are_none_where_there_is_none(dataset):
    labels = dataset.labels()
    assert labels.notna().sum() == 40
    assert set(labels.dropna()) == {"HSC", "T"}
    assert labels[2] is None
    assert dataset.labels("sex")[0] is None
    with pytest.raises(NotFoundError, match="no column 'nope'; it has type, donor, sex"):
        dataset.labels("nope")


def test_grouping_columns_are_roles_then_text_of_few_levels(dataset):
    assert dataset.grouping_columns() == ["type", "donor", "sex"]


def test_datasets_are_found_by_name(dataset):
    assert [ds.name for ds in list_datasets()] == ["mine"]
    again = open_dataset("mine")
    assert again == dataset
    assert (again.n_cells, again.n_genes, again.unlabelled) == (N, 4, ("doublet",))
    with pytest.raises(NotFoundError, match=r"no dataset 'yours' in .*; there are mine"):
        open_dataset("yours")
    with pytest.raises(InputError, match="can't be used"):
        open_dataset("../mine")


def test_without_any_dataset_the_message_says_how_to_import():
    assert list_datasets() == []
    with pytest.raises(NotFoundError, match="sgm data import"):
        open_dataset("x")


def test_a_dataset_of_a_newer_program_is_refused(dataset):
    file = dataset.path / "dataset.json"
    file.write_text(json.dumps(dataset.meta | {"schema_version": 99}))
    with pytest.raises(InputError, match="format 99, newer than this program's"):
        open_dataset("mine")


def test_labels_and_donors_do_not_read_the_names_of_cells(dataset, monkeypatch):
    again = open_dataset("mine")
    monkeypatch.setattr(type(again), "obs", property(lambda self: pytest.fail("the names were read")))
    assert again.labels() is again.labels(), "worked out once"
    assert again.donors().nunique() == 5
    assert again.grouping_columns() == ["type", "donor", "sex"]


def test_obs_is_the_names_and_the_annotations(dataset):
    assert list(dataset.obs) == ["cell", *dataset.annotations]
    assert dataset.obs["cell"].tolist() == [f"c{i}" for i in range(N)]
    pd.testing.assert_frame_equal(dataset.obs.drop(columns="cell"), dataset.annotations)
    assert "cell" not in dataset.annotations
    texts = dataset.annotations["donor"]
    assert len({id(text) for text in texts}) == 5, "equal cells share their text"
