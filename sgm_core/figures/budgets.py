"""How many labelled cells does an arm need: macro F1 against labelled cells a class."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.analysis.budget_words import ALL, budgets_of, labels_text
from sgm_core.escape import escape
from sgm_core.figures.compare import MAJORITY, in_order
from sgm_core.figures.palette import arm_colour, arm_name, arm_symbol
from sgm_core.figures.style import MUTED, finish

_DASHES = ("dash", "dot", "dashdot", "longdash")  # baselines share a colour
_SPREAD = 0.2  # at most, in decades: what the arms of one number of labels take beside each other
_STEP = 0.5  # decades between the largest number and all


def label_curves(
    budgets: pd.DataFrame, summary: pd.DataFrame, scheme: str, sides: tuple[str, ...], title: str
) -> go.Figure:
    """Draw macro F1 against labelled cells a class: a line an arm, its 95 % interval, donor folds as dots.

    The axis is logarithmic and ends with all labels, apart. Arms stand beside each other at each number, so
    that their intervals can be told apart; baselines are dashed. The majority class, far below, is left out.

    Parameters
    ----------
    budgets
        arm, scheme, fold, seed, labels (0: all), draw, macro_f1 (0..1); a dot is a fold's mean over draws
        and seeds.
    summary
        arm, scheme, labels, mean, low, high, folds, seeds, draws.
    scheme
        The finetuning that is drawn, with the baselines.
    sides
        Arms in question, drawn with thicker lines.
    title
        The figure's title.
    """
    drawn = summary[summary["scheme"].isin([scheme, "baseline"]) & (summary["arm"] != MAJORITY)]
    places = _places(drawn["labels"])
    arms = in_order(drawn["arm"])
    gaps = np.diff(list(places.values()))
    apart = min([_SPREAD, *0.5 * gaps]) / max(len(arms) - 1, 1)
    shifts = apart * (np.arange(len(arms)) - (len(arms) - 1) / 2)
    n_baselines = 0
    fig = go.Figure()
    for number, (arm, shift) in enumerate(zip(arms, shifts, strict=True)):
        rows = drawn[drawn["arm"] == arm].assign(place=lambda table: table["labels"].map(places))
        rows = rows.sort_values("place")
        own = str(rows["scheme"].iloc[0])
        name, colour = escape(arm_name(arm)), arm_colour(arm, number)
        dash = "solid"
        if own == "baseline":
            dash = _DASHES[n_baselines % len(_DASHES)]
            n_baselines += 1
        mine = budgets[(budgets["arm"] == arm) & (budgets["scheme"] == own)]
        fig.add_scatter(**_dots(mine, places, shift + 0.4 * apart, name, colour, arm))
        texts = [labels_text(one) for one in rows["labels"]]
        facts = list(
            zip(texts, 100 * rows["low"], 100 * rows["high"], rows["folds"], rows["draws"], strict=True)
        )
        fig.add_scatter(
            x=rows["place"] + shift,
            y=100 * rows["mean"],
            mode="lines+markers",
            name=name,
            legendgroup=arm,
            line={"color": colour, "width": 3 if arm in sides else 1.5, "dash": dash},
            marker={"color": colour, "size": 9 if arm in sides else 7, "symbol": arm_symbol(arm)},
            error_y={
                "array": 100 * (rows["high"] - rows["mean"]),
                "arrayminus": 100 * (rows["mean"] - rows["low"]),
                "color": colour,
                "thickness": 2 if arm in sides else 1,
                "width": 0,
            },
            customdata=facts,
            hovertemplate=f"{name}, %{{customdata[0]}} labelled cells a class: mean %{{y:.1f}}"
            "<br>95 % interval %{customdata[1]:.1f} to %{customdata[2]:.1f}"
            "<br>over %{customdata[3]} folds, %{customdata[4]} draws<extra></extra>",
        )
    finish(
        fig,
        title,
        "Labelled cells a class (log scale)",
        "Macro F1 (%)",
        460,
        note="mean, 95 % interval; dots: donor folds, seeds and draws averaged; dashed: baselines",
    )
    if ALL in places and len(places) > 1:
        fig.add_vline(x=places[ALL] - _STEP / 2, line={"color": MUTED, "width": 1, "dash": "dot"})
    fig.update_xaxes(
        tickvals=list(places.values()), ticktext=[labels_text(one) for one in places], showgrid=False
    )
    return fig


def _places(labels: pd.Series) -> dict[int, float]:
    """Return where each number of labels stands on the axis, in decades; all of them beyond the largest."""
    numbers = [one for one in budgets_of(labels) if one != ALL]
    places = {one: float(np.log10(one)) for one in numbers}
    if (labels == ALL).any():
        places[ALL] = max(places.values(), default=0.0) + _STEP
    return places


def _dots(
    mine: pd.DataFrame, places: dict[int, float], shift: float, name: str, colour: str, arm: str
) -> dict:
    folds = mine.groupby(["labels", "fold"], as_index=False)["macro_f1"].mean()
    return {
        "x": folds["labels"].map(places) + shift,
        "y": 100 * folds["macro_f1"],
        "mode": "markers",
        "legendgroup": arm,
        "showlegend": False,
        "opacity": 0.6,
        "marker": {"color": colour, "size": 4},
        "customdata": list(zip(folds["fold"], folds["labels"].map(labels_text), strict=True)),
        "hovertemplate": f"{name}, fold %{{customdata[0]}}, %{{customdata[1]}} labelled cells a class: "
        "%{y:.1f}<extra></extra>",
    }
