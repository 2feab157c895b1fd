"""Differences of expression between two groups of cells: a volcano plot, whose points can be chosen."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import FAMILIES
from sgm_core.figures.style import (
    LEGEND_UNDER,
    MUTED,
    finish,
    label,
    name_genes,
    p_text,
    point_trace,
)

FDR = 0.05
_HIGHER, _LOWER, _OTHER = ("#D55E00", "triangle-up"), ("#0072B2", "triangle-down"), ("#8A8F98", "circle")
_CAP = 300.0
_PLACE = "log2_fold_change", "height"


def volcano(
    table: pd.DataFrame,
    title: str,
    names: tuple[str, str] = ("A", "B"),
    chosen: Sequence[str] = (),
    families: bool = False,
    label_most: int = 10,
) -> go.Figure:
    """Draw each gene's fold change against the evidence for it.

    Up is -log10 p of a test over donors, or, without a test, the score of a ranking by single cells.

    Parameters
    ----------
    table
        From `sgm_core.analysis.differential.differential`.
    names
        What the sides are called.
    chosen
        Genes to ring and name.
    families
        Colour by gene family instead of by direction.
    label_most
        How many of the top genes to name on each side.
    """
    tested = "p_value" in table
    rows = _drawn(table, tested)
    fig = go.Figure()
    trace = point_trace(len(rows))
    for (name, colour, symbol), group in _family_groups(rows) if families else _groups(rows, names, tested):
        if group.empty:
            continue
        strong = colour != _OTHER[0]
        drawn = trace(
            x=group["log2_fold_change"].to_numpy("float32"),
            y=group["height"].to_numpy("float32"),
            mode="markers",
            name=f"{name} ({len(group):,})",
            text=group["gene"].map(escape),
            customdata=_facts(group, tested),
            hovertemplate=_hover(names, tested),
            marker={
                "color": colour,
                "symbol": symbol,
                "size": 7 if strong else 5,
                "opacity": 0.9 if strong else 0.4,
            },
            unselected={"marker": {"opacity": 0.25}},
        )
        fig.add_trace(drawn)
    if len(rows):
        name_genes(fig, _top(rows[~rows["gene"].isin(chosen)], tested, label_most), *_PLACE, ring=False)
        name_genes(fig, rows[rows["gene"].isin(chosen)], *_PLACE, ring=True)
    fig.add_vline(x=0, line={"color": MUTED, "width": 1, "dash": "dot"})
    note = f"left: higher in {label(names[1], 30)}; right: higher in {label(names[0], 30)}"
    up = "-log10 p (test over donors)" if tested else "Score of the ranking by cells (no test)"
    finish(fig, title, "log2 fold change", up, 520, note=note)
    fig.update_layout(legend=LEGEND_UNDER, dragmode="select")
    return fig


def direction(table: pd.DataFrame) -> pd.Series:
    """Return ``higher``, ``lower`` or ``undecided`` for each gene: is its adjusted p under 5 %?"""
    clear = table["q_value"] < FDR
    known = [clear & (table["log2_fold_change"] > 0), clear & (table["log2_fold_change"] < 0)]
    return pd.Series(np.select(known, ["higher", "lower"], "undecided"), index=table.index)


def _drawn(table: pd.DataFrame, tested: bool) -> pd.DataFrame:
    """Return the genes that have a place, with their height."""
    if not tested:
        rows = table[table["score"].notna() & np.isfinite(table["log2_fold_change"])]
        return rows.assign(height=rows["score"])
    rows = table[table["p_value"].notna()]
    height = -np.log10(np.maximum(rows["p_value"].to_numpy(float), 10**-_CAP))
    return rows.assign(height=height)


def _groups(
    rows: pd.DataFrame, names: tuple[str, str], tested: bool
) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    if not tested:
        return [(("Genes, ranked and not tested", *_OTHER), rows)]
    where = direction(rows)
    return [
        (("Not proven", *_OTHER), rows[where == "undecided"]),
        ((f"Higher in {label(names[1], 24)}", *_LOWER), rows[where == "lower"]),
        ((f"Higher in {label(names[0], 24)}", *_HIGHER), rows[where == "higher"]),
    ]


def _family_groups(rows: pd.DataFrame) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    known = [name for name in FAMILIES if name in rows]
    other = rows[~rows[known].any(axis=1)]
    return [(("Other", *_OTHER), other), *[(FAMILIES[name], rows[rows[name]]) for name in known]]


def _facts(rows: pd.DataFrame, tested: bool) -> np.ndarray:
    columns = [100 * rows["share_a"], 100 * rows["share_b"], rows["mean_a"], rows["mean_b"]]
    if tested:
        texts = [rows["p_value"].map(p_text), rows["q_value"].map(lambda q: p_text(q) if q == q else "none")]
        return np.column_stack([*columns, *texts])
    return np.column_stack(columns)


def _hover(names: tuple[str, str], tested: bool) -> str:
    a, b = label(names[0], 24), label(names[1], 24)
    text = "<b>%{text}</b><br>log2 fold change %{x:.2f}"
    text += "<br>p %{customdata[4]}, adjusted %{customdata[5]}" if tested else "<br>score %{y:.1f}"
    text += f"<br>{a}: %{{customdata[0]:.1f}} % of cells, mean %{{customdata[2]:.3f}}"
    return text + f"<br>{b}: %{{customdata[1]:.1f}} % of cells, mean %{{customdata[3]:.3f}}<extra></extra>"


def _top(rows: pd.DataFrame, tested: bool, n: int) -> pd.DataFrame:
    """Return the genes to name on each side: of a test only those that it calls."""
    called = rows[direction(rows) != "undecided"] if tested else rows
    up, down = called[called["log2_fold_change"] > 0], called[called["log2_fold_change"] < 0]
    down = down.assign(height=down["height"].abs())
    picked = [*up.nlargest(n, "height").index, *down.nlargest(n, "height").index]
    return _with_room(rows, picked)


def _with_room(rows: pd.DataFrame, picked: Sequence[int]) -> pd.DataFrame:
    """Leave out names that would lie on one another."""
    wide = float(np.ptp(rows["log2_fold_change"])) or 1.0
    high = float(np.ptp(rows["height"])) or 1.0
    kept: list[int] = []
    taken: list[tuple[float, float]] = []
    x_of, y_of = rows["log2_fold_change"].astype(float), rows["height"].astype(float)
    for index in picked:
        place = (x_of[index], y_of[index])
        if all(abs(place[0] - x) > 0.12 * wide or abs(place[1] - y) > 0.05 * high for x, y in taken):
            kept.append(index)
            taken.append(place)
    return rows.loc[kept]
