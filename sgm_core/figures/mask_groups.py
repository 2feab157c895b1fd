"""Masks by cell type, donor and epoch: a heat map of genes, lines by epoch, one gene's card."""

import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import VIRIDIS, arm_colour, arm_name, arm_symbol
from sgm_core.figures.style import GRID, LEGEND_UNDER, finish, label


def level_heatmap(frequencies: pd.DataFrame, title: str, what: str) -> go.Figure:
    """Draw how often each gene (rows) is hidden in each cell type, donor or epoch (columns)."""
    fig = go.Figure(
        go.Heatmap(
            z=100 * frequencies.to_numpy(),
            x=[label(level, 28) for level in frequencies.columns],
            y=[escape(gene) for gene in frequencies.index],
            colorscale=VIRIDIS,
            xgap=1,
            ygap=1,
            hovertemplate=f"%{{y}}<br>{escape(what)} %{{x}}<br>"
            "masked in %{z:.1f} % of its draws<extra></extra>",
            colorbar={"title": {"text": "% masked"}, "thickness": 10, "outlinewidth": 0},
        )
    )
    finish(fig, title, None, None, 210 + 18 * len(frequencies), legend=False)
    fig.update_yaxes(type="category", autorange="reversed", dtick=1, showgrid=False)
    fig.update_xaxes(type="category", dtick=1, tickangle=-45 if frequencies.shape[1] > 4 else 0)
    return fig


def lines(table: pd.DataFrame, x: str, y: str, name: str, title: str, unit: str, percent: bool) -> go.Figure:
    """Draw one line per `name` (an arm, a gene), named at its end; arms keep their colour and symbol."""
    fig = go.Figure()
    for number, (key, rows) in enumerate(table.groupby(name, sort=False)):
        rows = rows.sort_values(x)
        values = rows[y] * (100 if percent else 1)
        shown = label(arm_name(str(key)))
        fig.add_scatter(
            x=rows[x],
            y=values,
            mode="lines+markers",
            name=shown,
            line={"color": arm_colour(str(key), number), "width": 2},
            marker={"symbol": arm_symbol(str(key)), "size": 8},
            hovertemplate=f"{shown}, epoch %{{x}}: %{{y:.3g}}<extra></extra>",
        )
    finish(fig, title, "Epoch", unit, 360)
    fig.update_layout(legend=LEGEND_UNDER)
    fig.update_xaxes(dtick=1, tickformat="d")
    return fig


def gene_card(table: pd.DataFrame, gene: str, what: str) -> go.Figure:
    """Draw one gene's mask frequency in each level (cell type, donor), arm by arm.

    Parameters
    ----------
    table
        arm, level, frequency (0..1), opportunities.
    """
    order = table.groupby("level")["frequency"].max().sort_values().index
    fig = go.Figure()
    for arm, rows in table.groupby("arm", sort=False):
        fig.add_scatter(
            x=100 * rows["frequency"],
            y=[label(level, 28) for level in rows["level"]],
            mode="markers",
            name=escape(arm_name(str(arm))),
            customdata=rows["opportunities"],
            marker={"color": arm_colour(str(arm)), "symbol": arm_symbol(str(arm)), "size": 9},
            hovertemplate=f"{escape(arm_name(str(arm)))}, %{{y}}<br>%{{x:.1f}} % of %{{customdata:,}} draws"
            "<extra></extra>",
        )
    finish(fig, f"{gene}: how often hidden, by {what}", "% of draws", None, 150 + 22 * len(order), row=True)
    names = [label(level, 28) for level in order]
    fig.update_yaxes(type="category", categoryorder="array", categoryarray=names, dtick=1, gridcolor=GRID)
    fig.update_xaxes(showgrid=True, rangemode="tozero")
    return fig
