"""Saved selections: whole or absent, named, found again."""

import json

import numpy as np
import pytest

from sgm_core.cells.selections import (
    delete_selection,
    list_selections,
    open_selection,
    rename_selection,
    save_selection,
)
from sgm_core.errors import InputError, NotFoundError
from sgm_core.home import write_json


@pytest.fixture
def third(demo_dataset) -> np.ndarray:
    chosen = np.zeros(demo_dataset.n_cells, bool)
    chosen[1::3] = True
    return chosen


def test_what_is_saved_is_found_with_its_provenance(demo_dataset, third):
    steps = [{"step": "saved", "name": "x", "mode": "replace"}]
    save_selection(demo_dataset, "Blasts.1", third, steps, "saved selection x")
    found = open_selection(demo_dataset, "Blasts.1")
    np.testing.assert_array_equal(found.rows(), np.flatnonzero(third))
    assert (found.n_cells, found.steps, found.description) == (third.sum(), steps, "saved selection x")
    assert found.dataset_hash == demo_dataset.content_hash
    assert [each.name for each in list_selections(demo_dataset)] == ["Blasts.1"]


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", ".x", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(demo_dataset, third, name):
    with pytest.raises(InputError, match="can't be used"):
        save_selection(demo_dataset, name, third)
    assert not (demo_dataset.path / "selections").exists()


def test_a_taken_name_is_refused_and_the_first_stays(demo_dataset, third):
    save_selection(demo_dataset, "a", third)
    with pytest.raises(InputError, match="'a' exists already"):
        save_selection(demo_dataset, "a", ~third)
    np.testing.assert_array_equal(open_selection(demo_dataset, "a").rows(), np.flatnonzero(third))


def test_what_is_no_selection_of_the_dataset_is_refused(demo_dataset, third):
    for wrong in (third[:-1], third.astype(int)):
        with pytest.raises(InputError, match="says yes or no for each"):
            save_selection(demo_dataset, "a", wrong)
    with pytest.raises(InputError, match="no cell is selected"):
        save_selection(demo_dataset, "a", np.zeros_like(third))


def test_rename_and_delete(demo_dataset, third):
    save_selection(demo_dataset, "a", third)
    save_selection(demo_dataset, "b", ~third)
    with pytest.raises(InputError, match="'b' exists already"):
        rename_selection(demo_dataset, "a", "b")
    rename_selection(demo_dataset, "a", "c")
    np.testing.assert_array_equal(open_selection(demo_dataset, "c").rows(), np.flatnonzero(third))
    with pytest.raises(NotFoundError, match="no saved selection 'a': there are"):
        open_selection(demo_dataset, "a")
    delete_selection(demo_dataset, "c")
    delete_selection(demo_dataset, "b")
    assert list_selections(demo_dataset) == []
    assert list((demo_dataset.path / "selections").iterdir()) == []
    with pytest.raises(NotFoundError):
        delete_selection(demo_dataset, "c")


def test_damaged_files_are_named_and_can_be_deleted(demo_dataset, third):
    save_selection(demo_dataset, "rows", third)
    save_selection(demo_dataset, "json", third)
    folder = demo_dataset.path / "selections"
    np.save(folder / "rows.npy", np.arange(3))
    (folder / "json.json").write_text("{")
    with pytest.raises(InputError, match="'rows' is damaged"):
        open_selection(demo_dataset, "rows").rows()
    with pytest.raises(InputError, match="'json' is damaged"):
        open_selection(demo_dataset, "json")
    assert [each.name for each in list_selections(demo_dataset)] == ["rows"]
    delete_selection(demo_dataset, "json")
    delete_selection(demo_dataset, "rows")


def test_rows_without_their_description_are_no_selection(demo_dataset, third):
    # a process that was killed between the two files
    save_selection(demo_dataset, "a", third)
    (demo_dataset.path / "selections" / "a.json").unlink()
    assert list_selections(demo_dataset) == []
    save_selection(demo_dataset, "a", ~third)
    np.testing.assert_array_equal(open_selection(demo_dataset, "a").rows(), np.flatnonzero(~third))


def test_a_selection_of_other_cells_is_not_used(demo_dataset, third):
    save_selection(demo_dataset, "a", third)
    path = demo_dataset.path / "selections" / "a.json"
    write_json(path, json.loads(path.read_text()) | {"dataset_hash": "0" * 64})
    assert list_selections(demo_dataset) == []
    with pytest.raises(InputError, match="made on other cells"):
        open_selection(demo_dataset, "a")


def test_selections_of_links_are_listed_only_when_asked_for(demo_dataset, third):
    save_selection(demo_dataset, "auto-1234", third)
    assert list_selections(demo_dataset) == []
    assert [each.name for each in list_selections(demo_dataset, automatic=True)] == ["auto-1234"]
