"""Large datasets give an epoch a part of their training cells; a rare class is in every epoch."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import donor_folds
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.training.config import FinetuneConfig, pretrain_config
from sgm_core.training.config.settings import ALL_UP_TO, BEYOND, BY_SIZE
from sgm_core.training.labelled import labelled_fold
from sgm_core.training.pretrain import pretraining
from sgm_core.training.train_cells import TrainCells, cells_an_epoch, even, every_cell


@st.composite
def cells(draw) -> tuple[np.ndarray, np.ndarray, int]:
    sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    classes = np.repeat(np.arange(len(sizes)), sizes)
    donors = np.array(draw(st.lists(st.integers(0, 4), min_size=len(classes), max_size=len(classes))))
    return classes, donors, draw(st.integers(len(sizes), len(classes)))


@given(cells(), st.integers(0, 5))
def test_an_epoch_is_balanced_and_leaves_no_class_out(drawn: tuple, seed: int) -> None:
    classes, donors, size = drawn
    rows = 7 + 3 * np.arange(len(classes))
    made = TrainCells(rows, classes, donors, size, seed, 1)
    again = TrainCells(rows, classes, donors, size, seed, 1)
    for epoch in (0, 1, 5):
        taken = made.epoch(epoch)
        assert len(taken) == size == len(np.unique(taken)) and (np.diff(taken) > 0).all()
        assert np.array_equal(taken, again.epoch(epoch)), "the epoch's number decides, not what came before"
        of_class = np.bincount(classes[(taken - 7) // 3], minlength=classes.max() + 1)
        short = of_class < np.bincount(classes)
        assert of_class.min() >= 1
        if short.any():  # a class that keeps cells back gives as many as any other
            assert of_class.max() - of_class[short].min() <= 1
        for number in range(classes.max() + 1):
            mine = (taken - 7) // 3
            mine = mine[classes[mine] == number]
            of_donor = np.bincount(donors[mine], minlength=5)
            left = of_donor < np.bincount(donors[classes == number], minlength=5)
            assert not left.any() or of_donor.max() - of_donor[left].min() <= 1


def test_every_cell_comes_in_its_turn() -> None:
    classes, donors = np.repeat([0, 1], [90, 10]), np.tile([0, 1], 50)
    made = TrainCells(np.arange(100), classes, donors, 40, 0, 1)
    epochs = [made.epoch(epoch) for epoch in range(6)]
    assert all(np.isin(np.arange(90, 100), taken).all() for taken in epochs), "all of the rare class"
    assert not np.array_equal(epochs[0], epochs[1]), "new cells every epoch"
    assert len(made.over(6)) == 100
    assert every_cell(np.arange(5)).epoch(3).tolist() == [0, 1, 2, 3, 4]
    assert even(np.array([2, 5, 9]), 12) == (5, 0)


def test_the_number_of_cells_decides_by_default(few_cells: Dataset) -> None:
    large = replace(few_cells, meta={**few_cells.meta, "n_cells": ALL_UP_TO + 1})
    assert cells_an_epoch(BY_SIZE, few_cells, 40_000) == 40_000
    assert cells_an_epoch(BY_SIZE, large, 40_000) == BEYOND
    assert cells_an_epoch(None, large, 40_000) == 40_000
    assert cells_an_epoch(100, few_cells, 60) == 60


def test_probes_of_all_seeds_train_on_the_same_cells(few_cells: Dataset) -> None:
    fold = donor_folds(few_cells, n_folds=3)[0]
    first, second = (labelled_fold(few_cells, fold, None, 30, seed) for seed in (0, 1))
    assert np.array_equal(first.once[0], second.once[0]) and len(first.once[0]) == 30
    assert not np.array_equal(first.cells.epoch(0), second.cells.epoch(0))
    assert set(first.once[1]) == set(first.codes), "every class"
    whole = labelled_fold(few_cells, fold, None, None, 0)
    assert np.array_equal(whole.once[0], whole.cells.rows)


def test_pretraining_sees_the_drawn_cells_alone(few_cells: Dataset) -> None:
    config = pretrain_config(
        data="few", n_genes=60, latents=4, latent_width=8, device="cpu", train_cells=24, batch_size=8
    )
    task = pretraining(few_cells, config, donor_folds(few_cells, n_folds=3)[0], Observer())
    rows = np.sort(np.concatenate(task.start_epoch(1)))
    assert task.n_batches == 3 and np.array_equal(rows, task.cells.epoch(1))
    assert len(task.cells.rows) > 24 and np.isin(rows, task.cells.rows).all()


def test_fewer_cells_than_classes_are_refused() -> None:
    with pytest.raises(InputError, match="have 3 classes, of which none is left out: give 3 or more"):
        TrainCells(np.arange(9), np.repeat([0, 1, 2], 3), np.zeros(9, int), 2, 0, 1)
    assert FinetuneConfig(train_cells=2).train_cells == 2


@pytest.mark.parametrize("seed", range(20))
def test_even_shares_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 50, rng.integers(1, 30))
    total = int(rng.integers(0, sizes.sum() + 1))
    cap, more = even(sizes, total)
    assert np.minimum(sizes, cap).sum() + more == total
    assert more < (sizes > cap).sum() or more == 0
