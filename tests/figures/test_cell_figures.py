"""Maps of cells: legends count all cells, dimmed cells stay, subsamples repeat."""

import numpy as np
import pandas as pd
import pytest

from sgm_core.figures import cells as figures
from sgm_core.figures.palette import categorical


def a_map(n: int = 400) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    kind = np.array(["HSC", "GMP", None], dtype=object)[np.arange(n) % 3]
    xy = pd.DataFrame({"cell": np.arange(n), "x": rng.normal(0, 1, n), "y": rng.normal(0, 1, n)})
    xy.loc[kind == "GMP", "x"] += 20
    return xy, pd.Series(kind)


def test_the_legend_counts_the_whole_map_and_unlabelled_cells_are_grey_and_last():
    xy, kind = a_map()
    counts = {"HSC": 5000, "GMP": 4000, figures.NO_VALUE: 7}
    fig = figures.by_category(xy, kind, categorical(["HSC", "GMP"]), "Types", "type", counts)
    names = [trace.name for trace in sorted(fig.data, key=lambda trace: trace.legendrank)]
    assert names == ["HSC (5,000)", "GMP (4,000)", "no value (7)"]
    assert fig.data[0].marker.color.startswith("rgba(128,128,128")
    assert {a.text for a in fig.layout.annotations} == {"HSC", "GMP"}


def test_cells_outside_the_selection_are_dim_but_there():
    xy, kind = a_map()
    inside = (kind == "GMP").to_numpy()
    for fig in (
        figures.by_category(xy, kind, categorical(["HSC", "GMP"]), "Types", "type", {"GMP": 1}, inside),
        figures.by_number(xy, np.arange(len(xy)), "CD34", "CD34", inside=inside),
    ):
        assert sum(len(trace.x) for trace in fig.data) == len(xy)
        assert len(fig.data[0].x) == (~inside).sum()
        assert fig.data[0].hoverinfo == "skip"


def test_the_highest_values_are_drawn_on_top():
    xy, _ = a_map(100)
    values = np.random.default_rng(1).random(100)
    fig = figures.by_number(xy, values, "CD34", "CD34")
    assert (np.diff(fig.data[0].marker.color) >= 0).all()


def test_a_subsample_is_the_same_every_time_and_in_order():
    rows = figures.subsample(200_000, 50_000)
    assert len(rows) == len(set(rows)) == 50_000
    assert (np.diff(rows) > 0).all()
    assert (rows == figures.subsample(200_000, 50_000)).all()
    assert len(figures.subsample(100)) == 100


def test_few_cells_are_vectors_and_many_go_to_the_graphics_card():
    for n, kind in ((400, "scatter"), (6000, "scattergl")):
        xy, _ = a_map(n)
        assert figures.by_number(xy, np.zeros(n), "CD34", "CD34").data[0].type == kind


@pytest.mark.parametrize("dark", [False, True])
def test_names_on_the_map_are_text_with_a_halo_and_hide_no_cell_behind_a_box(dark):
    xy, kind = a_map()
    counts = {"HSC": 5, "GMP": 4}
    fig = figures.by_category(xy, kind, categorical(["HSC", "GMP"]), "Types", "type", counts, dark=dark)
    for note in fig.layout.annotations:
        assert note.bgcolor is None
        text, ground = _lightness(note.font.color), _lightness(note.font.shadow.split()[3].rstrip(","))
        assert (text > 200 and ground < 50) if dark else (text < 50 and ground > 200)


def _lightness(colour: str) -> float:
    return sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) / 3
