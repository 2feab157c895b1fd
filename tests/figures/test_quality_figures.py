"""Histograms and heat maps of a dataset."""

import numpy as np
import pandas as pd

from sgm_core.figures import quality


def test_the_histogram_counts_every_cell_once_and_splits_kept_from_left_out():
    values = pd.Series(np.arange(1000.0))
    fig = quality.histogram(values, "Genes per cell", "Genes", (200, 800))
    kept, out = fig.data
    assert sum(kept.y) + sum(out.y) == 1000
    assert min(kept.x) >= 200 and max(kept.x) <= 800
    assert (kept.name, out.name) == ("kept", "left out")


def composition() -> pd.DataFrame:
    rows = [
        ("A1", "HSC", "Relapse", 5),
        ("A1", "HSC", "Diagnosis", 7),
        ("B1", "T", "Healthy", 9),
        ("A1", "T", "Diagnosis", 1),
    ]
    return pd.DataFrame(rows, columns=["donor", "cell_type", "timepoint", "cells"])


def test_samples_come_in_the_order_of_the_disease():
    table = quality.sample_table(composition())
    assert list(table.index) == ["B1 · Healthy", "A1 · Diagnosis", "A1 · Relapse"]
    assert table.loc["A1 · Relapse", "T"] == 0
    assert table.to_numpy().sum() == 22


def test_days_sort_by_number_and_without_timepoints_donors_sort_by_name():
    days = composition().assign(timepoint=["D14", "D0", "D100", "D0"])
    assert [name.split(" · ")[1] for name in quality.sample_table(days).index] == ["D0", "D14", "D100"]
    plain = composition().assign(timepoint="")
    assert list(quality.sample_table(plain).index) == ["A1", "B1"]


def test_empty_cells_are_marked():
    fig = quality.donor_heatmap(quality.sample_table(composition()))
    marks = np.array(fig.data[0].text)
    numbers = np.array(fig.data[0].customdata)
    assert ((marks == "×") == (numbers == 0)).all()


def test_a_fold_without_a_class_is_marked_and_unscored_classes_are_named():
    coverage = pd.DataFrame(
        {
            "cell_type": ["T", "HSC"] * 2,
            "scored": [True, False] * 2,
            "fold": [0, 0, 1, 1],
            "test_cells": [9, 0, 3, 2],
            "test_donors": [2, 0, 1, 1],
        }
    )
    fig = quality.coverage_heatmap(coverage)
    assert list(fig.data[0].x) == ["T", "HSC (not scored)"]
    assert np.array(fig.data[0].text).tolist() == [["", "×"], ["", ""]]
