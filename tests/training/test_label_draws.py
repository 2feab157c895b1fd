"""A few labelled cells a class: whose they are, how many, and the same for everyone."""

from dataclasses import replace

import numpy as np
import pytest

from sgm_core.analysis.budgets import ALL
from sgm_core.cells.split import donor_folds
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.training.config import FinetuneConfig, finetune_config
from sgm_core.training.few_recipe import MIN_UPDATES, few_recipe
from sgm_core.training.label_draws import label_draws, some_of_each
from sgm_core.training.labelled import labelled_fold
from sgm_core.training.loop import Loop
from sgm_core.training.probe import Probe


def test_every_class_gives_its_number_or_all_it_has():
    codes = np.repeat([0, 1, 2], [50, 4, 1])
    drawn = some_of_each(codes, 10, (0, 1))
    assert np.bincount(codes[drawn]).tolist() == [10, 4, 1]
    assert (np.diff(drawn) > 0).all()


def test_more_labels_hold_the_fewer():
    codes = np.random.default_rng(0).integers(0, 5, 400)
    ten, thirty = (set(some_of_each(codes, n, (0, 1))) for n in (10, 30))
    assert ten < thirty
    assert ten != set(some_of_each(codes, 10, (0, 2)))


def test_every_cell_of_a_class_is_as_likely():
    codes = np.repeat([0, 1], [20, 40])
    counts = np.zeros(60)
    for key in range(600):
        counts[some_of_each(codes, 5, (key,))] += 1
    assert abs(counts[:20] / 600 - 5 / 20).max() < 0.08
    assert abs(counts[20:] / 600 - 5 / 40).max() < 0.06


def test_no_cell_of_another_part_is_drawn_and_validation_is_as_small(demo_dataset):
    fold = donor_folds(demo_dataset, n_folds=2)[0]
    part = labelled_fold(demo_dataset, fold, None, None, 0)
    donors = demo_dataset.donors().to_numpy()
    draws = label_draws(part, fold, [ALL, 3], 2, seed=0)
    assert [(one.labels, one.draw) for one in draws] == [(0, 0), (3, 0), (3, 1)]
    assert draws[0].part is part
    for one in draws[1:]:
        rows, codes = one.part.once
        assert set(donors[rows]) <= set(fold.train)
        assert set(donors[one.part.validation]) <= set(fold.validation)
        np.testing.assert_array_equal(one.part.cells.rows, rows)
        assert np.bincount(codes).max() <= 3 and np.bincount(one.part.validation_codes).max() <= 3
        np.testing.assert_array_equal(one.part.test, part.test)
        labels = demo_dataset.labels(None).iloc[rows].astype(str).to_numpy()
        np.testing.assert_array_equal(part.classes[codes], labels)
        np.testing.assert_array_equal(one.part.validation_codes.size, one.part.validation.size)
        assert one.short == int((np.bincount(codes) < 3).sum())
    again = label_draws(labelled_fold(demo_dataset, fold, None, None, 7), fold, [3], 2, seed=0)
    np.testing.assert_array_equal(again[0].part.cells.rows, draws[1].part.cells.rows)


def test_few_cells_get_enough_updates():
    config = FinetuneConfig(run="r", epochs=5, batch_size=32, accumulation=2)
    assert few_recipe(config, 60) == replace(config, probe_epochs=MIN_UPDATES)
    partial = replace(config, scheme="partial")
    assert few_recipe(partial, 60) == replace(partial, epochs=MIN_UPDATES)  # two batches are one update
    assert few_recipe(config, 100_000) == config and few_recipe(partial, 100_000) == partial


@pytest.mark.parametrize("preset", ["sgm", "paper", "authors"])
def test_no_preset_s_patience_ends_a_training_on_few_cells_before(preset: str):
    """Seen: a patience of 5 epochs of 7 updates ended the paper's probe after 42."""
    rng = np.random.default_rng(0)
    vectors, codes = rng.normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3
    config = few_recipe(finetune_config(preset=preset, run="r"), len(vectors))
    task = Probe(vectors, codes, vectors, codes, 3, config)
    task.end_epoch = lambda epoch, seconds: (float(-epoch),)  # it never gets better
    loop = Loop(task, replace(config, epochs=config.probe_epochs, accumulation=1))
    loop.run()
    assert loop.epoch * task.n_batches >= MIN_UPDATES


def test_the_patience_of_many_cells_is_the_preset_s():
    config = finetune_config(preset="paper", run="r")
    assert few_recipe(config, 100_000).patience == config.patience == 5


def test_numbers_of_labels_are_checked_and_ordered():
    config = CompareConfig.from_dict({"data": "d", "labels": "30,all,10"})
    assert config.labels == ("10", "30", "all") and config.few_labels == [10, 30]
    assert CompareConfig.from_dict({"data": "d", "labels": ["5"]}).labels == ("5", "all")
    for numbers in ([30, "all", 10], ("10", 30), "30,10"):
        assert CompareConfig.from_dict({"data": "d", "labels": numbers}) == config
    wrong = (
        "1",
        "0",
        "ten",
        "010",
        "+5",
        "-5",
        "1_0",
        "2.5",
        "\uff11\uff10",
        "9" * 5000,
        "10, 30",
        "10,10",
        "",
    )
    for labels in (*wrong, [10, "10"], [10, 10], [2.5], [True], [None], [[10]], [], None, 10):
        with pytest.raises(InputError, match="labels"):
            CompareConfig.from_dict({"data": "d", "labels": labels})
    with pytest.raises(InputError, match="labels has 10: give all"):
        CompareConfig(data="d", labels=(10,))
