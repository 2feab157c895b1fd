import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from sgm_core.cells.split import class_coverage, donor_folds, fold_cells, scored_classes
from sgm_core.cells.write import write_dataset
from sgm_core.errors import InputError


def dataset(table: dict[str, dict[str, int]], timepoints: dict[str, str] | None = None, unlabelled=()):
    """Dataset with `table[donor][type]` cells."""
    rows = [(d, t) for d, types in table.items() for t, n in types.items() for _ in range(n)]
    obs = pd.DataFrame(rows, columns=["donor", "type"])
    obs.insert(0, "cell", [f"c{i}" for i in range(len(obs))])
    if timepoints:
        obs["day"] = obs["donor"].map(timepoints)
    roles = {"donor": "donor", "cell_type": "type", "timepoint": "day" if timepoints else None}
    return write_dataset(
        "mine", [sparse.csr_matrix(np.ones((len(obs), 2)))], obs, ["A", "B"], roles, unlabelled
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_donors_never_cross_and_each_is_tested_once(tmp_path_factory, monkeypatch, data):
    monkeypatch.setenv("SGM_HOME", str(tmp_path_factory.mktemp("home")))
    n = data.draw(st.integers(3, 9))
    numbers = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1)
    ds = dataset({f"P{i}": data.draw(numbers) for i in range(n)})
    n_folds = data.draw(st.integers(3 if n == 3 else 2, n))
    folds = donor_folds(ds, n_folds=n_folds, seed=data.draw(st.integers(0, 3)))
    everyone = {f"P{i}" for i in range(n)}
    assert sorted(donor for fold in folds for donor in fold.test) == sorted(everyone)
    sizes = [len(fold.test) for fold in folds]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    for fold in [*folds, *donor_folds(ds, "holdout")]:
        parts = [set(fold.train), set(fold.validation), set(fold.test)]
        assert all(parts)
        assert set.union(*parts) == everyone
        assert sum(map(len, parts)) == n
        rows = fold_cells(ds, fold)
        assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(ds.n_cells))
        for part, cells in zip(parts, rows):
            assert set(ds.donors().iloc[cells]) == part


def test_strata_and_rare_classes_are_spread():
    # Five donors rich in T, five in HSC; five of the ten hold the rare type: each fold can have one of each.
    table = {f"P{i}": {("T", "HSC")[i % 2]: 30, ("HSC", "T")[i % 2]: 5} for i in range(10)}
    for i in (0, 1, 2, 3, 4):
        table[f"P{i}"]["rare"] = 4
    ds = dataset(table)
    for seed in range(5):
        folds = donor_folds(ds, seed=seed)
        for fold in folds:
            assert sorted(int(donor[1]) % 2 for donor in fold.test) == [0, 1]
            assert sum(donor in ("P0", "P1", "P2", "P3", "P4") for donor in fold.test) == 1
    coverage = class_coverage(ds, folds)
    assert (coverage["test_cells"] > 0).all()
    assert (coverage["train_cells"] > 0).all()
    assert (coverage["validation_cells"] > 0).all()


def test_validation_never_takes_the_last_training_donor_of_a_class():
    table = {f"P{i}": {"a": 10} for i in range(6)}
    table["P0"]["b"] = 50
    table["P1"]["b"] = 50
    ds = dataset(table)
    for seed in range(5):
        for fold in donor_folds(ds, n_folds=6, seed=seed):
            assert {"P0", "P1"} & set(fold.train)


def test_the_same_seed_gives_the_same_folds_and_another_others():
    ds = dataset({f"P{i}": {"a": 10, "b": 10} for i in range(12)})
    assert donor_folds(ds, seed=1) == donor_folds(ds, seed=1)
    assert donor_folds(ds, seed=1) != donor_folds(ds, seed=2)


def test_holdout_is_80_10_10_by_donor_with_single_strata_pooled():
    table = {f"P{i:02d}": {"a" if i < 10 else "b": 5} for i in range(20)}
    table["P20"] = {"c": 5}
    table["P21"] = {"d": 5}
    ds = dataset(table, dict.fromkeys(table, "D0"))
    (fold,) = donor_folds(ds, "holdout")
    assert [len(fold.train), len(fold.validation), len(fold.test)] == [18, 2, 2]
    types = {donor: next(iter(kinds)) for donor, kinds in table.items()}
    assert {types[donor] for donor in fold.test} == {"a", "b"}


def test_scored_classes_need_cells_and_donors():
    table = {f"P{i}": {"many": 10} for i in range(6)}
    for i in range(5):
        table[f"P{i}"]["few"] = 3
    for i in range(4):
        table[f"P{i}"]["narrow"] = 20
    table["P0"]["doublet"] = 500
    classes, others = scored_classes(dataset(table, unlabelled=["doublet"]))
    assert classes == ["many"]
    reasons = dict(zip(others["cell_type"], others["reason"]))
    assert reasons == {"few": "15 cells, 20 needed", "narrow": "4 donors, 5 needed"}


def test_coverage_counts_cells_and_donors():
    ds = dataset({"P0": {"a": 1}, "P1": {"a": 2, "b": 5}, "P2": {"a": 4}})
    folds = donor_folds(ds, n_folds=3)
    table = class_coverage(ds, folds).set_index(["cell_type", "fold"])
    for fold in folds:
        row = table.loc[("a", fold.index)]
        assert row["test_cells"] == {"P0": 1, "P1": 2, "P2": 4}[fold.test[0]]
        assert row[["train_donors", "validation_donors", "test_donors"]].tolist() == [1, 1, 1]
        assert row[["train_cells", "validation_cells", "test_cells"]].sum() == 7


def test_too_few_donors_are_refused():
    ds = dataset({"P0": {"a": 1}, "P1": {"b": 2}, "P2": {"a": 4}})
    with pytest.raises(InputError, match="5 folds can't be made of 3 donors"):
        donor_folds(ds)
    with pytest.raises(InputError, match=r"2 folds can't be made of 3 donors .* take between 3 and 3"):
        donor_folds(ds, n_folds=2)
    with pytest.raises(InputError, match="'leave' is unknown"):
        donor_folds(ds, "leave")


def test_the_authors_folds_are_draws_of_the_cells_of_one_split():
    ds = dataset({f"P{i}": {"a": 20, "b": 10} for i in range(10)})
    (whole,) = donor_folds(ds, "holdout")
    drawn = donor_folds(ds, "authors")
    assert [fold.draw for fold in drawn] == [0, 1, 2, 3, 4]
    assert {(fold.train, fold.validation, fold.test) for fold in drawn} == {
        (whole.train, whole.validation, whole.test)
    }
    train, validation, test = fold_cells(ds, whole)
    seen = set()
    for fold in drawn:
        rows = fold_cells(ds, fold)
        assert np.array_equal(rows[0], train) and np.array_equal(rows[1], validation)
        assert len(rows[2]) == len(test) and set(rows[2]) < set(test), "with replacement"
        seen.add(tuple(rows[2]))
    assert len(seen) == 5


def test_folds_are_worked_out_once_a_content(monkeypatch):
    from sgm_core.cells import split

    calls = []
    real = split._donor_folds
    monkeypatch.setattr(split, "_donor_folds", lambda *given: calls.append(given) or real(*given))
    monkeypatch.setattr(split, "_kept", {})
    ds = dataset({f"P{i}": {"a": 3, "b": 2} for i in range(6)})
    first = donor_folds(ds, n_folds=3)
    first.clear()  # what a caller does with its list is its own
    assert len(donor_folds(ds, n_folds=3)) == 3 and len(calls) == 1
    donor_folds(ds, n_folds=2)
    donor_folds(ds, n_folds=3, seed=1)
    assert len(calls) == 3


def test_two_donors_can_not_be_split():
    ds = dataset({"P0": {"a": 1}, "P1": {"b": 2}})
    with pytest.raises(InputError, match="has 2 donors; a split needs at least 3"):
        donor_folds(ds, n_folds=2)


def test_donors_without_any_label_are_placed_too():
    ds = dataset({"P0": {"a": 3}, "P1": {"b": 2}, "P2": {"x": 4}, "P3": {"a": 1}}, unlabelled=["x"])
    assert sorted(d for fold in donor_folds(ds, n_folds=4) for d in fold.test) == ["P0", "P1", "P2", "P3"]


def test_folds_are_kept_beside_the_dataset_and_a_damaged_file_is_made_anew(monkeypatch):
    from sgm_core.cells import split

    ds = dataset({f"P{i}": {"a": 3, "b": 2} for i in range(6)})
    monkeypatch.setattr(split, "_kept", {})
    first = donor_folds(ds, n_folds=3)
    (file,) = (ds.path / "facts" / "folds-1").glob("*.json")
    real = split._donor_folds
    monkeypatch.setattr(split, "_donor_folds", None)  # another process reads them
    monkeypatch.setattr(split, "_kept", {})
    assert donor_folds(ds, n_folds=3) == first
    file.write_text('{"key": 3}')
    monkeypatch.setattr(split, "_donor_folds", real)
    monkeypatch.setattr(split, "_kept", {})
    assert donor_folds(ds, n_folds=3) == first
    assert "test" in file.read_text()
