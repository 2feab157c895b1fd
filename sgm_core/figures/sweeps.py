"""A sweep in figures: scores in the order of the trials, settings side by side, what moved the score."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import SAFE, VIRIDIS
from sgm_core.figures.style import LEGEND_UNDER, MUTED, NEUTRAL, finish, label

_STATES = {
    "done": ("scored on all folds", SAFE[0], "circle"),
    "pruned": ("given up early", NEUTRAL, "x"),
    "running": ("under way", SAFE[4], "circle-open"),
}
_SCORE = "Macro F1, validation donors (%)"
_ACROSS, _TOP = (0.05, 0.96), 0.86
MOST_NAMED = 12
"""Values of a field that are named on its axis."""


def history(trials: pd.DataFrame, title: str) -> go.Figure:
    """Draw the score of every trial, the best so far, and the default setting's score as a line.

    Parameters
    ----------
    trials
        The table of `sgm_core.sweeps.tables.trial_table`.
    """
    fig = go.Figure()
    done = trials[trials["state"] == "done"]
    if len(done) > 1:
        fig.add_scatter(
            x=done["number"], y=100 * done["score"].cummax(), mode="lines", name="best so far",
            line={"color": SAFE[1], "width": 2, "shape": "hv"}, hoverinfo="skip",
        )  # fmt: skip
    for state, (name, colour, symbol) in _STATES.items():
        rows = trials[(trials["state"] == state) & trials["score"].notna()]
        if rows.empty:
            continue
        fig.add_scatter(
            x=rows["number"], y=100 * rows["score"], mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 9},
            customdata=rows["n_folds"],
            hovertemplate="trial %{x}: %{y:.1f} % over %{customdata} folds<extra></extra>",
        )  # fmt: skip
    default = trials[(trials["number"] == 0) & trials["score"].notna()]
    if len(default):
        fig.add_hline(y=100 * default["score"].iloc[0], line={"color": MUTED, "width": 1.5, "dash": "dot"})
    finish(fig, title, "Trial", _SCORE, 360, note="dotted: the default setting (trial 0)")
    fig.update_xaxes(tickformat="d", dtick=max(1, -(-len(trials) // 10)), tick0=0)
    fig.update_layout(legend=LEGEND_UNDER)
    return fig


def shares(table: pd.DataFrame, title: str) -> go.Figure:
    """Draw how the variance of the score is shared among the fields (`sgm_core.sweeps.importance`)."""
    rows = table.sort_values("importance")
    fig = go.Figure(
        go.Bar(
            x=100 * rows["importance"],
            y=rows["field"].map(label),
            orientation="h",
            width=0.55,
            marker={"color": SAFE[0], "line": {"width": 0}},
            hovertemplate="%{y}: %{x:.0f} %<extra></extra>",
        )
    )
    finish(fig, title, "Share of the variance of the score (%)", None, 150 + 36 * len(rows), legend=False)
    fig.update_yaxes(type="category", showgrid=False)
    fig.update_xaxes(showgrid=True, range=[0, 100])
    return fig


def parallel(trials: pd.DataFrame, settings: pd.DataFrame, log: set[str], title: str) -> go.Figure:
    """Draw every trial with a score as a line through its values, in the colour of its score.

    Parameters
    ----------
    trials, settings
        The tables of `sgm_core.sweeps.tables`, row by row.
    log
        The columns of `settings` that are drawn in the logarithm.
    """
    keep = trials["score"].notna()
    rows, score = settings[keep], 100 * trials.loc[keep, "score"]
    dimensions = [_dimension(name, rows[name], name in log) for name in map(str, rows)]
    dimensions.append({"label": "macro F1 (%)", "values": score, "tickformat": ".1f"})
    fig = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={"color": score, "colorscale": [list(stop) for stop in VIRIDIS], "showscale": False},
            labelfont={"size": 13},
            tickfont={"size": 12},
            rangefont={"size": 11},
            domain={"x": list(_ACROSS), "y": [0, _TOP]},
        )
    )
    for x in np.linspace(*_ACROSS, len(dimensions)):  # its own axes are black, on a dark page too
        fig.add_shape(
            type="line", xref="paper", yref="paper", x0=x, x1=x, y0=0, y1=_TOP, layer="below",
            line={"color": MUTED, "width": 1},
        )  # fmt: skip
    finish(fig, title, height=380, legend=False, note="drag along an axis to look at some trials", row=True)
    fig.update_layout(margin={"l": 36, "r": 30, "b": 20})
    return fig


def _dimension(name: str, values: pd.Series, log: bool) -> dict[str, object]:
    """Return an axis: numbers as they are, in the logarithm, or named where they are no numbers."""
    own = name.partition(".")[2]
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    if numbers and log:
        logs = np.log10(values.to_numpy(float))
        ticks = np.linspace(logs.min(), logs.max(), 5) if np.ptp(logs) else logs[:1]
        return {
            "label": own,
            "values": logs,
            "tickvals": ticks,
            "ticktext": [f"{10**tick:.2g}" for tick in ticks],
        }
    if numbers and values.nunique() > MOST_NAMED:
        return {"label": own, "values": values.astype(float)}
    names = sorted(set(values), key=lambda one: (isinstance(one, str) or one is None, str(one)))
    if numbers:
        names = sorted(set(values))
    return {
        "label": own,
        "values": [names.index(one) for one in values],
        "tickvals": list(range(len(names))),
        "ticktext": [escape(str(one)) for one in names],
    }
