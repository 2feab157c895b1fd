"""Runs shows which datasets a run pretrained on."""

import pandas as pd

from sgm_core.home import write_table


def test_the_corpus_of_each_fold_is_shown(open_page, compare_run) -> None:
    assert not [one for one in open_page("runs").expander if "corpus" in one.label]
    counts = dict.fromkeys(("same_donor", "held_copies", "held_donor", "copies", "silent"), 7)
    table = pd.DataFrame(
        {"dataset": ["a", "b"] * 2, "content_hash": "f", "cells": 90, "trained": 50, **counts}
    )
    write_table(compare_run.path / "corpus.parquet", table.assign(genes=60, fold=[0, 0, 1, 1]))
    page = open_page("runs")
    assert not page.exception
    assert [one.label for one in page.expander if "corpus" in one.label] == ["Pretraining corpus"]
    shown = next(frame.value for frame in page.dataframe if "Trained on" in frame.value)
    assert shown["Fold"].tolist() == [0, 0, 1, 1] and shown["Of held-out donors"].tolist() == [7] * 4
