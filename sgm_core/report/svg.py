"""A plotly figure as SVG on white, drawn by matplotlib: no browser is needed.

It draws what the figures of `sgm_core.figures` are made of: points, lines and filled bands, horizontal bars,
heat maps; error bars, annotations and straight lines across; linear, logarithmic and category axes, in one
panel or several over one another.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

_DPI = 100  # pixels of a plotly figure to an inch
_WIDTH = 760
_RASTER = 4_000  # points above which they lie in the SVG as an image
_INK, _GRID = "#1f2328", "#dddddd"
_MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "cross": "P", "x": "X", "triangle-up": "^",
    "triangle-down": "v", "pentagon": "p", "hexagon": "h", "octagon": "8", "star": "*", "hourglass": "d",
    "bowtie": ">", "star-diamond": "*", "line-ns": "|", "x-thin": "x",
}  # fmt: skip
_DASHES = {"dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}
_RGB = re.compile(r"rgba?\(([^)]*)\)")
_TAG = re.compile(r"<br>|</?(?:b|i|sub|sup)>")


def write_svg(figure: go.Figure, path: Path, simulated: bool = False) -> None:
    """Write a figure.

    Parameters
    ----------
    figure
        From `sgm_core.figures`.
    path
        The file.
    simulated
        Whether its title says so.
    """
    layout = figure.layout
    height = layout.height or 400
    canvas = Figure(figsize=(_WIDTH / _DPI, height / _DPI), dpi=_DPI, layout="constrained")
    panels = _panels(figure, canvas)
    raster = sum(len(trace.x) for trace in figure.data if trace.x is not None) > _RASTER
    for trace in figure.data:
        axes = panels.get((trace.xaxis or "x", trace.yaxis or "y"))
        if axes is None:
            continue
        if trace.type == "heatmap":
            _heatmap(canvas, axes, trace)
        elif trace.type == "bar":
            _bars(axes, trace)
        else:
            _scatter(axes, trace, raster)
    for (x, y), axes in panels.items():
        _axis(axes, layout[_name(x)], "x")
        _axis(axes, layout[_name(y)], "y")
        axes.spines[:].set_visible(False)
    _marks(figure, panels)
    title = text_of(layout.title.text or "")
    note = text_of((layout.title.subtitle.text if layout.title.subtitle else None) or "")
    title += " · SIMULATED" if simulated and not title.endswith("SIMULATED") else ""
    canvas.suptitle(f"{title}\n{note}".strip(), x=0.01, ha="left", fontsize=11, color=_INK)
    handles, names = _legend(panels)
    if names and layout.showlegend is not False:
        scale = 2.0 if raster else 1.0  # a large map has small points
        canvas.legend(
            handles, names, loc="outside lower left", ncols=3, frameon=False, fontsize=8, markerscale=scale
        )
    canvas.savefig(path, format="svg", facecolor="white", metadata={"Date": None})


def text_of(markup: Any) -> str:
    """Return a plotly label as the plain text that it shows."""
    if isinstance(markup, float) and markup.is_integer():
        markup = int(markup)
    plain = _TAG.sub(lambda tag: " " if tag[0] == "<br>" else "", str(markup))
    # '$' would begin a formula
    return html.unescape(plain).replace("\u2060", "").replace("$", r"\$")


def colour_of(value: Any) -> Any:
    """Return a plotly colour as matplotlib takes it: rgba(...) as four numbers, others as they are."""
    found = _RGB.fullmatch(str(value))
    if not found:
        return str(value)
    numbers = [float(part) for part in found[1].split(",")]
    return (*(part / 255 for part in numbers[:3]), numbers[3] if len(numbers) > 3 else 1.0)


def _name(axis: str) -> str:
    return f"{axis[0]}axis{axis[1:]}"


def _panels(figure: go.Figure, canvas: Figure) -> dict[tuple[str, str], Axes]:
    """Make the axes of each panel, from top to bottom, as high as the figure has them."""
    pairs = list(dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in figure.data))
    domains = {pair: figure.layout[_name(pair[1])].domain or (0, 1) for pair in pairs or [("x", "y")]}
    across = {pair: figure.layout[_name(pair[0])].domain or (0, 1) for pair in domains}
    columns = sorted({side[0] for side in across.values()})
    rows = sorted({side[0] for side in domains.values()}, reverse=True)
    heights = [next(d[1] - d[0] for d in domains.values() if d[0] == row) for row in rows]
    grid = canvas.add_gridspec(len(rows), len(columns), height_ratios=heights)
    found: dict[tuple[str, str], Axes] = {}
    for pair in domains:
        alike = {pair[0], figure.layout[_name(pair[0])].matches}
        shared = next(
            (axes for (x, _), axes in found.items() if {x, figure.layout[_name(x)].matches} & alike - {None}),
            None,
        )
        place = grid[rows.index(domains[pair][0]), columns.index(across[pair][0])]
        found[pair] = canvas.add_subplot(place, sharex=shared)
    return found


def _values(values: Any, scale: str | None) -> Any:
    """Return values as numbers, or as text for a category axis."""
    if values is None:
        return np.array([])
    array = np.asarray(values)
    if scale == "category" or array.dtype.kind in "OUS":
        numbers = [isinstance(value, int | float | np.number) or value is None for value in array]
        if scale != "category" and all(numbers):
            return np.array([np.nan if value is None else float(value) for value in array])
        return np.array([None if value is None else text_of(value) for value in array], dtype=object)
    return array.astype(float)


def _scatter(axes: Axes, trace: Any, raster: bool) -> None:
    x, y = _values(trace.x, None), _values(trace.y, None)
    missing = [value is None or value != value for value in y]
    if all(missing):  # it only widens the axis
        return
    known = ~np.array(missing)
    mode = trace.mode or "lines"
    name = text_of(trace.name) if trace.name and trace.showlegend is not False else "_"
    if trace.fill in ("toself", "tozeroy", "tonexty"):
        axes.fill(x, y, color=colour_of(trace.fillcolor or trace.line.color or "grey"), lw=0, label=name)
        return
    if "lines" in mode and len(x) and (trace.line.width is None or trace.line.width > 0):
        dash: Any = _DASHES.get(trace.line.dash or "", "-")
        axes.plot(
            x, y, color=colour_of(trace.line.color or _INK), lw=0.8 * (trace.line.width or 2), ls=dash,
            marker=_marker(trace) if "markers" in mode else None, ms=4, label=name,
        )  # fmt: skip
    elif "markers" in mode:
        _points(axes, trace, x[known], y[known], name, raster)
    for key, place in (("error_x", "xerr"), ("error_y", "yerr")):
        bars = trace[key]
        if bars is not None and bars.array is not None:
            above = np.asarray(bars.array, float)
            below = np.asarray(bars.arrayminus, float) if bars.arrayminus is not None else above
            width = np.nan_to_num(np.maximum([below, above], 0))
            sides: dict[str, Any] = {place: width}
            axes.errorbar(x, y, **sides, fmt="none", ecolor=colour_of(bars.color or _INK), lw=1.5)
    if "text" in mode and trace.text is not None:
        texts = [trace.text] * len(x) if isinstance(trace.text, str) else trace.text
        for across, up, text in zip(x, y, texts, strict=False):
            if text and up is not None:
                at = (across, up)
                axes.annotate(
                    text_of(text), at, (0, 4), textcoords="offset points", ha="center", fontsize=8, color=_INK
                )


def _points(axes: Axes, trace: Any, x: Any, y: Any, name: str, raster: bool) -> None:
    marker = trace.marker
    symbols = [marker.symbol] if marker.symbol is None or isinstance(marker.symbol, str) else marker.symbol
    colours = [marker.color] if marker.color is None or isinstance(marker.color, str) else marker.color
    colours = np.resize(np.array(colours, object), len(x))
    symbols = np.resize(np.array(symbols, object), len(x))
    size = float(marker.size) if isinstance(marker.size, int | float) else 6.0
    for number, symbol in enumerate(dict.fromkeys(symbols)):
        mine = symbols == symbol
        hollow = str(symbol or "").endswith("-open")
        shown = [to_rgba(colour_of(colour or _INK)) for colour in colours[mine]]
        style: dict[str, Any] = {
            "facecolors": "none" if hollow else shown,
            "edgecolors": shown if hollow else "none",
        }
        shape = _MARKERS.get(str(symbol or "circle").removesuffix("-open"), "o")
        if shape in "|x":
            style = {"c": shown}
        axes.scatter(
            x[mine], y[mine], s=(0.75 * size) ** 2, marker=shape, alpha=marker.opacity, linewidths=1.0,
            label=name if number == 0 else "_", rasterized=raster, zorder=3, **style,
        )  # fmt: skip


def _marker(trace: Any) -> str:
    symbol = trace.marker.symbol
    return _MARKERS.get(symbol.removesuffix("-open"), "o") if isinstance(symbol, str) else "o"


def _bars(axes: Axes, trace: Any) -> None:
    x, y = _values(trace.x, None), _values(trace.y, None)
    base = _values(trace.base, None) if trace.base is not None else 0.0
    colours = trace.marker.color
    shown = colour_of(colours) if isinstance(colours, str) else [colour_of(colour) for colour in colours]
    opacity = trace.marker.opacity
    width = trace.width if isinstance(trace.width, int | float) else 0.8
    drawn = axes.barh(y, np.nan_to_num(x), left=np.nan_to_num(base), height=width, color=shown, label="_")
    for bar, share in zip(drawn, np.resize(1.0 if opacity is None else opacity, len(drawn)), strict=True):
        bar.set_alpha(float(share) * bar.get_facecolor()[3])
    if trace.textposition == "outside" and trace.text is not None:
        axes.bar_label(drawn, [text_of(text) for text in trace.text], fontsize=8, padding=3)


def _heatmap(canvas: Figure, axes: Axes, trace: Any) -> None:
    z = np.array([[np.nan if v is None else v for v in row] for row in np.asarray(trace.z)], float)
    scale = [(place, to_rgba(colour_of(colour))) for place, colour in trace.colorscale]
    colours = LinearSegmentedColormap.from_list("own", scale)
    image = axes.pcolormesh(z, cmap=colours, vmin=trace.zmin, vmax=trace.zmax, edgecolors="white", lw=0.5)
    across, up = ([text_of(name) for name in names] for names in (trace.x, trace.y))
    axes.set_xticks(np.arange(len(across)) + 0.5, across, fontsize=8, rotation=45, ha="right")
    axes.set_yticks(np.arange(len(up)) + 0.5, up, fontsize=8)
    texts = trace.text
    if trace.texttemplate and texts is not None:
        for (row, column), text in np.ndenumerate(np.asarray(texts, object)):
            if text:
                axes.text(column + 0.5, row + 0.5, str(text), ha="center", va="center", fontsize=6)
    bar = canvas.colorbar(image, ax=axes, shrink=0.6, aspect=25)
    bar.outline.set_visible(False)  # type: ignore[operator]
    own = trace.colorbar
    bar.set_label(text_of(own.title.text or "") if own.title else "", fontsize=8)
    if own.tickvals is not None:
        bar.set_ticks(list(own.tickvals), labels=[text_of(text) for text in own.ticktext or own.tickvals])
    bar.ax.tick_params(labelsize=8, length=0)


def _axis(axes: Axes, axis: Any, side: str) -> None:
    set_scale, set_limits, invert, set_label, own = (
        (axes.set_xscale, axes.set_xlim, axes.invert_xaxis, axes.set_xlabel, axes.xaxis)
        if side == "x"
        else (axes.set_yscale, axes.set_ylim, axes.invert_yaxis, axes.set_ylabel, axes.yaxis)
    )
    if axis.type == "log":
        set_scale("log")
    if axis.range is not None:
        ends = [10.0 ** float(end) if axis.type == "log" else float(end) for end in axis.range]
        set_limits(*ends)
    elif axis.autorange == "reversed":
        invert()
    elif axis.rangemode == "tozero":
        set_limits(0.0)
    if isinstance(axis.dtick, int | float) and axis.type is None:
        own.set_major_locator(MultipleLocator(axis.dtick))
    if axis.title is not None and axis.title.text:
        set_label(text_of(axis.title.text), fontsize=9, color=_INK)
    if axis.tickvals is not None:
        own.set_ticks(list(axis.tickvals), [text_of(text) for text in axis.ticktext or axis.tickvals])
    if axis.showticklabels is False:  # of panels that share an axis only this one hides them
        own.set_tick_params(labelbottom=False, labelleft=False)
    own.set_tick_params(labelsize=8, length=0, labelcolor=_INK)
    axes.set_axisbelow(True)
    if (side == "y" and axis.showgrid is not False) or axis.showgrid:
        own.grid(True, color=_GRID, lw=0.6)


def _marks(figure: go.Figure, panels: dict[tuple[str, str], Axes]) -> None:
    """Draw lines across a panel, and text beside what it is about."""
    by_axis = {axis: axes for pair, axes in panels.items() for axis in pair}
    first = next(iter(panels.values()))
    for shape in figure.layout.shapes:
        axes = by_axis.get(str(shape.xref).split()[0], by_axis.get(str(shape.yref).split()[0], first))
        style = {"color": colour_of(shape.line.color or _INK), "lw": 0.8 * (shape.line.width or 1)}
        style["ls"] = _DASHES.get(shape.line.dash or "", "-")
        if shape.x0 == shape.x1:
            axes.axvline(float(shape.x0), **style)
        elif shape.y0 == shape.y1:
            axes.axhline(float(shape.y0), **style)
    for note in figure.layout.annotations:
        if not note.text:
            continue
        text = text_of(note.text)
        xref, yref = str(note.xref or "x"), str(note.yref or "y")
        style = {
            "fontsize": 8,
            "color": _INK,
            "ha": {"right": "right", "center": "center"}.get(note.xanchor, "left"),
        }
        if xref == yref == "paper":  # the title of a panel
            axes = min(panels.values(), key=lambda each: abs(_top(figure, panels, each) - float(note.y)))
            axes.set_title(text, loc="left", fontsize=9, color=_INK)
            continue
        axes = by_axis.get(yref.split()[0], by_axis.get(xref.split()[0], first))
        transform = axes.transData
        if xref == "paper" or xref.endswith("domain"):
            transform = axes.get_yaxis_transform()
        elif yref == "paper" or yref.endswith("domain"):
            transform = axes.get_xaxis_transform()
        axes.text(note.x, note.y, text, transform=transform, va="center", **style)


def _top(figure: go.Figure, panels: dict[tuple[str, str], Axes], axes: Axes) -> float:
    pair = next(pair for pair, own in panels.items() if own is axes)
    return float((figure.layout[_name(pair[1])].domain or (0, 1))[1])


def _legend(panels: dict[tuple[str, str], Axes]) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axes in panels.values():
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    return list(found.values()), list(found)
