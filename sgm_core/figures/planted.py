"""How much of what is hidden most was planted by the simulator, against chance and controls."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import SAFE
from sgm_core.figures.style import LEGEND_UNDER, MUTED, NEUTRAL, finish

FEWEST = 10


def precision(table: pd.DataFrame, title: str) -> go.Figure:
    """Draw the share of planted genes among the first of each ranking, with what equals hold and chance.

    Rankings of fewer than `FEWEST` genes are left out: a share of them says little.

    Parameters
    ----------
    table
        Rows of one set from `sgm_core.analysis.planted.planted_precision`, with name (of the ranking) and
        control (bool).
    """
    rows = table[table["n_listed"] >= FEWEST].reset_index(drop=True)
    text = [f"{hits} of {n}" for hits, n in zip(rows["n_hits"], rows["n_listed"])]
    names = [f"{escape(name)} · {held}" for name, held in zip(rows["name"], text)]
    fig = go.Figure(
        go.Bar(
            x=100 * rows["precision"],
            y=names,
            orientation="h",
            width=0.55,
            text=text,
            textposition="none",
            marker={"color": np.where(rows["control"], NEUTRAL, SAFE[1]), "line": {"width": 0}},
            hovertemplate="%{y}: %{text}, %{x:.0f} %<extra></extra>",
            showlegend=False,
        )
    )
    fig.add_scatter(
        x=100 * rows["expected_matched"],
        y=names,
        mode="markers",
        name="genes of equal expression (95 %)",
        marker={"symbol": "line-ns", "size": 16, "line": {"width": 2, "color": SAFE[0]}},
        error_x={
            "array": 100 * (rows["high_matched"] - rows["expected_matched"]),
            "arrayminus": 100 * (rows["expected_matched"] - rows["low_matched"]),
            "color": SAFE[0],
            "thickness": 2,
            "width": 0,
        },
        hovertemplate="%{y}: equals hold %{x:.0f} %<extra></extra>",
    )
    chance = 100 * float(rows["chance"].iloc[0])
    fig.add_vline(x=chance, line={"color": MUTED, "width": 1.5, "dash": "dot"})
    finish(
        fig,
        title,
        "Planted (% of the list)",
        None,
        170 + 40 * len(rows),
        note=f"dotted: chance, {chance:.0f} %",
    )
    fig.update_layout(legend=LEGEND_UNDER | {"y": -0.3})
    fig.update_yaxes(type="category", autorange="reversed", showgrid=False)
    most = 100 * float(rows[["precision", "high_matched"]].max().max())
    fig.update_xaxes(showgrid=True, range=[0, 1.25 * max(most, chance, 5)])
    return fig


def by_group(table: pd.DataFrame, title: str) -> go.Figure:
    """Draw for each cell type the share of its planted genes, of the arm, of uniform masks, of expression.

    Parameters
    ----------
    table
        From `sgm_core.analysis.planted.planted_by_group`.
    """
    rows = table.sort_values("precision", ascending=False)
    levels = rows["level"].map(escape)
    fig = go.Figure()
    for column, name, colour, symbol in (
        ("chance", "chance", NEUTRAL, "x"),
        ("precision_expression", "most expressed genes", SAFE[4], "triangle-up"),
        ("precision_uniform", "uniform masks", SAFE[0], "square"),
        ("precision", "this arm", SAFE[1], "diamond"),
    ):
        fig.add_scatter(
            x=100 * rows[column], y=levels, mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 9},
            hovertemplate=f"%{{y}}, {name}: %{{x:.0f}} %<extra></extra>",
        )  # fmt: skip
    finish(fig, title, "Planted in the type (% of the list)", None, 170 + 22 * len(rows))
    fig.update_layout(legend=LEGEND_UNDER)
    fig.update_yaxes(type="category", autorange="reversed", showgrid=True)
    fig.update_xaxes(showgrid=True, rangemode="tozero")
    return fig
