"""Labels are text in every column, and 'no label' can be declared for each."""

import numpy as np
import pandas as pd
import pytest
from small_files import FILTERS, N_CELLS, ROLES, small_anndata, write_h5ad

from sgm_core.analysis.metrics import score_predictions
from sgm_core.cells.build import import_dataset
from sgm_core.cells.split import donor_folds, scored_classes
from sgm_core.errors import InputError


def imported(tmp_path, unlabelled=(), **columns):
    path = write_h5ad(tmp_path / "a.h5ad", small_anndata(**columns))
    return import_dataset(path, "a", **ROLES, **FILTERS, unlabelled=unlabelled)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.arange(N_CELLS) % 3, ["0", "1", "2"]),
        ((np.arange(N_CELLS) % 3).astype(float), ["0", "1", "2"]),
        (np.arange(N_CELLS) % 3 / 2, ["0.0", "0.5", "1.0"]),
        (np.arange(N_CELLS) % 2 == 0, ["False", "True"]),
        (np.array([b"x", b"y"] * 30).astype(str), ["x", "y"]),
    ],
)
def test_labels_of_any_column_are_text(tmp_path, values, labels):
    ds = imported(tmp_path, cluster=values)
    assert sorted(ds.labels("cluster").unique()) == labels
    assert all(isinstance(label, str) for label in ds.labels("cluster"))


def test_a_column_of_numbers_is_scored_like_any_other(tmp_path):
    """A perfect prediction of a numeric column had a macro F1 of NaN, because text met numbers."""
    ds = imported(tmp_path, cluster=np.arange(N_CELLS) % 5 % 3)
    truth = ds.labels("cluster")
    classes, _ = scored_classes(ds, "cluster", 5, 2)
    assert classes == ["0", "1", "2"]
    donor_folds(ds, label="cluster")
    predicted = truth.astype(str).to_numpy()
    assert score_predictions(truth.to_numpy(), predicted, np.ones(N_CELLS), classes)["macro_f1"] == 1


def test_a_role_keeps_its_texts(tmp_path):
    donors = np.array(["AML1 ", "AML1", "AML\u00a01", "AML  1"] * 15)
    ds = imported(tmp_path, donor=donors)
    assert sorted(ds.donors().unique()) == ["AML 1", "AML1"]
    notes = " ".join(ds.meta["source"]["notes"])
    assert "values of column donor that differed in blanks only were made one: 'AML1', 'AML 1'" in notes
    whole = imported_again(tmp_path, donor=np.array([2**60, 2**60 + 1] * 30))
    assert sorted(whole.donors().unique()) == [str(2**60), str(2**60 + 1)]


def imported_again(tmp_path, **columns):
    path = write_h5ad(tmp_path / "b.h5ad", small_anndata(**columns))
    return import_dataset(path, "b", **ROLES, **FILTERS)


def test_no_label_is_declared_for_a_second_column(tmp_path):
    atlas = np.array(["HSC", "not_in_atlas", "T"] * 20)
    ds = imported(tmp_path, ["atlas=not_in_atlas"], atlas=atlas)
    assert ds.labels("atlas").isna().sum() == 20
    assert ds.labels().isna().sum() == 0
    assert (ds.unlabelled, ds.meta["unlabelled_in"]) == ((), {"atlas": ["not_in_atlas"]})
    assert "not_in_atlas" not in scored_classes(ds, "atlas")[0]
    plain = import_dataset(tmp_path / "a.h5ad", "plain", **ROLES, **FILTERS)
    assert plain.content_hash != ds.content_hash


def test_a_declared_value_that_no_label_has_is_refused(tmp_path):
    atlas = np.array(["HSC", "not_in_atlas", "T"] * 20)
    with pytest.raises(InputError, match=r"no value of column 'cell_type'.*declare atlas=not_in_atlas there"):
        imported(tmp_path, ["not_in_atlas"], atlas=atlas)
    with pytest.raises(InputError, match=r"'nope' is no value of that column, which has HSC, T, "):
        imported(tmp_path, ["atlas=nope"], atlas=atlas)


def test_a_value_with_an_equals_sign_is_a_value(tmp_path):
    types = pd.Categorical(np.array(["day=0", "T", "HSC"] * 20))
    ds = imported(tmp_path, ["day=0"], cell_type=types)
    assert ds.labels().isna().sum() == 20
    assert ds.unlabelled == ("day=0",)
