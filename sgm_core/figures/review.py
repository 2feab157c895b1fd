"""One gene under review: its place among all genes, its expression by cell type."""

import pandas as pd
import plotly.graph_objects as go

from sgm_core.analysis.masks import preference
from sgm_core.escape import escape
from sgm_core.figures.masks import X_AXES, Y_AXES, matched_band
from sgm_core.figures.style import GRID, LEGEND_UNDER, MUTED, finish, label, name_genes, point_trace

ACCENT = "#D55E00"
_MOST_DOT, _LEAST_DOT = 16, 4


def place(stats: pd.DataFrame, gene: str, title: str) -> go.Figure:
    """Draw a gene among all genes: how often hidden, against expression, with the band of its equals.

    Parameters
    ----------
    stats
        From `sgm_core.analysis.masks.gene_statistics`.
    gene
        One of its genes.
    """
    shown = stats[(stats["mean_expression"] > 0) & stats["frequency"].notna()]
    fig = go.Figure()
    matched_band(fig, shown, "mean_expression", "frequency", 100)
    fig.add_trace(
        point_trace(len(shown))(
            x=shown["mean_expression"].to_numpy("float32"),
            y=(100 * shown["frequency"]).to_numpy("float32"),
            mode="markers",
            name=f"All {len(shown):,} genes",
            marker={"color": "#8A8F98", "size": 4, "opacity": 0.35},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    mine = shown[shown["gene"] == gene]
    fig.add_scatter(
        x=mine["mean_expression"],
        y=100 * mine["frequency"],
        mode="markers",
        marker={"color": ACCENT, "size": 11, "symbol": _symbol(mine)},
        hovertemplate=f"{escape(gene)}: hidden in %{{y:.1f}} % of its draws<extra></extra>",
        showlegend=False,
    )
    name_genes(fig, mine, "mean_expression", "frequency", 100, ring=True)
    finish(
        fig, title, X_AXES["mean_expression"], Y_AXES["frequency"], 330, legend=False,
        note="grey band: what genes of equal expression get (95 %)",
    )  # fmt: skip
    fig.update_xaxes(type="log", dtick=1)
    return fig


def _symbol(row: pd.DataFrame) -> str:
    shapes = {"above": "diamond", "below": "triangle-down", "equal": "circle", "unknown": "circle"}
    return shapes[preference(row).iloc[0]] if len(row) else "circle"


def expression(table: pd.DataFrame, gene: str, title: str) -> go.Figure:
    """Draw a gene's mean expression in each group of cells; the dot's size is the share that express it.

    Parameters
    ----------
    table
        From `sgm_core.analysis.dot_plot.dot_plot`, of one gene.
    """
    rows = table.sort_values(["mean", "group"])
    names = [f"{label(group, 24)} ({n:,})" for group, n in zip(rows["group"], rows["n_cells"])]
    fig = go.Figure()
    fig.add_scatter(
        x=rows["mean"],
        y=names,
        mode="markers",
        customdata=rows[["share", "mean_expressing"]].to_numpy(float),
        error_x={
            "array": [0] * len(rows),
            "arrayminus": rows["mean"],
            "width": 0,
            "thickness": 2,
            "color": MUTED,
        },
        marker={"size": _LEAST_DOT + (_MOST_DOT - _LEAST_DOT) * rows["share"], "color": ACCENT},
        hovertemplate=f"{escape(gene)}, %{{y}}<br>mean %{{x:.3f}}; %{{customdata[0]:.1%}} express it, "
        "their mean %{customdata[1]:.3f}<extra></extra>",
    )
    note = "size: share of the cells that express it"
    finish(fig, title, "Mean, ln(1 + counts per 10,000)", None, 150 + 22 * len(rows), legend=False, note=note)
    fig.update_yaxes(type="category", categoryorder="array", categoryarray=names, dtick=1, gridcolor=GRID)
    fig.update_xaxes(showgrid=True, rangemode="tozero")
    return fig


def by_donor(table: pd.DataFrame, gene: str, title: str) -> go.Figure:
    """Draw in how many times the frequency of its equals each donor's cells have a gene hidden.

    Parameters
    ----------
    table
        donor, arm (as figures name it), lift, colour, symbol.
    """
    order = table.groupby("donor")["lift"].max().sort_values().index
    fig = go.Figure()
    for arm, rows in table.groupby("arm", sort=False):
        fig.add_scatter(
            x=rows["lift"],
            y=[label(donor, 24) for donor in rows["donor"]],
            mode="markers",
            name=escape(arm),
            marker={"color": rows["colour"].iloc[0], "symbol": rows["symbol"].iloc[0], "size": 9},
            hovertemplate=f"{escape(gene)}, {escape(arm)}, %{{y}}: %{{x:.2f}} times its equals"
            "<extra></extra>",
        )
    fig.add_vline(x=1, line={"color": MUTED, "width": 1, "dash": "dot"})
    finish(fig, title, "Times as often as its equals", None, 190 + 20 * len(order))
    names = [label(donor, 24) for donor in order]
    fig.update_yaxes(type="category", categoryorder="array", categoryarray=names, dtick=1, gridcolor=GRID)
    fig.update_xaxes(showgrid=True)
    fig.update_layout(legend=LEGEND_UNDER)
    return fig
