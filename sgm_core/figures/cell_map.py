"""Figure 1: a map of cells by a label, small enough to be sent. (The page Cells draws every cell.)"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.figures.palette import categorical
from sgm_core.figures.style import LEGEND_UNDER, NEUTRAL, finish, label, point_trace

MOST = 20_000
"""Cells that are drawn: those of a larger map are drawn from it at random."""
NO_LABEL = "(no label)"


def cell_map(
    cells: pd.DataFrame, title: str, colours: Mapping[str, str] | None = None, most: int = MOST
) -> go.Figure:
    """Draw cells where a map has them, coloured by their label; a click on a label hides its cells.

    Parameters
    ----------
    cells
        x, y, label (None where there is none).
    title
        The figure's title.
    colours
        Colours that came with the file, by label.
    most
        Of more cells so many are drawn, chosen at random with a fixed seed.
    """
    n = len(cells)
    if n > most:
        cells = cells.iloc[np.sort(np.random.default_rng(0).choice(n, most, replace=False))]
    labels = cells["label"].fillna(NO_LABEL)
    levels = sorted(set(labels) - {NO_LABEL})
    looks = categorical(levels, colours)
    fig = go.Figure()
    trace = point_trace(len(cells))
    size = 3 if len(cells) > 4_000 else 5
    for level in [*([NO_LABEL] if (labels == NO_LABEL).any() else []), *levels]:
        rows = cells[labels == level]
        colour, symbol = looks.get(level, (NEUTRAL, "circle"))
        fig.add_trace(
            trace(
                x=rows["x"].to_numpy("float32"),
                y=rows["y"].to_numpy("float32"),
                mode="markers",
                name=f"{label(level)} ({len(rows):,})",
                marker={"size": size, "color": colour, "symbol": symbol, "opacity": 0.7},
                hoverinfo="name",
            )
        )
    note = f"{len(cells):,} cells" + (f" of {n:,}, drawn at random" if n > len(cells) else "")
    finish(fig, title, None, None, 520 + 11 * (len(levels) + 1), note=f"{note}; in brackets: cells drawn")
    fig.update_layout(legend={**LEGEND_UNDER, "y": -0.02, "itemsizing": "constant"})
    fig.update_xaxes(showgrid=False, showticklabels=False, zeroline=False)
    fig.update_yaxes(showgrid=False, showticklabels=False, zeroline=False)
    return fig
