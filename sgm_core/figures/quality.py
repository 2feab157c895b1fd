"""Is the data fit for the job: histograms per cell, donors x types x timepoints, classes per fold."""

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import SAFE, SHARE
from sgm_core.figures.style import MUTED, NEUTRAL, finish


def histogram(
    values: pd.Series, title: str, unit: str, keep: tuple[float, float], bins: int = 60
) -> go.Figure:
    """Draw the distribution of one quality measure over cells; what lies outside `keep` is pale.

    Parameters
    ----------
    values
        One number a cell.
    title, unit
        What it is, and its unit for the axis.
    keep
        Lower and upper bound, both kept.
    """
    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[1:] + edges[:-1]) / 2
    inside = (centres >= keep[0]) & (centres <= keep[1])
    fig = go.Figure()
    for part, colour, name in ((inside, SAFE[0], "kept"), (~inside, MUTED, "left out")):
        fig.add_bar(
            x=centres[part],
            y=counts[part],
            width=np.diff(edges)[part],
            marker={"color": colour, "line": {"width": 0}},
            name=name,
            hovertemplate=f"%{{x:,.4g}} {unit}<br>%{{y:,}} cells, {name}<extra></extra>",
        )
    finish(fig, title, unit, "Cells", height=250, legend=False)
    fig.update_layout(bargap=0, barmode="overlay")
    return fig


def sample_table(composition: pd.DataFrame) -> pd.DataFrame:
    """Spread out cells per sample (donor, at a timepoint if there are any) and cell type.

    Parameters
    ----------
    composition
        From `sgm_core.cells.quality.composition`: donor, cell_type, timepoint, cells.

    Returns
    -------
    table
        Index ``sample``, sorted by timepoint and donor; one column a cell type, most frequent first.
    """
    parts = composition.sort_values(["timepoint", "donor"], key=_in_time)
    when = parts["timepoint"].astype(str)
    parts = parts.assign(sample=parts["donor"].astype(str) + when.where(when == "", " · " + when))
    table = parts.pivot_table(
        index="sample", columns="cell_type", values="cells", aggfunc="sum", fill_value=0, sort=False
    )
    return table[table.sum().sort_values(ascending=False).index]


def type_table(labels: pd.Series, timepoint: pd.Series) -> pd.DataFrame:
    """Spread out cells per timepoint (rows, in the order of a disease) and type, the most frequent first.

    Parameters
    ----------
    labels, timepoint
        One text a cell.
    """
    table = pd.crosstab(timepoint.rename("timepoint"), labels.rename("cell_type"))
    rows = table.index.to_series().rename("timepoint")
    order = rows.iloc[_in_time(rows).argsort(kind="stable")].to_numpy()
    return table.loc[order, table.sum().sort_values(ascending=False).index]


_SHORT = {"hea": 0, "dia": 1, "trt": 2, "mrd": 3, "rel": 4}
"""The same as atlases abbreviate it; MRD is the disease that treatment leaves."""


def _in_time(column: pd.Series) -> pd.Series:
    """Sort timepoints as a disease runs, and days by their number; donors by name."""
    if column.name != "timepoint":
        return column.astype(str)
    course = ("healthy", "diagnosis", "treatment", "remission", "relapse")
    places = {word: place for place, word in enumerate(course)} | _SHORT

    def key(text: str) -> tuple[int, float, str]:
        number = re.search(r"\d+", text)
        return (places.get(text.lower(), len(course)), float(number.group()) if number else -1.0, text)

    ranks = {text: rank for rank, text in enumerate(sorted(column.astype(str).unique(), key=key))}
    return column.astype(str).map(ranks)


def donor_heatmap(table: pd.DataFrame, title: str = "Cells per sample and type") -> go.Figure:
    """Draw the number of cells per sample and type on a logarithmic scale; a cross marks what is empty."""
    numbers = table.to_numpy()
    alone = len(table) == 1
    counted = np.array([[f"{number:,}" for number in row] for row in numbers]) if alone else ""
    text = np.where(numbers > 0, counted, "×")
    fig = go.Figure(
        go.Heatmap(
            z=np.where(numbers > 0, np.log10(np.maximum(numbers, 1)), np.nan),
            x=[escape(name) for name in table.columns],
            y=[escape(name) for name in table.index],
            customdata=numbers,
            text=text,
            texttemplate="%{text}",
            textfont={"size": 11} if alone else {"color": NEUTRAL, "size": 11},
            colorscale=SHARE,
            zmin=-0.4,  # so that one cell shows on either ground
            zmax=max(1.0, float(np.log10(max(numbers.max(), 1)))),
            xgap=1,
            ygap=1,
            hoverongaps=True,
            hovertemplate="%{y}<br>%{x}<br>%{customdata:,} cells<extra></extra>",
            colorbar=_bar(numbers.max()),
            showscale=not alone,  # a scale needs more room than one row has, and the numbers are there
        )
    )
    height = 190 + 18 * len(table)
    finish(fig, title, None, None, height, legend=False, note="" if (numbers > 0).all() else "× = no cell")
    _as_table(fig)
    return fig


def coverage_heatmap(coverage: pd.DataFrame, part: str = "test") -> go.Figure:
    """Draw how many cells of each class the `part` of every fold holds; a cross marks none.

    Parameters
    ----------
    coverage
        From `sgm_core.cells.split.class_coverage`.
    part
        ``train``, ``validation`` or ``test``.
    """
    shown = coverage.assign(
        name=np.where(coverage["scored"], coverage["cell_type"], coverage["cell_type"] + " (not scored)")
    )
    order = shown.groupby("name")[f"{part}_cells"].sum().sort_values(ascending=False).index
    table = shown.pivot(index="fold", columns="name", values=f"{part}_cells")[order]
    donors = shown.pivot(index="fold", columns="name", values=f"{part}_donors")[order]
    numbers = table.to_numpy()
    fig = go.Figure(
        go.Heatmap(
            z=np.where(numbers > 0, np.log10(np.maximum(numbers, 1)), np.nan),
            x=[escape(name) for name in order],
            y=[f"fold {fold}" for fold in table.index],
            customdata=np.dstack([numbers, donors.to_numpy()]),
            text=np.where(numbers > 0, "", "×"),
            texttemplate="%{text}",
            textfont={"color": NEUTRAL, "size": 11},
            colorscale=SHARE,
            zmin=-0.4,  # so that one cell shows on either ground
            zmax=max(1.0, float(np.log10(max(numbers.max(), 1)))),
            xgap=1,
            ygap=1,
            hoverongaps=True,
            hovertemplate=(
                "%{y}, %{x}<br>%{customdata[0]:,} cells of %{customdata[1]} donors<extra></extra>"
            ),
            colorbar=_bar(numbers.max()),
        )
    )
    title = f"{part.capitalize()} cells per fold and class"
    note = f"× = no {part} cell: the class can't be judged there"
    finish(fig, title, None, None, 210 + 26 * len(table), legend=False, note=note)
    _as_table(fig)
    return fig


def _bar(largest: int) -> dict:
    ticks = [tick for tick in (1, 10, 100, 1000, 10_000, 100_000) if tick <= max(largest, 1)]
    return {
        "title": {"text": "cells"},
        "tickvals": [float(np.log10(tick)) for tick in ticks],
        "ticktext": [f"{tick:,}" for tick in ticks],
        "thickness": 10,
        "outlinewidth": 0,
    }


def _as_table(fig: go.Figure) -> None:
    fig.update_xaxes(side="bottom", tickangle=-45, showgrid=False, type="category")
    fig.update_yaxes(autorange="reversed", showgrid=False, type="category", dtick=1)
