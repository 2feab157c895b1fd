"""Where the genes of a term lie in a ranking of all genes: the running sum of GSEA."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sgm_core.escape import escape
from sgm_core.figures.palette import SAFE
from sgm_core.figures.style import MUTED, NEUTRAL, finish

_MOST_POINTS = 2000


def running_sum(table: pd.DataFrame, title: str, statistic: str) -> go.Figure:
    """Draw the running sum of one term, its genes as ticks, and the statistic of all genes.

    Parameters
    ----------
    table
        From `sgm_core.analysis.prerank.running_sum`.
    statistic
        What the genes are ranked by, in words.
    """
    fig = make_subplots(
        rows=3, cols=1, shared_xaxes=True, row_heights=[0.58, 0.12, 0.3], vertical_spacing=0.03
    )
    rank, at = np.arange(1, len(table) + 1), table.attrs["at"]
    # Between two genes of the term the sum falls in a straight line: its corners are all that is needed.
    hit = table["hit"].to_numpy()
    corners = np.union1d(np.flatnonzero(hit | np.roll(hit, -1)), [0, at, len(table) - 1])
    fig.add_scatter(
        x=rank[corners], y=table["running"].to_numpy()[corners], mode="lines", showlegend=False,
        line={"color": SAFE[0], "width": 2}, fill="tozeroy", fillcolor="rgba(0,114,178,0.12)",
        hovertemplate="rank %{x:,}<br>running sum %{y:.3f}<extra></extra>", row=1, col=1,
    )  # fmt: skip
    fig.add_scatter(
        x=[rank[at]], y=[table["running"].iat[at]], mode="markers+text", showlegend=False,
        text=[f"score {table.attrs['score']:+.2f}"],
        textposition="middle right" if at < len(table) / 2 else "middle left",
        marker={"color": SAFE[1], "symbol": "diamond", "size": 10}, hoverinfo="skip", row=1, col=1,
    )  # fmt: skip
    genes = table[table["hit"]]
    for leading, colour, words in ((True, SAFE[1], "leading"), (False, NEUTRAL, "in the term")):
        part = genes[genes["leading"] == leading]
        fig.add_scatter(
            x=part.index + 1, y=np.zeros(len(part)), mode="markers", showlegend=False,
            marker={"symbol": "line-ns", "size": 18, "line": {"width": 1.5, "color": colour}},
            text=part["gene"].map(escape), customdata=part["statistic"],
            hovertemplate=f"<b>%{{text}}</b> ({words})<br>rank %{{x:,}}, %{{customdata:+.3f}}<extra></extra>",
            row=2, col=1,
        )  # fmt: skip
    some = np.unique(np.linspace(0, len(table) - 1, min(len(table), _MOST_POINTS)).round().astype(int))
    fig.add_scatter(
        x=rank[some], y=table["statistic"].to_numpy()[some], mode="lines", showlegend=False,
        line={"color": NEUTRAL, "width": 1}, fill="tozeroy", fillcolor=MUTED, hoverinfo="skip", row=3, col=1,
    )  # fmt: skip
    note = f"orange ticks: the leading genes, up to the score; {len(genes):,} of {len(table):,} genes"
    finish(fig, title, None, None, 460, legend=False, note=note)
    fig.update_xaxes(title_text="Rank of the gene", row=3, col=1)
    fig.update_yaxes(title_text="Running sum", row=1, col=1)
    fig.update_yaxes(visible=False, range=[-1, 1], row=2, col=1)
    fig.update_yaxes(title_text=escape(f"{statistic}, less its median"), row=3, col=1)
    return fig
