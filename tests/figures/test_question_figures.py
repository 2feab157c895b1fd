"""Figures of the questions about a selection: what is drawn is what the tables say."""

import numpy as np
import pandas as pd

from sgm_core.figures.composition import composition
from sgm_core.figures.differential import direction, volcano
from sgm_core.figures.dot_plot import dot_plot, violins


def genes(tested: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 500
    table = pd.DataFrame({"gene": [f"<G{i}>" for i in range(n)], "log2_fold_change": rng.normal(0, 1, n)})
    for name in ("share_a", "share_b", "mean_a", "mean_b"):
        table[name] = rng.random(n)
    table["mitochondrial"] = np.arange(n) < 5
    if not tested:
        return table.assign(score=rng.normal(0, 3, n))
    table["p_value"] = rng.random(n)
    table["q_value"] = table["p_value"]
    table.loc[:9, ["p_value", "q_value"]] = 1e-9
    table.loc[:5, "log2_fold_change"], table.loc[6:9, "log2_fold_change"] = 3.0, -3.0
    table.loc[20:40, ["p_value", "q_value"]] = np.nan
    table.loc[41:50, "q_value"] = np.nan
    table.loc[11:, "q_value"] = table.loc[11:, "q_value"].clip(lower=0.2)
    table.loc[10, ["p_value", "q_value"]] = 0.0, 0.9
    return table


def drawn(fig) -> dict[str, int]:
    return {trace.name.split(" (")[0]: len(trace.x) for trace in fig.data if trace.showlegend is not False}


def test_the_volcano_groups_genes_by_the_test_alone() -> None:
    fig = volcano(genes(), "A against B", ("AML", "healthy"))
    assert drawn(fig) == {"Not proven": 469, "Higher in healthy": 4, "Higher in AML": 6}
    assert direction(genes()).value_counts().to_dict() == {"undecided": 490, "higher": 6, "lower": 4}
    assert all(np.isfinite(trace.y).all() for trace in fig.data)  # p = 0 has a place
    assert "<G1>" not in "".join(map(str, fig.data[0].text))


def test_without_a_test_there_is_no_p_and_no_proof() -> None:
    fig = volcano(genes(False), "A against B")
    assert drawn(fig) == {"Genes, ranked and not tested": 500}
    assert "no test" in fig.layout.yaxis.title.text
    assert " p " not in fig.data[0].hovertemplate


def test_chosen_genes_are_ringed_and_families_have_their_own_marks() -> None:
    fig = volcano(genes(), "A against B", chosen=["<G100>"], families=True)
    ring = next(trace for trace in fig.data if trace.marker.line.width == 2.5)
    assert len(ring.x) == 1
    assert drawn(fig)["Mitochondrial"] == 5


def test_composition_draws_the_interval_of_the_difference() -> None:
    table = pd.DataFrame(
        {
            "label": ["T", "B"], "n_selected": [30, 70], "share_selected": [0.3, 0.7], "n_rest": [50, 50],
            "share_rest": [0.5, 0.5], "difference": [-0.2, 0.2], "low": [-0.4, 0.05], "high": [0.1, 0.3],
        }
    )  # fmt: skip
    bar = composition(table, "Composition").data[0]
    place = list(bar.y).index("T")
    assert bar.x[place] + bar.error_x.array[place] == 30 + 30  # clear of 50: not different
    assert bar.x[place] - bar.error_x.arrayminus[place] == 30 - 20
    without = composition(table.assign(low=np.nan, high=np.nan), "Composition").data[0]
    assert without.error_x.array is None


def test_dots_have_the_area_of_the_share_and_violins_stay_inside_their_values() -> None:
    table = pd.DataFrame(
        {
            "group": ["x", "y"],
            "gene": "CD34",
            "n_cells": 5,
            "share": [0.25, 1.0],
            "mean": 1.0,
            "mean_expressing": 2.0,
        }
    )
    size = dot_plot(table, "Dots", "Group").data[0].marker.size
    assert (size[1] / size[0]) ** 2 == 4
    values = pd.DataFrame({"gene": "CD34", "group": ["x"] * 3 + ["y"] * 3, "value": [0, 1, 2, 0, 0, 0]})
    fig = violins(values, "Violins", ["x", "y"], {"x": "#000000", "y": "#111111"}, "Group")
    assert [trace.span[0] for trace in fig.data] == [0, 0]
    assert fig.data[0].span[1] == 2
