"""What the most masked genes are: how many of each set, beside what genes of equal expression bring."""

import pandas as pd
import plotly.graph_objects as go

from sgm_core.analysis.biology import LEVEL
from sgm_core.escape import escape
from sgm_core.figures.enrichment import wrapped
from sgm_core.figures.style import GRID, LEGEND_UNDER, MUTED, NEUTRAL, finish, label, p_text

# What is found of a set, with its colour and symbol.
_GROUPS = {
    "Beyond equals and controls": ("#D55E00", "diamond"),
    "Beyond equals, as a control is": ("#E69F00", "triangle-up"),
    "As genes of equal expression": (NEUTRAL, "circle"),
}


def overlaps(rows: pd.DataFrame, title: str, n: int = 30) -> go.Figure:
    """Draw how many genes of each set a list holds, over the 95 % range of expression-matched lists.

    Parameters
    ----------
    rows
        From `sgm_core.analysis.biology.biology`: those of one list, within one group of cells.
    n
        How many sets to draw, those of the least p first.
    """
    rows = rows.sort_values(["p_matched", "set"], ignore_index=True).head(n)
    fig = go.Figure()
    fig.add_bar(
        x=rows["matched_high"] - rows["matched_low"],
        base=rows["matched_low"],
        y=rows.index,
        orientation="h",
        width=0.5,
        name="95 % of matched lists",
        marker={"color": MUTED, "line": {"color": MUTED, "width": 1}},
        opacity=0.55,
        hoverinfo="skip",
    )
    fig.add_scatter(
        x=rows["matched"],
        y=rows.index,
        mode="markers",
        showlegend=False,
        marker={"symbol": "line-ns", "size": 10, "line": {"width": 2, "color": NEUTRAL}},
        hoverinfo="skip",
    )
    more = rows["q_matched"] < LEVEL
    for (name, (colour, symbol)), mine in zip(
        _GROUPS.items(), (rows["beyond_controls"], more & ~rows["beyond_controls"], ~more)
    ):
        if not mine.any():
            continue
        part = rows[mine]
        fig.add_scatter(
            x=part["n_hits"],
            y=part.index,
            mode="markers",
            name=name,
            cliponaxis=False,
            marker={"color": colour, "symbol": symbol, "size": 9},
            customdata=_facts(part),
            hovertemplate="<b>%{customdata[0]}</b><br>%{x} of its %{customdata[1]} genes; matched lists "
            "%{customdata[2]}<br>p %{customdata[3]}, adjusted %{customdata[4]}<br>%{customdata[5]}"
            "<extra></extra>",
        )
    size = int(rows["n_list"].max()) if len(rows) else 0
    note = "bar, line: 95 % and mean of lists matched by expression"
    finish(fig, title, f"Genes of the set among the {size}", None, 200 + 20 * len(rows), note=note)
    fig.update_layout(legend=LEGEND_UNDER | {"y": -60 / (20 + 20 * len(rows))})
    names = [label(name, 38) for name in rows["set"]]
    fig.update_yaxes(range=[len(rows) - 0.4, -0.6], tickvals=rows.index, ticktext=names, gridcolor=GRID)
    fig.update_xaxes(showgrid=True, rangemode="tozero")
    return fig


def _facts(rows: pd.DataFrame) -> list[list[str]]:
    return [
        [
            escape(row["set"]),
            f"{row['n_set']:,}",
            f"{row['matched']:.1f} ({row['matched_low']} to {row['matched_high']})",
            p_text(row["p_matched"]),
            p_text(row["q_matched"]),
            wrapped(row["genes"], 16),
        ]
        for row in rows.to_dict("records")
    ]
