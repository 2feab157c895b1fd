"""Does guided masking help: scores with donor folds, paired differences, classes, donors, confusion."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sgm_core.escape import escape
from sgm_core.figures.palette import ARMS, SCHEMES, SHARE, arm_colour, arm_name, arm_symbol
from sgm_core.figures.style import GRID, MUTED, finish, label

MAJORITY = "majority"
_ROW = 30  # pixels a row takes


def in_order(arms: pd.Series | list[str]) -> list[str]:
    """Return the distinct arms in the order in which figures and tables show them."""
    known = list(ARMS)
    return sorted(set(arms), key=lambda arm: known.index(arm) if arm in known else len(known))


def scores(
    folds: pd.DataFrame, summary: pd.DataFrame, metric: str, title: str, unit: str, small: bool = False
) -> go.Figure:
    """Draw Table 1: per arm the donor folds as points, their mean and 95 % interval; one panel a scheme.

    The axis holds what is drawn and not the whole of 0 to 100, so that folds and intervals can be read. The
    majority class, far below all others, is a note and no row, unless there is nothing else.

    Parameters
    ----------
    folds
        arm, scheme, fold, test_donors and `metric` (0..1).
    summary
        arm, scheme, metric, mean, low, high, n_folds.
    metric, title, unit
        The column, the figure's title and the name on the axis; drawn in hundredths.
    small
        For a card: one panel without a name, whose scheme the title says, and fewer words.
    """
    summary = summary[summary["metric"] == metric]
    majority = summary[summary["arm"] == MAJORITY]
    if len(majority) < len(summary):
        summary = summary[summary["arm"] != MAJORITY]
    schemes = [scheme for scheme in SCHEMES if scheme in set(summary["scheme"])]
    rows = {scheme: in_order(summary.loc[summary["scheme"] == scheme, "arm"]) for scheme in schemes}
    fig = _panels(schemes, [len(rows[scheme]) for scheme in schemes])
    baselines = summary[summary["scheme"] == "baseline"]
    for number, scheme in enumerate(schemes, 1):
        for arm in rows[scheme]:
            mine = folds[(folds["arm"] == arm) & (folds["scheme"] == scheme)].sort_values("fold")
            row = summary[(summary["arm"] == arm) & (summary["scheme"] == scheme)].iloc[0]
            name, colour = escape(arm_name(arm)), arm_colour(arm)
            fig.add_scatter(
                x=100 * mine[metric],
                y=[name] * len(mine),
                mode="markers",
                row=number,
                col=1,
                marker={"color": colour, "size": 14, "symbol": "line-ns-open", "line": {"width": 1.5}},
                customdata=list(zip(mine["fold"], mine["test_donors"].map(escape))),
                showlegend=False,
                hovertemplate=f"{name}, fold %{{customdata[0]}}: %{{x:.1f}}<br>tested on %{{customdata[1]}}"
                "<extra></extra>",
            )
            fig.add_scatter(
                x=[100 * row["mean"]],
                y=[name],
                mode="markers",
                row=number,
                col=1,
                showlegend=False,
                marker={"color": colour, "size": 11, "symbol": arm_symbol(arm), "line": {"width": 0}},
                error_x=_interval(row["mean"], row["low"], row["high"], colour),
                hovertemplate=f"{name}: mean %{{x:.1f}} over {row['n_folds']} folds<br>"
                f"95 % interval {100 * row['low']:.1f} to {100 * row['high']:.1f}<extra></extra>",
            )
        if len(baselines) and scheme != "baseline":
            _reference_line(fig, baselines, number)
    note = "mean, 95 % interval; ticks: folds"
    if len(majority) and MAJORITY not in set(summary["arm"]):
        note += f"; not drawn: {arm_name(MAJORITY).lower()}, {100 * majority['mean'].iloc[0]:.1f}"
    if small:
        fig.update_annotations(text="")
    finish(fig, title, height=_height(rows.values()), legend=False, note=note, row=not small)
    fig.update_xaxes(title_text=escape(unit), row=len(schemes), col=1)
    _categories(fig)
    return fig


def differences(paired: pd.DataFrame, title: str, unit: str) -> go.Figure:
    """Draw paired differences with their 95 % intervals against zero.

    The grey bar around zero holds the true differences that are found less often than four times in five.

    Parameters
    ----------
    paired
        Rows of one metric: arm_a, arm_b, scheme, difference, low, high, detectable, n_folds,
        role, verdict.
    """
    schemes = [scheme for scheme in SCHEMES if scheme in set(paired["scheme"])]
    sizes = [int((paired["scheme"] == scheme).sum()) for scheme in schemes]
    several = paired["arm_a"].nunique() > 1
    fig = _panels(schemes, sizes)
    for number, scheme in enumerate(schemes, 1):
        rows = paired[paired["scheme"] == scheme]
        names = [
            escape(f"{arm_name(a)} − {arm_name(b)}" if several else arm_name(b))
            for a, b in zip(rows["arm_a"], rows["arm_b"])
        ]
        fig.add_bar(
            y=names,
            x=200 * rows["detectable"],
            base=-100 * rows["detectable"],
            orientation="h",
            width=0.5,
            row=number,
            col=1,
            marker={"color": "rgba(128,128,128,0.18)", "line": {"width": 0}},
            showlegend=False,
            customdata=100 * rows["detectable"],
            hovertemplate="a true difference of %{customdata:.1f} points would be found with 80 % power"
            "<extra></extra>",
        )
        colours = [arm_colour(arm) for arm in rows["arm_a"]]
        fig.add_scatter(
            x=100 * rows["difference"],
            y=names,
            mode="markers+text",
            row=number,
            col=1,
            showlegend=False,
            text=[verdict if verdict in ("better", "worse") else "" for verdict in rows["verdict"]],
            textposition="top center",
            textfont={"size": 11},
            marker={"color": colours, "size": 10, "symbol": [arm_symbol(arm) for arm in rows["arm_a"]]},
            error_x={
                "array": 100 * (rows["high"] - rows["difference"]),
                "arrayminus": 100 * (rows["difference"] - rows["low"]),
                "color": MUTED,
                "thickness": 2,
                "width": 0,
            },
            customdata=np.stack(
                [100 * rows["low"], 100 * rows["high"], rows["n_folds"], rows["verdict"], rows["role"]], -1
            ),
            hovertemplate="%{y}: %{x:+.1f} points<br>95 % interval %{customdata[0]:.1f} to "
            "%{customdata[1]:.1f}<br>%{customdata[4]}, %{customdata[2]} folds: %{customdata[3]}"
            "<extra></extra>",
        )
        fig.add_vline(x=0, line={"color": MUTED, "width": 1}, row=number, col=1)
    # the axis follows the differences: over few folds the grey is wider than all there can be
    ends = [0.0, *(100 * paired[["difference", "low", "high"]].to_numpy(float)).ravel()]
    room = 0.06 * (np.nanmax(ends) - np.nanmin(ends)) + 0.5
    fig.update_xaxes(range=[np.nanmin(ends) - room, np.nanmax(ends) + room])
    tested = paired["detectable"].notna().any()
    note = "grey: true differences that would be missed more often than once in five" if tested else None
    finish(fig, title, height=_height([range(size) for size in sizes]), legend=False, note=note, row=True)
    fig.update_xaxes(title_text=escape(unit), row=len(schemes), col=1)
    _categories(fig)
    return fig


def two_arms(
    table: pd.DataFrame, rows: str, value: str, arms: tuple[str, str], title: str, unit: str, size: str
) -> go.Figure:
    """Draw one line a row (a class, a donor) from the first arm's value to the second's, widest gain first.

    Parameters
    ----------
    table
        Columns arm, `rows` (name), `value` (0..1) and `size` (number of cells, for the label).
    arms
        The arm in question and the arm it is compared with.
    """
    wide = table.pivot_table(index=rows, columns="arm", values=value).reindex(columns=list(arms))
    wide = wide.assign(gain=wide[arms[0]] - wide[arms[1]]).sort_values("gain", na_position="first")
    cells = table.groupby(rows)[size].max().reindex(wide.index)
    names = [f"{label(name)} ({number:,})" for name, number in zip(wide.index, cells)]
    fig = go.Figure()
    line_x = np.stack([wide[arms[0]], wide[arms[1]], np.full(len(wide), np.nan)], -1).ravel()
    line_y = np.repeat(np.array(names, dtype=object), 3)
    fig.add_scatter(
        x=100 * line_x,
        y=line_y,
        mode="lines",
        line={"color": MUTED, "width": 2},
        showlegend=False,
        hoverinfo="skip",
    )
    for arm in reversed(arms):
        name = escape(arm_name(arm))
        fig.add_scatter(
            x=100 * wide[arm],
            y=names,
            mode="markers",
            name=name,
            customdata=100 * wide["gain"],
            marker={"color": arm_colour(arm), "symbol": arm_symbol(arm), "size": 10},
            hovertemplate=f"%{{y}}<br>{name} %{{x:.1f}}<br>gain %{{customdata:+.1f}}<extra></extra>",
        )
    finish(
        fig,
        title,
        unit,
        None,
        height=150 + 22 * len(wide),
        note="in brackets: number of test cells",
        row=True,
    )
    fig.update_yaxes(type="category", categoryorder="array", categoryarray=names, dtick=1, gridcolor=GRID)
    fig.update_xaxes(showgrid=True, rangemode="tozero")
    return fig


def confusion(table: pd.DataFrame, title: str) -> go.Figure:
    """Draw a confusion matrix: each row (true class) as shares of its cells.

    Parameters
    ----------
    table
        Counts, true classes (rows) x predicted classes (columns).
    """
    totals = table.sum(axis=1).to_numpy()[:, None]
    share = 100 * table.to_numpy() / totals
    names = [label(name) for name in table.columns]
    fig = go.Figure(
        go.Heatmap(
            z=share,
            x=names,
            y=[label(name) for name in table.index],
            zmin=0,
            zmax=100,
            colorscale=SHARE,
            xgap=1,
            ygap=1,
            customdata=np.dstack([table.to_numpy(), np.broadcast_to(totals, share.shape)]),
            text=np.where(share >= 9.5, np.round(share).astype(int).astype(str), ""),
            texttemplate="%{text}",
            textfont={"size": 10},
            hovertemplate="true %{y}<br>predicted %{x}<br>%{z:.1f} %: %{customdata[0]:,} of "
            "%{customdata[1]:,} cells<extra></extra>",
            colorbar={"title": {"text": "% of row"}, "thickness": 10, "outlinewidth": 0, "len": 0.6},
        )
    )
    finish(
        fig,
        title,
        "Predicted class",
        "True class",
        230 + 22 * len(table),
        legend=False,
        note="per cent of the true class's cells",
    )
    fig.update_yaxes(autorange="reversed", type="category", dtick=1, showgrid=False)
    fig.update_xaxes(type="category", dtick=1, tickangle=-45, showgrid=False)
    return fig


def _panels(schemes: list[str], sizes: list[int]) -> go.Figure:
    return make_subplots(
        rows=len(schemes),
        cols=1,
        shared_xaxes=True,
        row_heights=[size + 0.5 for size in sizes],
        vertical_spacing=min(0.12, 1.6 / (sum(sizes) + 4)),
        subplot_titles=[SCHEMES[scheme] for scheme in schemes],
    )


def _height(groups: object) -> int:
    sizes = [len(group) for group in groups]  # type: ignore[attr-defined]
    return 130 + _ROW * sum(sizes) + 34 * len(sizes)


def _categories(fig: go.Figure) -> None:
    """Rows from top to bottom, panel titles at the left."""
    fig.update_yaxes(type="category", autorange="reversed", dtick=1, showgrid=True, gridcolor=GRID)
    fig.update_xaxes(showgrid=True)
    fig.update_annotations(x=0, xanchor="left", font={"size": 13})


def _interval(mean: float, low: float, high: float, colour: str) -> dict:
    return {
        "array": [100 * (high - mean)],
        "arrayminus": [100 * (mean - low)],
        "color": colour,
        "thickness": 2,
        "width": 0,
    }


def _reference_line(fig: go.Figure, baselines: pd.DataFrame, number: int) -> None:
    """Mark the best baseline's mean; the invisible point keeps it inside the axis."""
    best = baselines.sort_values("mean").iloc[-1]
    colour = arm_colour(best["arm"])
    fig.add_vline(
        x=100 * best["mean"], row=number, col=1, line={"color": colour, "width": 1.5, "dash": "dot"}
    )
    fig.add_scatter(
        x=[100 * best["mean"]],
        y=[None],
        mode="markers",
        showlegend=False,
        row=number,
        col=1,
        hoverinfo="skip",
        marker={"color": colour},
    )
