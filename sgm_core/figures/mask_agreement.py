"""Does another seed prefer the same genes? What one model prefers against what the next does."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sgm_core.escape import escape
from sgm_core.figures.style import MUTED, NEUTRAL, finish, point_trace


def two_seeds(pairs: dict[str, pd.DataFrame], title: str) -> go.Figure:
    """Draw each gene's preference in the model of one seed against that of another, one panel a moment.

    Parameters
    ----------
    pairs
        Name of the panel (before training, after) to the result of
        `sgm_core.analysis.mask_models.two_seeds`; all panels share their axes.
    """
    fig = make_subplots(
        1, len(pairs), subplot_titles=list(pairs), shared_yaxes=True, shared_xaxes=True,
        horizontal_spacing=0.06,
    )  # fmt: skip
    both = np.concatenate([table[["first", "second"]].to_numpy().ravel() for table in pairs.values()])
    reach = 1.05 * float(np.abs(both).max()) if len(both) else 1.0
    for column, (name, table) in enumerate(pairs.items(), 1):
        trace = point_trace(len(table))
        drawn = trace(
            x=table["first"].to_numpy("float32"),
            y=table["second"].to_numpy("float32"),
            text=table["gene"].map(escape),
            mode="markers",
            name=name,
            marker={"color": NEUTRAL, "size": 5, "opacity": 0.6},
            hovertemplate="<b>%{text}</b><br>one seed %{x:.2f}<br>another %{y:.2f}<extra></extra>",
        )
        fig.add_trace(drawn, row=1, col=column)
        line = {"color": MUTED, "width": 1, "dash": "dot"}
        fig.add_scatter(
            x=[-reach, reach], y=[-reach, reach], mode="lines", line=line, hoverinfo="skip", row=1, col=column
        )
    note = "log of mask frequency over that of genes of equal expression; dotted: the same in both"
    finish(fig, title, None, None, 400, legend=False, note=note, row=True)
    seeds = next(iter(pairs.values())).attrs.get("seeds", (0, 1)) if pairs else (0, 1)
    fig.update_xaxes(title_text=f"Model of seed {seeds[0]}", range=[-reach, reach])
    fig.update_yaxes(range=[-reach, reach])
    fig.update_yaxes(title_text=f"Model of seed {seeds[1]}", col=1)
    return fig
