import numpy as np
import pandas as pd

from sgm_core.figures.annotation import likeness, sample_shares


def test_a_class_beyond_every_donor_is_marked_and_the_whisker_is_the_references() -> None:
    table = pd.DataFrame(
        {
            "cell_type": ["HSC", "<b>T</b>"], "n_cells": [30, 70], "share": [0.3, 0.7],
            "reference": [0.1, 0.6], "lowest": [0.05, 0.5], "highest": [0.2, 0.8], "difference": [0.2, 0.1],
            "low": [0.15, -0.05], "high": [0.25, 0.2], "outside": [True, False], "n_donors": [3, 3],
        }
    )  # fmt: skip
    fig = sample_shares(table, "one")
    bar, mark = fig.data
    assert list(bar.y) == ["HSC ▲", "&#60;b&#62;T&#60;/b&#62;"]
    assert np.allclose(mark.x - mark.error_x.arrayminus, [5.0, 50.0])
    assert np.allclose(mark.x + mark.error_x.array, [15.0, 75.0])
    assert "3 donors" in fig.layout.title.subtitle.text


def test_states_of_a_sample_add_up() -> None:
    table = pd.DataFrame(
        {"sample": ["a", "b"] * 2, "state": ["HSC-like"] * 2 + ["monocyte-like"] * 2,
         "n_cells": [1, 2, 3, 2], "share": [0.25, 0.5, 0.75, 0.5]}
    )  # fmt: skip
    fig = likeness(table, "states")
    assert [trace.name for trace in fig.data] == ["HSC-like", "monocyte-like"]
    assert np.allclose(sum(np.array(trace.x) for trace in fig.data), 100)
