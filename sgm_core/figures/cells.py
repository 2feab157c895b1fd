"""Maps of cells, coloured by a category or a number."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import EXPRESSION, VIRIDIS
from sgm_core.figures.style import finish, halo, label, point_trace

MOST_POINTS = 50_000
NO_VALUE = "no value"
# Cells outside a selection stay visible, on a dark ground too.
_DIM = {"color": "rgba(128,128,128,0.28)", "symbol": "circle"}


def subsample(n_cells: int, most: int = MOST_POINTS, seed: int = 0) -> np.ndarray:
    """Return the row numbers to draw: all, or `most` of them drawn at random, in ascending order."""
    if n_cells <= most:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(seed).choice(n_cells, most, replace=False))


def by_category(
    xy: pd.DataFrame,
    values: pd.Series,
    colours: Mapping[str, tuple[str, str]],
    title: str,
    name: str,
    counts: Mapping[str, int],
    inside: np.ndarray | None = None,
    axes: str = "UMAP",
    dark: bool = False,
) -> go.Figure:
    """Draw cells coloured by a category; the legend has the counts, the map the names where they fit.

    Parameters
    ----------
    xy
        x and y of the cells drawn (n,).
    values
        Their category (n,), None or NaN where there is none.
    colours
        Colour and symbol of each category, in the order of the legend.
    name
        What is shown, for the hover.
    counts
        Cells of each category in the whole map (more than are drawn, if it is a subsample).
    inside
        Cells of the selection (n,) bool; the others are drawn dim.
    dark
        Whether the page is dark: names on the map are light then, with a dark halo.
    """
    fig = go.Figure()
    shown = values.where(values.notna(), NO_VALUE).astype(str).to_numpy()
    x, y = xy["x"].to_numpy("float32"), xy["y"].to_numpy("float32")
    size = marker_size(len(x))
    inside = _dim_outside(fig, x, y, size, inside)
    styles = {NO_VALUE: ("rgba(128,128,128,0.35)", "circle"), **colours}
    for level, (colour, symbol) in styles.items():
        mine = (shown == level) & inside
        if not mine.any() and not counts.get(level):
            continue
        _add_points(
            fig,
            len(x),
            x=x[mine],
            y=y[mine],
            name=f"{label(level, 26)} ({counts.get(level, 0):,})",
            marker={"color": colour, "symbol": symbol, "size": size, "opacity": 0.8},
            unselected={"marker": {"opacity": 0.25}},
            legendrank=2000 if level == NO_VALUE else 1000,
            hovertemplate=f"{escape(name)}: {escape(level)}<extra></extra>",
        )
    _label_groups(fig, x[inside], y[inside], shown[inside], list(colours), dark)
    _map_look(fig, title, axes)
    rows = -(-len(fig.data) // 2)
    fig.update_layout(
        height=430 + 20 * rows,
        legend={
            "orientation": "h",
            "yanchor": "top",
            "y": -0.02,
            "x": 0,
            "entrywidth": 0.48,
            "entrywidthmode": "fraction",
            "itemsizing": "constant",
        },
        margin={"b": 20 * rows + 10},
    )
    return fig


def by_number(
    xy: pd.DataFrame,
    values: np.ndarray,
    title: str,
    name: str,
    expression: bool = True,
    inside: np.ndarray | None = None,
    axes: str = "UMAP",
) -> go.Figure:
    """Draw cells coloured by a number (a gene's ln1p value, a confidence); the highest are drawn on top."""
    fig = go.Figure()
    x, y = xy["x"].to_numpy("float32"), xy["y"].to_numpy("float32")
    values = np.asarray(values, dtype="float32")
    size = marker_size(len(x))
    inside = _dim_outside(fig, x, y, size, inside)
    order = np.flatnonzero(inside)[np.argsort(np.nan_to_num(values[inside], nan=-np.inf), kind="stable")]
    finite = values[np.isfinite(values)]
    top = float(np.quantile(finite, 0.995)) if len(finite) else 1.0
    _add_points(
        fig,
        len(x),
        x=x[order],
        y=y[order],
        showlegend=False,
        customdata=values[order],
        hovertemplate=f"{escape(name)}: %{{customdata:.2f}}<extra></extra>",
        marker={
            "color": values[order],
            "colorscale": EXPRESSION if expression else VIRIDIS,
            "cmin": 0.0 if expression else float(finite.min(initial=0.0)),
            "cmax": max(top, 1e-6),
            "size": size,
            "opacity": 0.85,
            "colorbar": {
                "title": {"text": label(name), "side": "right"},
                "thickness": 10,
                "outlinewidth": 0,
                "len": 0.7,
            },
        },
    )
    _map_look(fig, title, axes)
    fig.update_layout(height=470, showlegend=False)
    return fig


def marker_size(n: int) -> float:
    """Return the size of a point so that few cells can be seen and many don't merge."""
    return float(np.clip(9 - 1.5 * np.log10(max(n, 1)), 2.2, 6.5))


def _add_points(fig: go.Figure, n: int, **trace: Any) -> None:
    """Add a trace to a map of `n` cells."""
    fig.add_trace(point_trace(n)(mode="markers", **trace))


def _dim_outside(
    fig: go.Figure, x: np.ndarray, y: np.ndarray, size: float, inside: np.ndarray | None
) -> np.ndarray:
    if inside is None:
        return np.ones(len(x), dtype=bool)
    _add_points(
        fig,
        len(x),
        x=x[~inside],
        y=y[~inside],
        showlegend=False,
        hoverinfo="skip",
        marker={**_DIM, "size": size},
    )
    return inside


def _label_groups(
    fig: go.Figure, x: np.ndarray, y: np.ndarray, shown: np.ndarray, levels: list[str], dark: bool
) -> None:
    """Name each group that sits together, at its median, the largest first, where no other name stands."""
    if not len(x):
        return
    span_x, span_y = float(np.ptp(x)) or 1.0, float(np.ptp(y)) or 1.0
    spread = float(x.std() + y.std())
    taken: list[tuple[float, float]] = []
    for level in sorted(levels, key=lambda level: -(shown == level).sum()):
        mine = shown == level
        if mine.sum() < max(5, 0.005 * len(x)) or _spread(x[mine], y[mine]) > 0.6 * spread:
            continue
        cx, cy = float(np.median(x[mine])), float(np.median(y[mine]))
        if any(abs(cx - tx) < 0.18 * span_x and abs(cy - ty) < 0.06 * span_y for tx, ty in taken):
            continue
        taken.append((cx, cy))
        fig.add_annotation(
            x=cx,
            y=cy,
            text=label(level, 18),
            showarrow=False,
            font=halo(dark),
        )


def _spread(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of the robust standard deviations: a few stray cells don't make a group loose."""
    return 1.4826 * float(np.median(np.abs(x - np.median(x))) + np.median(np.abs(y - np.median(y))))


def _map_look(fig: go.Figure, title: str, axes: str) -> None:
    """Axes of a map have no unit: no ticks, equal scale."""
    finish(fig, title, f"{axes} 1", f"{axes} 2")
    fig.update_xaxes(showticklabels=False, showgrid=False, title_standoff=2, title_font={"size": 11})
    fig.update_yaxes(
        showticklabels=False, showgrid=False, title_standoff=2, title_font={"size": 11}, scaleanchor="x"
    )
    fig.update_layout(dragmode="lasso", hovermode="closest")
