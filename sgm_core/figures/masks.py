"""Which genes are hidden, and whether beyond their expression: Figure 2 and the ranking by lift."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.analysis.masks import preference
from sgm_core.escape import escape
from sgm_core.figures.palette import FAMILIES, VERDICTS
from sgm_core.figures.style import GRID, LEGEND_UNDER, MUTED, finish, name_genes, point_trace

X_AXES = {
    "mean_expression": "Mean expression, ln(1 + counts per 10,000)",
    "mean_expression_when_masked": "Mean expression when masked, ln(1 + counts per 10,000)",
    "detection": "Share of cells that express the gene",
}
Y_AXES = {"frequency": "Mask frequency (% of opportunities)", "masked": "Times masked"}
# Name of the group, colour, symbol: what `preference` says.
_GROUPS = {
    "above": ("Hidden more", "#D55E00", "diamond"),
    "below": ("Hidden less", "#0072B2", "triangle-down"),
    "equal": ("As equals", "#8A8F98", "circle"),
    "unknown": ("Not compared with other models", "#8A8F98", "circle-open"),
}
_FACTS = [
    "masked",
    "opportunities",
    "frequency",
    "detection",
    "mean_expression",
    "lift",
    "lift_low",
    "lift_high",
    "lift_q",
]
_HOVER = (
    "<b>%{text}</b><br>masked %{customdata[0]:,.0f} of %{customdata[1]:,.0f} times (%{customdata[2]:.1%})"
    "<br>detected in %{customdata[3]:.1%} of draws, mean expression %{customdata[4]:.3f}"
)
_HOVER_LIFT = (
    "<br>lift %{customdata[5]:.2f} (95 % interval over models %{customdata[6]:.2f} to %{customdata[7]:.2f}; "
    "adjusted p %{customdata[8]:.2g})"
)
_HOVER_ONE = "<br>lift in this model %{customdata[5]:.2f}: another may prefer other genes"


def _hover(rows: pd.DataFrame) -> str:
    if rows["lift"].isna().all():
        return f"{_HOVER}<extra></extra>"
    return f"{_HOVER}{_HOVER_ONE if rows['lift_low'].isna().all() else _HOVER_LIFT}<extra></extra>"


def frequency_expression(
    stats: pd.DataFrame,
    title: str,
    x: str = "mean_expression",
    y: str = "frequency",
    highlight: Sequence[str] = (),
    families: bool = False,
    label: int = 8,
    ranges: tuple[tuple[float, float], tuple[float, float]] | None = None,
    marks: Mapping[str, tuple[str, str]] | None = None,
) -> go.Figure:
    """Draw Figure 2: how often each gene is hidden against its expression, with what equals get as a band.

    Parameters
    ----------
    stats
        From `sgm_core.analysis.masks.gene_statistics`.
    x, y
        Keys of `X_AXES` and `Y_AXES`; expression is drawn on a logarithmic axis.
    highlight
        Genes to ring and name.
    families
        Colour by gene family instead of by lift.
    label
        How many of the genes hidden farthest beyond their expression to name.
    ranges
        Axis ranges (x in log10, y) of another panel, so that two arms can be compared by eye.
    marks
        What reviewers say: gene to a key of `sgm_core.figures.palette.VERDICTS`, and its words.
    """
    shown = stats[(stats[x] > 0) & stats[y].notna()]
    scale = 100 if y == "frequency" else 1
    fig = go.Figure()
    matched_band(fig, shown, x, y, scale)
    trace = point_trace(len(shown))
    groups = _family_groups(shown) if families else _lift_groups(shown)
    for (name, colour, symbol), rows in groups:
        strong = colour != _GROUPS["equal"][1]
        drawn = trace(
            x=rows[x].to_numpy("float32"),
            y=(scale * rows[y]).to_numpy("float32"),
            mode="markers",
            name=f"{name} ({len(rows):,})",
            text=rows["gene"].map(escape),
            customdata=rows[_FACTS].to_numpy("float32"),
            hovertemplate=_hover(rows),
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 7 if strong else 5,
                "opacity": 0.9 if strong else 0.45,
            },
            unselected={"marker": {"opacity": 0.25}},
        )
        fig.add_trace(drawn)
    _marks(fig, shown, x, y, scale, marks or {})
    best = shown[(preference(shown) == "above") & ~shown["gene"].isin(highlight)].nlargest(200, "lift_low")
    name_genes(fig, _with_room(shown, best, x, y, label, ranges, scale), x, y, scale, ring=False)
    name_genes(fig, shown[shown["gene"].isin(highlight)], x, y, scale, ring=True)
    note = "grey band: what genes of equal expression get (95 %)"
    finish(fig, title, X_AXES[x], Y_AXES[y], 500, note=note)
    fig.update_layout(legend=LEGEND_UNDER)
    fig.update_xaxes(type="log" if x != "detection" else "linear", dtick=1 if x != "detection" else None)
    if ranges is not None:
        fig.update_layout(xaxis_range=ranges[0], yaxis_range=ranges[1])
    return fig


def _marks(
    fig: go.Figure, stats: pd.DataFrame, x: str, y: str, scale: float, marks: Mapping[str, tuple[str, str]]
) -> None:
    """Put the reviewers' marks over the points of their genes, one entry of the legend a verdict."""
    for verdict, (colour, symbol) in VERDICTS.items():
        rows = stats[stats["gene"].map(lambda gene, v=verdict: marks.get(gene, ("",))[0] == v)]
        if rows.empty:
            continue
        words = marks[rows["gene"].iloc[0]][1]
        fig.add_scatter(
            x=rows[x],
            y=scale * rows[y],
            mode="markers",
            name=f"{escape(words)} ({len(rows):,})",
            text=rows["gene"].map(escape),
            marker={"color": colour, "symbol": symbol, "size": 12, "line": {"width": 2, "color": colour}},
            hovertemplate=f"<b>%{{text}}</b><br>{escape(words)}<extra></extra>",
        )


def axis_ranges(
    tables: Sequence[pd.DataFrame], x: str, y: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges (x in log10 unless detection; y as drawn) that hold the genes of all `tables`."""
    both = pd.concat(list(tables))
    both = both[(both[x] > 0) & both[y].notna()]
    if both.empty:
        return (0.0, 1.0), (0.0, 1.0)
    xs = both[x] if x == "detection" else np.log10(both[x])
    ys = both[y] * (100 if y == "frequency" else 1)
    pad_x, pad_y = 0.04 * (np.ptp(xs) or 1), 0.06 * (np.ptp(ys) or 1)
    return (
        (float(xs.min() - pad_x), float(xs.max() + pad_x)),
        (float(ys.min() - pad_y), float(ys.max() + pad_y)),
    )


def ranking(stats: pd.DataFrame, title: str, n: int = 25) -> go.Figure:
    """Draw the genes hidden farthest beyond their expression: lift with its 95 % interval, by lower bound."""
    rows = stats.dropna(subset=["lift_low"]).nlargest(n, "lift_low")
    fig = go.Figure()
    fig.add_scatter(
        x=rows["lift"],
        y=rows["gene"].map(escape),
        mode="markers",
        text=rows["gene"].map(escape),
        customdata=rows[_FACTS].to_numpy("float32"),
        hovertemplate=_hover(rows),
        marker={
            "size": 9,
            "color": [_GROUPS[group][1] for group in preference(rows)],
            "symbol": [_GROUPS[group][2] for group in preference(rows)],
        },
        error_x={
            "array": rows["lift_high"] - rows["lift"],
            "arrayminus": rows["lift"] - rows["lift_low"],
            "color": MUTED,
            "thickness": 2,
            "width": 0,
        },
    )
    fig.add_vline(x=1, line={"color": MUTED, "width": 1, "dash": "dot"})
    note = "times as often as genes of equal expression; bar: 95 % interval over seeds and folds"
    finish(fig, title, "Lift (1 = as equals)", None, 130 + 19 * len(rows), legend=False, note=note)
    fig.update_yaxes(type="category", autorange="reversed", dtick=1, showgrid=True, gridcolor=GRID)
    fig.update_xaxes(showgrid=True)
    return fig


def _lift_groups(stats: pd.DataFrame) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    group = preference(stats)
    if (group == "unknown").all():
        return [(_GROUPS["unknown"], stats)]
    unknown = ["unknown"] if (group == "unknown").any() else []
    return [(_GROUPS[key], stats[group == key]) for key in (*unknown, "equal", "below", "above")]


def _family_groups(stats: pd.DataFrame) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    known = [name for name in FAMILIES if name in stats]
    other = stats[~stats[known].any(axis=1)]
    found = [(FAMILIES[name], stats[stats[name]]) for name in known if stats[name].any()]
    return [(("Other", _GROUPS["equal"][1], "circle"), other), *found]


def matched_band(fig: go.Figure, stats: pd.DataFrame, x: str, y: str, scale: float) -> None:
    """Draw the matched frequency as a running median along x, with its sampling noise as a band."""
    rows = stats.dropna(subset=["matched_frequency"]).sort_values(x)
    if len(rows) < 20:
        return
    n, fit = rows["opportunities"], rows["matched_frequency"]
    noise = np.sqrt((1 - fit) / (fit * n))
    factor = scale * (n if y == "masked" else 1)
    window = max(9, len(rows) // 25)
    table = pd.DataFrame(
        {
            "x": rows[x],
            "fit": factor * fit,
            "low": factor * fit * np.exp(-1.96 * noise),
            "high": factor * fit * np.exp(1.96 * noise),
        }
    )
    smooth = table.rolling(window, center=True, min_periods=window // 2).median().dropna()
    smooth = smooth.iloc[:: max(1, len(smooth) // 150)].sort_values("x")
    fig.add_scatter(
        x=np.concatenate([smooth["x"], smooth["x"][::-1]]),
        y=np.concatenate([smooth["high"], smooth["low"][::-1]]),
        fill="toself",
        fillcolor="rgba(128,128,128,0.28)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
    fig.add_scatter(
        x=smooth["x"],
        y=smooth["fit"],
        mode="lines",
        line={"color": MUTED, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )


def _with_room(
    shown: pd.DataFrame,
    best: pd.DataFrame,
    x: str,
    y: str,
    most: int,
    ranges: tuple[tuple[float, float], tuple[float, float]] | None,
    scale: float,
) -> pd.DataFrame:
    """Return the first genes of `best` whose names would not lie on one another."""
    (left, right), (bottom, top) = ranges or axis_ranges([shown], x, y)
    wide, high = right - left, top - bottom
    across, up = shown[x] if x == "detection" else np.log10(shown[x]), scale * shown[y]
    taken: list[tuple[float, float]] = []
    kept = []
    for index in best.index:
        place = (float(across[index]), float(up[index]))
        if all(abs(place[0] - a) > 0.2 * wide or abs(place[1] - b) > 0.05 * high for a, b in taken):
            taken.append(place)
            kept.append(index)
        if len(kept) == most:
            break
    return best.loc[kept]
