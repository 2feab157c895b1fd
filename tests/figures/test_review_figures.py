"""Figures of the review: names are text, the gene is where its numbers are, marks are counted."""

import numpy as np
import pandas as pd
import pytest
from synthetic_masks import masks_and_cells, simulated_values

from sgm_core.analysis.masks import gene_statistics
from sgm_core.figures import masks, review
from sgm_core.figures.palette import VERDICTS
from sgm_core.review.consensus import DIVIDED
from sgm_core.review.kinds import VERDICTS as KINDS
from sgm_core.review.links import links
from sgm_core.review.members import holding


@pytest.fixture(scope="module")
def stats():
    values = simulated_values(500, 150)
    law = np.zeros(150)
    law[7] = 2.0
    return gene_statistics(masks_and_cells(law + np.zeros_like(values), values, seeds=3)[0])


def test_a_gene_lies_where_its_numbers_are(stats):
    fig = review.place(stats, "G0007", "<b>G0007</b>")
    row = stats.set_index("gene").loc["G0007"]
    mine = [trace for trace in fig.data if trace.marker.color == review.ACCENT]
    assert [trace.marker.symbol for trace in mine] == ["diamond"], "hidden more than its equals"
    assert (mine[0].x[0], mine[0].y[0]) == (row["mean_expression"], 100 * row["frequency"])
    assert "<b>" not in fig.layout.title.text


def test_each_verdict_is_one_entry_of_the_legend(stats):
    marks = {
        "G0001": ("artefact", "Artefact"),
        "G0002": ("artefact", "Artefact"),
        "G0003": ("known", "<b>Known"),
    }
    fig = masks.frequency_expression(stats, "Figure 2", marks=marks)
    names = [trace.name for trace in fig.data if trace.name]
    assert "Artefact (2)" in names and sum("Known" in name for name in names) == 1
    assert not any("<b>" in name for name in names)
    assert set(VERDICTS) == {*KINDS, DIVIDED}, "each verdict has a mark"


def test_expression_and_donors_are_sorted_and_escaped():
    table = pd.DataFrame(
        {"group": ["<b>a", "b"], "gene": "G", "n_cells": [10, 2000], "share": [0.5, 0.1], "mean": [0.2, 0.1],
         "mean_expressing": [0.4, 1.0]}
    )  # fmt: skip
    fig = review.expression(table, "G", "G")
    assert list(fig.data[0].x) == [0.1, 0.2] and "2,000" in fig.data[0].y[0] and "<b>" not in fig.data[0].y[1]
    donors = pd.DataFrame({"donor": ["D1", "D2"], "arm": "Self-guided", "lift": [2.0, 0.5]})
    fig = review.by_donor(donors.assign(colour="#000000", symbol="circle"), "G", "G")
    assert list(fig.layout.yaxis.categoryarray) == ["D2", "D1"]


def test_links_hold_the_gene_and_nothing_that_it_brings_along():
    found = links("HLA-A/<x>&y=1#")
    assert set(found) == {"NCBI Gene", "UniProt", "GeneCards", "Open Targets", "DepMap"}
    for address in found.values():
        assert address.startswith("https://") and "HLA-A%2F%3Cx%3E%26y%3D1%23" in address


def test_the_smallest_set_that_holds_a_gene_comes_first():
    held = holding({"large": ["A", "B", "C", "A"], "small": ["A"], "other": ["B", "D"]})
    assert held == {"A": ["small", "large"], "B": ["other", "large"], "C": ["large"], "D": ["other"]}
