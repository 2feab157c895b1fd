"""Figure 2 and its relatives, on masks drawn with a known law."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from synthetic_masks import masks_and_cells, simulated_values

from sgm_core.analysis.masks import gene_statistics
from sgm_core.figures import masks as figures

GUIDED = [3, 40, 77]


@pytest.fixture(scope="module")
def stats():
    values = simulated_values(n_cells=800, n_genes=300)
    scores = np.zeros_like(values)
    scores[:, GUIDED] += np.log(8.0)
    return gene_statistics(masks_and_cells(scores, values, seeds=3)[0])


def test_the_preferred_genes_stand_out_and_are_named(stats):
    fig = figures.frequency_expression(stats, "Figure 2")
    above = next(trace for trace in fig.data if (trace.name or "").startswith("Hidden more"))
    names = [f"G{i:04d}" for i in GUIDED]
    assert set(names) <= set(above.text)
    assert above.marker.symbol == "diamond"
    labels = next(trace for trace in fig.data if trace.mode == "markers+text")
    assert set(names) & set(labels.text)
    drawn = sum(len(trace.x) for trace in fig.data if trace.customdata is not None)
    assert drawn == len(stats)


def test_the_band_holds_the_genes_that_follow_expression(stats):
    fig = figures.frequency_expression(stats, "Figure 2")
    band = next(trace for trace in fig.data if trace.fill == "toself")
    equal = next(trace for trace in fig.data if (trace.name or "").startswith("As equals"))
    half = len(band.x) // 2
    high = np.interp(equal.x, band.x[:half], band.y[:half])
    low = np.interp(equal.x, band.x[:half], band.y[half:][::-1])
    assert ((equal.y >= low) & (equal.y <= high)).mean() > 0.8


def test_a_searched_gene_is_ringed_and_families_can_be_coloured(stats):
    fig = figures.frequency_expression(stats, "Figure 2", highlight=["G0100"])
    assert fig.data[-1].text == ("G0100",)
    mito = stats.assign(mitochondrial=stats["gene"] == "G0005")
    fig = figures.frequency_expression(mito, "Figure 2", families=True)
    assert next(trace for trace in fig.data if trace.name == "Mitochondrial (1)").text == ("G0005",)


def test_two_panels_share_the_ranges_of_their_genes(stats):
    (left, right), (bottom, top) = figures.axis_ranges([stats, stats], "mean_expression", "frequency")
    shown = stats[stats["mean_expression"] > 0]
    assert left < np.log10(shown["mean_expression"]).min() < right
    assert bottom < 100 * shown["frequency"].min() < 100 * shown["frequency"].max() < top


def test_the_ranking_is_by_the_lower_bound(stats):
    fig = figures.ranking(stats, "Lift", n=3)
    assert set(fig.data[0].y) == {f"G{i:04d}" for i in GUIDED}


def test_few_genes_and_no_lift_still_draw(stats):
    few = gene_statistics_of_few()
    assert few["lift"].isna().all()
    fig = figures.frequency_expression(few, "Figure 2")
    assert not [trace for trace in fig.data if trace.fill == "toself"]


def gene_statistics_of_few():
    values = simulated_values(n_cells=50, n_genes=8)
    return gene_statistics(masks_and_cells(np.zeros_like(values), values)[0])
