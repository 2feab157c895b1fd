"""The look that all figures share: quiet axes, transparent ground, text that follows the page's theme."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape

INK = "#1f2328"
# Text and ground of the two themes (.streamlit/config.toml).
_THEMES = {False: ("#1E2428", "#FCFCFA"), True: ("#E4E8E8", "#121517")}
GRID = "rgba(128,128,128,0.25)"
# Visible on near-white and on near-black, for whatever is context rather than the message.
MUTED = "rgba(128,128,128,0.55)"
NEUTRAL = "#8a8f98"
# The legend in a row under the title: it takes no width from the data on a narrow screen.
LEGEND_ROW: dict[str, Any] = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0}
# Or in rows under the axis, where several entries would run into the title.
LEGEND_UNDER: dict[str, Any] = {"orientation": "h", "yanchor": "top", "y": -0.22, "xanchor": "left", "x": 0}

_AXIS: dict[str, Any] = {
    "gridcolor": GRID,
    "zerolinecolor": "rgba(128,128,128,0.5)",
    "zeroline": False,
    "ticks": "",
    "automargin": True,
    "title": {"standoff": 10, "font": {"size": 13}},
}
# For SVG and PNG: whatever the page's theme, dark text on white.
PRINT: dict[str, Any] = {
    "font": {"family": "Inter, Helvetica, Arial, sans-serif", "size": 12, "color": INK},
    "title": {"x": 0, "xanchor": "left", "font": {"size": 15, "color": INK}},
    "xaxis": {**_AXIS, "showgrid": False, "tickfont": {"color": INK}},
    "yaxis": {**_AXIS, "tickfont": {"color": INK}},
    "legend": {"font": {"color": INK}},
    "hoverlabel": {"align": "left"},
}
TEMPLATE = go.layout.Template(layout=PRINT)


def finish(
    fig: go.Figure,
    title: str,
    x: str | None = None,
    y: str | None = None,
    height: int = 400,
    legend: bool = True,
    note: str | None = None,
    row: bool = False,
) -> go.Figure:
    """Give `fig` its title, axis titles and the common look; return it.

    The title may hold names, so it is shown as plain text.

    Text colours and fonts are left to the template, so that the page's theme (light or dark) rules them; the
    ground is transparent. `note` is a small line under the title (what a mark means, how many points); `row`
    leaves room between title and data for a legend in a row or the name of a panel.
    """
    heading: dict[str, Any] = {"text": escape(title), "yref": "container", "y": 1, "yanchor": "top"}
    heading["pad"] = {"t": 12}
    if note:
        heading["subtitle"] = {"text": note, "font": {"size": 12}}
    fig.update_layout(
        template=TEMPLATE,
        title=heading,
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 8, "r": 16, "t": 44 + (20 if note else 0) + (26 if row else 0), "b": 8},
        showlegend=legend,
        hoverlabel={"align": "left"},
    )
    if row:
        fig.update_layout(legend=LEGEND_ROW)
    if x is not None:
        fig.update_xaxes(title_text=escape(x))
    if y is not None:
        fig.update_yaxes(title_text=escape(y))
    return fig


def point_trace(n: int) -> type[go.Scatter] | type[go.Scattergl]:
    """Return the kind of trace that draws `n` points of a figure.

    Up to 4,000 SVG draws them as fast, downloads them as vectors and needs no WebGL.
    """
    return go.Scatter if n <= 4_000 else go.Scattergl


def halo(dark: bool) -> dict[str, Any]:
    """Return the font of a name that stands on points: the theme's text, the theme's ground around it.

    The font of an annotation with a shadow is what `pages.components.show` turns dark on white for print.
    """
    text, ground = _THEMES[dark]
    sides = [f"{x}px {y}px 1px {ground}" for x in (-1, 0, 1) for y in (-1, 0, 1)]
    return {"size": 12, "weight": 600, "color": text, "shadow": ", ".join([*sides, f"0px 0px 4px {ground}"])}


def percent(value: float, digits: int = 1) -> str:
    """Format a share (0..1) as a percentage."""
    return f"{100 * value:.{digits}f} %"


def p_text(value: float) -> str:
    """Format a p-value as ``1.2e-08``, or plainly above 0.001."""
    return f"{value:.1e}" if value < 1e-3 else f"{value:.3f}"


def label(name: object, most: int = 32) -> str:
    """Return a name as a figure shows it: cut to `most` characters, and as plain text."""
    return escape(short(str(name), most))


def short(text: str, most: int = 32) -> str:
    """Cut a long name in the middle, where the ends tell more."""
    if len(text) <= most:
        return text
    keep = most - 1
    return f"{text[: keep - keep // 3]}…{text[-(keep // 3) :]}"


def name_genes(fig: go.Figure, rows: pd.DataFrame, x: str, y: str, scale: float = 1.0, *, ring: bool) -> None:
    """Write the names of genes over their points, with a ring around each where they were chosen.

    Parameters
    ----------
    rows
        gene and the columns `x` and `y`, a row a point.
    scale
        What `y` is multiplied with.
    """
    if rows.empty:
        return
    fig.add_scatter(
        x=rows[x],
        y=scale * rows[y],
        mode="markers+text",
        text=rows["gene"].map(escape),
        textposition="top center",
        textfont={"size": 13 if ring else 11},
        marker={
            "size": 15 if ring else 8,
            "symbol": "circle-open",
            "color": NEUTRAL if ring else "rgba(0,0,0,0)",
            "line": {"width": 2.5 if ring else 0},
        },
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
