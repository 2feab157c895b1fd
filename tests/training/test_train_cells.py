"""The training cells of an epoch: balanced over classes and donors, new ones every time, none left out."""

import numpy as np
import pytest

from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.training.train_cells import TrainCells, even, train_cells

SIZES = (4000, 900, 60, 7)  # cells of each class


@pytest.fixture(scope="module")
def cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers with gaps, classes and donors; one donor has most of the cells."""
    rng = np.random.default_rng(0)
    classes = rng.permutation(np.repeat(np.arange(4), SIZES))
    donors = np.where(rng.random(len(classes)) < 0.6, 0, rng.integers(1, 9, len(classes)))
    return np.sort(rng.choice(20_000, len(classes), replace=False)), classes, donors


def of(cells: tuple[np.ndarray, np.ndarray, np.ndarray], drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return class and donor of drawn cells, each of which has to be a training cell that came once."""
    rows, classes, donors = cells
    at = np.searchsorted(rows, drawn)
    assert np.array_equal(rows[at], drawn) and (np.diff(drawn) > 0).all()
    return classes[at], donors[at]


def test_classes_give_the_same_and_rare_ones_all_they_have(cells) -> None:
    draws = TrainCells(*cells, 500, 0, 1)
    for epoch in range(6):
        classes, _ = of(cells, draws.epoch(epoch))
        assert np.bincount(classes).tolist() == [217, 216, 60, 7]


def test_donors_give_the_same_within_a_class(cells) -> None:
    _, donors = cells[1:]
    draws = TrainCells(*cells, 500, 0, 1)
    for epoch in range(6):
        classes, drawn = of(cells, draws.epoch(epoch))
        for number in (0, 1):
            have = np.bincount(donors[cells[1] == number])
            given = np.bincount(drawn[classes == number], minlength=len(have))
            assert np.ptp(given[given < have]) <= 1 and (given[given < have].min() >= given).sum() >= 1
    # nine donors share 217 cells: the one that is left over is not always the same donor's
    largest = [np.bincount(of(cells, draws.epoch(e))[1][of(cells, draws.epoch(e))[0] == 0]) for e in range(9)]
    assert len({int(given.argmax()) for given in largest}) > 1


def test_cells_come_again_when_a_donor_s_are_used_up(cells) -> None:
    rows, classes, donors = cells
    draws = TrainCells(*cells, 500, 0, 1)
    seen = [draws.epoch(epoch) for epoch in range(5)]
    many = np.isin(np.arange(len(rows)), np.flatnonzero((classes == 0) & (donors == 0)))
    own = [np.intersect1d(part, rows[many]) for part in seen]
    assert len(np.unique(np.concatenate(own))) == sum(map(len, own))
    assert np.array_equal(draws.over(5), np.unique(np.concatenate(seen)))
    few = rows[(classes == 1) & (donors == 8)]  # fewer than five epochs want
    assert np.isin(few, draws.over(5)).all()


def test_a_draw_follows_from_seed_purpose_and_epoch(cells) -> None:
    draws = TrainCells(*cells, 500, 0, 1)
    later = draws.epoch(3)
    assert np.array_equal(later, TrainCells(*cells, 500, 0, 1).epoch(3))
    for other in (TrainCells(*cells, 500, 1, 1).epoch(3), TrainCells(*cells, 500, 0, 2).epoch(3)):
        assert len(np.setdiff1d(other, later)) > 0


@pytest.mark.parametrize("size", [4967, 10_000])
def test_enough_for_all_cells_is_all_cells_as_they_are(cells, size: int) -> None:
    draws = TrainCells(*cells, size, 0, 1)
    assert draws.size == sum(SIZES)
    assert draws.epoch(7) is cells[0]


def test_fewer_cells_than_classes_are_refused(cells) -> None:
    with pytest.raises(InputError, match=r"train_cells is 3 .* 4 classes"):
        TrainCells(*cells, 3, 0, 1)
    assert np.bincount(of(cells, TrainCells(*cells, 4, 0, 1).epoch(5))[0]).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(20))
def test_even_shares_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 50, rng.integers(1, 30))
    total = int(rng.integers(0, sizes.sum() + 1))
    cap, more = even(sizes, total)
    assert np.minimum(sizes, cap).sum() + more == total
    assert more <= (sizes > cap).sum() and (more < (sizes > cap).sum() or more == 0)


def test_the_dataset_s_donors_share_each_class(demo_dataset: Dataset) -> None:
    rows = np.flatnonzero(demo_dataset.labels().notna())
    names, classes = np.unique(demo_dataset.labels().iloc[rows].to_numpy(str), return_inverse=True)
    drawn = train_cells(demo_dataset, rows, classes, 3 * len(names), 0, 1).epoch(0)
    assert (demo_dataset.labels().iloc[drawn].value_counts() == 3).all()
    for _, donors in demo_dataset.donors().iloc[drawn].groupby(demo_dataset.labels().iloc[drawn]):
        had = demo_dataset.donors()[demo_dataset.labels() == demo_dataset.labels().iloc[donors.index[0]]]
        assert donors.nunique() == min(3, had.nunique())
