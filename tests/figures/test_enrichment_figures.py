"""Figure 3: bars are p, pale if not significant, one colour means one set of genes."""

import html

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.enrichment import group_terms, over_representation
from sgm_core.figures import enrichment as figures
from sgm_core.figures.style import NEUTRAL, finish, p_text, short

TERMS = {
    "blood (GO:0000001)": ["A", "B", "C", "D"],
    "bleeding": ["A", "B", "C", "D", "E"],
    "other": ["X", "Y", "Z", "W", "A"],
}


def test_bars_are_minus_log_p_and_colours_are_groups():
    universe = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    table = group_terms(over_representation("ABCD", universe, TERMS, min_size=1))
    bar = figures.terms(table, "Figure 3").data[0]
    assert list(bar.x) == pytest.approx(list(-np.log10(table["p_value"])))
    assert list(bar.marker.opacity) == [1.0, 1.0, 0.35]
    assert list(bar.text) == ["4 of 4 genes", "4 of 5 genes", "1 of 5 genes"]
    colours = bar.marker.color
    assert colours[0] == colours[1] != colours[2] == NEUTRAL
    labels = [a.text for a in figures.terms(table, "Figure 3").layout.annotations]
    assert html.unescape(labels[0]) == "blood (GO:0000001) · 4 of 4 genes"


def test_controls_are_grey():
    counts = pd.DataFrame({"name": ["mine", "uniform"], "significant": [3, 0], "control": [False, True]})
    assert list(figures.rankings(counts, "Found").data[0].marker.color) == ["#D55E00", NEUTRAL]


def test_p_values_and_long_names_read_well():
    assert p_text(1.234e-8) == "1.2e-08"
    assert p_text(0.0432) == "0.043"
    assert short("regulation of transcription by RNA polymerase II", 20) == "regulation of…ase II"
    assert len(short("x" * 99, 20)) == 20


def test_grounds_are_transparent_so_that_the_theme_shows():
    import plotly.graph_objects as go

    layout = finish(go.Figure(), "Title", note="a note").layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.title.subtitle.text == "a note"
    assert layout.font.color is None  # the page's theme rules
