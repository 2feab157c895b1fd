"""Expression of a few genes over groups of cells: dot plot and violins."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sgm_core.escape import escape
from sgm_core.figures.palette import VIRIDIS
from sgm_core.figures.style import MUTED, finish, label

MEANS = {"mean": "Mean of all cells", "mean_expressing": "Mean of expressing cells"}
_LARGEST = 20.0
_BANDWIDTH = 0.2  # of ln(1 + counts per 10,000); a rule of thumb fails where most values are zero
_LEGEND = (0.1, 0.5, 1.0)


def dot_plot(table: pd.DataFrame, title: str, by: str, colour: str = "mean") -> go.Figure:
    """Draw a dot plot: size is the share of a group's cells that express the gene, colour its mean.

    Parameters
    ----------
    table
        From `sgm_core.analysis.dot_plot.dot_plot`.
    by
        What the groups are, for the axis.
    colour
        A key of `MEANS`.
    """
    genes = [escape(gene) for gene in dict.fromkeys(table["gene"])]
    groups = list(dict.fromkeys(table["group"]))
    names = {group: f"{label(group, 24)} ({n:,})" for group, n in zip(table["group"], table["n_cells"])}
    fig = go.Figure()
    fig.add_scatter(
        x=table["gene"].map(escape),
        y=table["group"].map(names),
        mode="markers",
        showlegend=False,
        customdata=table[["share", "mean", "mean_expressing", "n_cells"]].to_numpy(float),
        hovertemplate="<b>%{x}</b>, %{y}<br>%{customdata[0]:.1%} of %{customdata[3]:,.0f} cells"
        "<br>mean %{customdata[1]:.3f}, of expressing cells %{customdata[2]:.3f}<extra></extra>",
        marker={
            "size": _sizes(table["share"]),
            "sizemode": "diameter",
            "color": table[colour],
            "colorscale": VIRIDIS,
            "cmin": 0,
            "cmax": max(float(table[colour].max()), 1e-6),
            "line": {"width": 1, "color": MUTED},
            "opacity": 1,
            "colorbar": {
                "title": {"text": f"{MEANS[colour]},<br>ln(1 + counts per 10,000)", "side": "right"},
                "thickness": 10,
                "outlinewidth": 0,
                "lenmode": "pixels",
                "len": min(170, 60 + 22 * len(groups)),
            },
        },
    )
    for share in _LEGEND:
        size = float(_sizes(pd.Series([share]))[0])
        fig.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=f"{share:.0%} of cells",
            marker={"size": size, "color": "rgba(0,0,0,0)", "line": {"width": 1.5, "color": MUTED}},
        )
    finish(fig, title, None, by, 170 + 26 * len(groups), row=True)
    fig.update_xaxes(
        type="category", categoryarray=genes, categoryorder="array", tickangle=-45, showgrid=False
    )
    fig.update_yaxes(
        type="category",
        categoryarray=[names[group] for group in reversed(groups)],
        categoryorder="array",
        dtick=1,
        showgrid=True,
    )
    fig.update_xaxes(range=[-0.6, len(genes) - 0.4])
    fig.update_yaxes(range=[-0.6, len(groups) - 0.4])
    return fig


def violins(
    values: pd.DataFrame, title: str, groups: Sequence[str], colours: dict[str, str], by: str
) -> go.Figure:
    """Draw the values of genes in groups as violins, one row a gene.

    Parameters
    ----------
    values
        From `sgm_core.analysis.dot_plot.violin_values`.
    groups
        The groups in order.
    colours
        Colour of each group.
    by
        What the groups are, for the axis.
    """
    genes = list(dict.fromkeys(values["gene"]))
    fig = make_subplots(
        rows=len(genes), cols=1, shared_xaxes=True, vertical_spacing=min(0.06, 0.3 / max(1, len(genes)))
    )
    for row, gene in enumerate(genes, 1):
        mine = values[values["gene"] == gene]
        for group in groups:
            drawn = mine.loc[mine["group"] == group, "value"].to_numpy("float32")
            fig.add_violin(
                x=np.repeat(label(group, 24), len(drawn)),
                y=drawn,
                name=label(group, 24),
                legendgroup=label(group, 24),
                showlegend=False,
                line={"color": colours[group], "width": 1.5},
                meanline={"visible": True},
                points=False,
                spanmode="manual",
                span=[0, max(float(drawn.max(initial=0)), 1e-3)],
                scalemode="width",
                bandwidth=_BANDWIDTH,
                hoverinfo="y+name",
                row=row,
                col=1,
            )
        fig.update_yaxes(title_text=escape(gene), rangemode="tozero", row=row, col=1)
    finish(fig, title, None, None, 120 + 130 * len(genes), legend=False, note="ln(1 + counts per 10,000)")
    fig.update_xaxes(title_text=escape(by), row=len(genes), col=1)
    return fig


def _sizes(share: pd.Series) -> np.ndarray:
    """Return diameters whose areas are the shares; a dot too small to see is none."""
    return _LARGEST * np.sqrt(share.clip(0, 1).to_numpy(float))
