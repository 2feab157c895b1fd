"""What a selection is made of, against the rest."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.figures.style import NEUTRAL, finish, label


def composition(table: pd.DataFrame, title: str, top: int = 20) -> go.Figure:
    """Draw what the selected cells are against all others.

    The whisker is the 95 % interval of the difference, put at the selection's share: where it leaves the
    others' mark out, the shares differ.

    Parameters
    ----------
    table
        From `sgm_core.analysis.composition.composition`.
    top
        How many labels to draw, those with the largest share on either side first.
    """
    largest = table[["share_selected", "share_rest"]].max(axis=1)
    rows = table.loc[largest.sort_values(ascending=False, kind="stable").index].head(top).iloc[::-1]
    names = [label(value, 28) for value in rows["label"]]
    above = 100 * (rows["high"] - rows["difference"]).to_numpy(float)
    below = 100 * (rows["difference"] - rows["low"]).to_numpy(float)
    known = bool(np.isfinite(above).any())
    bounds = {"array": above, "arrayminus": below, "color": NEUTRAL, "thickness": 2, "width": 4}
    fig = go.Figure()
    fig.add_bar(
        x=100 * rows["share_selected"],
        y=names,
        orientation="h",
        name="selected cells",
        marker={"color": "#0072B2", "opacity": 0.6},
        error_x=bounds if known else None,
        customdata=np.column_stack([rows["n_selected"], 100 * rows[["difference", "low", "high"]]]),
        hovertemplate="%{y}: %{customdata[0]:,} cells, %{x:.1f} % of the selection"
        + (
            "<br>%{customdata[1]:+.1f} points to the others (%{customdata[2]:+.1f} to %{customdata[3]:+.1f})"
            if known
            else ""
        )
        + "<extra></extra>",
    )
    fig.add_scatter(
        x=100 * rows["share_rest"],
        y=names,
        mode="markers",
        name="all other cells",
        marker={"symbol": "line-ns-open", "size": 16, "color": "#E69F00", "line": {"width": 3}},
        customdata=rows["n_rest"],
        hovertemplate="%{y}: %{customdata:,} cells, %{x:.1f} % of the other cells<extra></extra>",
    )
    note = (
        "whisker: 95 % interval over donors; clear of the orange mark, the shares differ" if known else None
    )
    finish(fig, title, "% of cells", None, 175 + 22 * len(rows), note=note, row=True)
    fig.update_layout(margin_t=104 if note else 76)  # the legend is as high as the marks in it
    fig.update_yaxes(type="category", dtick=1, showgrid=False)
    fig.update_xaxes(showgrid=True, rangemode="tozero", range=_range(rows))
    return fig


def _range(rows: pd.DataFrame) -> list[float]:
    top = rows["share_selected"] + (rows["high"] - rows["difference"]).fillna(0)
    return [0.0, 105 * float(np.clip(max(top.max(), rows["share_rest"].max()), 0.01, 1.0))]
