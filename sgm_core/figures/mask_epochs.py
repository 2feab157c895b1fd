"""When an arm's preference arose: each epoch's lift against the last, beside how few genes it chose among."""

import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import arm_colour, arm_name, arm_symbol
from sgm_core.figures.style import LEGEND_UNDER, NEUTRAL, finish


def preference(agreement: dict[str, pd.DataFrame], shares: pd.DataFrame, arm: str, title: str) -> go.Figure:
    """Draw the rank correlation of each epoch's lift with the last, and the arm's effective share of genes.

    Parameters
    ----------
    agreement
        Arm (the one in view, and one to hold it against) to the result of
        `sgm_core.analysis.epochs.epoch_agreement`.
    shares
        epoch and effective_share of the arm in view.
    """
    fig = go.Figure()
    for name, rows in agreement.items():
        shown = escape(arm_name(name))
        bars = {"type": "data", "symmetric": False, "thickness": 1}
        bars |= {"array": rows["high"] - rows["correlation"], "arrayminus": rows["correlation"] - rows["low"]}
        fig.add_scatter(
            x=rows["epoch"],
            y=rows["correlation"],
            error_y=bars,
            customdata=rows[["low", "high"]],
            mode="lines+markers",
            name=f"{shown}: lift, correlation with the last epoch",
            line={"color": arm_colour(name), "width": 2},
            marker={"symbol": arm_symbol(name), "size": 8},
            hovertemplate=f"{shown}, epoch %{{x}} and the last:<br>Spearman %{{y:.2f}} "
            "(%{customdata[0]:.2f} to %{customdata[1]:.2f})<extra></extra>",
        )
    shares = shares.sort_values("epoch")
    fig.add_scatter(
        x=shares["epoch"],
        y=shares["effective_share"],
        mode="lines+markers",
        name=f"{escape(arm_name(arm))}: effective share of genes",
        line={"color": NEUTRAL, "width": 2, "dash": "dot"},
        marker={"symbol": f"{arm_symbol(arm)}-open", "size": 8},
        hovertemplate="effective share in epoch %{x}: %{y:.3f}<extra></extra>",
    )
    genes = max((int(rows["genes"].max()) for rows in agreement.values() if len(rows)), default=0)
    note = f"{genes:,} genes; epoch 0: before training; bars: 95 %"
    finish(fig, title, "Epoch", None, 360, note=note)
    fig.update_layout(legend=LEGEND_UNDER)
    fig.update_xaxes(dtick=1, tickformat="d")
    return fig
