"""What annotated samples are made of, against reference donors, and which cell states they are like."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.figures.palette import SAFE
from sgm_core.figures.style import LEGEND_UNDER, finish, label

_MARKS = {1: " ▲", -1: " ▼", 0: ""}


def sample_shares(table: pd.DataFrame, title: str, top: int = 25) -> go.Figure:
    """Draw one sample's composition against that of reference donors.

    Parameters
    ----------
    table
        Rows of one sample from `sgm_core.annotation.shares.sample_shares`.
    top
        How many classes to draw, those with the largest share on either side first.
    """
    largest = table[["share", "reference"]].max(axis=1).sort_values(ascending=False, kind="stable")
    rows = table.loc[largest.index].head(top).iloc[::-1]
    beyond = np.where(rows["outside"], np.sign(rows["difference"]), 0).astype(int)
    names = [label(name, 28) + _MARKS[int(mark)] for name, mark in zip(rows["cell_type"], beyond)]
    reference = 100 * rows["reference"].to_numpy(float)
    # the interval of the difference is that of the reference's mean, turned round
    low = 100 * (rows["share"] - rows["high"]).to_numpy(float)
    high = 100 * (rows["share"] - rows["low"]).to_numpy(float)
    fig = go.Figure()
    fig.add_bar(
        x=100 * rows["share"], y=names, orientation="h", name="this sample",
        marker={"color": "#0072B2", "opacity": 0.6},
        customdata=np.column_stack([rows["n_cells"], 100 * rows[["difference", "low", "high"]]]),
        hovertemplate="%{y}: %{customdata[0]:,} cells, %{x:.1f} %<br>%{customdata[1]:+.1f} points to the "
        "reference (%{customdata[2]:+.1f} to %{customdata[3]:+.1f})<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(
        x=reference, y=names, mode="markers", name="reference donors, mean",
        marker={"symbol": "line-ns-open", "size": 14, "color": "#E69F00", "line": {"width": 3}},
        error_x={
            "array": high - reference, "arrayminus": reference - low, "color": "#E69F00", "thickness": 2,
            "width": 4,
        },
        customdata=100 * rows[["lowest", "highest"]].to_numpy(float),
        hovertemplate="%{y}: %{x:.1f} % in the reference donors (%{customdata[0]:.1f} to "
        "%{customdata[1]:.1f} among them)<extra></extra>",
    )  # fmt: skip
    donors = int(rows["n_donors"].max()) if len(rows) else 0
    note = f"whisker: 95 % interval of the mean over {donors} donors; ▲ ▼ beyond every one of them"
    finish(fig, title, "% of cells", None, 180 + 22 * len(rows), note=note, row=True)
    fig.update_layout(margin_t=104)
    fig.update_yaxes(type="category", dtick=1, showgrid=False)
    fig.update_xaxes(showgrid=True, rangemode="tozero")
    return fig


def likeness(table: pd.DataFrame, title: str) -> go.Figure:
    """Draw the share of cells that are like each AML cell state, one bar a sample.

    Parameters
    ----------
    table
        From `sgm_core.annotation.signatures.likeness`.
    """
    samples = list(dict.fromkeys(table["sample"]))
    names = [label(name, 24) for name in samples]
    fig = go.Figure()
    for number, (state, rows) in enumerate(table.groupby("state", sort=False)):
        own = rows.set_index("sample").reindex(samples)
        wide = [f"{100 * share:.0f}" if share >= 0.06 else "" for share in own["share"]]
        fig.add_bar(
            x=100 * own["share"], y=names, orientation="h", name=label(state), text=wide,
            textposition="inside", insidetextanchor="middle", textangle=0, constraintext="none",
            marker={"color": SAFE[number % len(SAFE)]}, customdata=own["n_cells"],
            hovertemplate=f"%{{y}}: %{{x:.1f}} % {label(state)} (%{{customdata:,}} cells)<extra></extra>",
        )  # fmt: skip
    finish(fig, title, "% of cells", None, 190 + 24 * len(samples))
    fig.update_layout(
        barmode="stack",
        legend={**LEGEND_UNDER, "traceorder": "normal", "y": 0, "yref": "container", "yanchor": "bottom"},
    )
    fig.update_layout(margin_b=90)
    fig.update_yaxes(type="category", dtick=1, showgrid=False, autorange="reversed")
    fig.update_xaxes(range=[0, 100], showgrid=False)
    return fig
