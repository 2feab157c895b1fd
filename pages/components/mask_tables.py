"""Mask statistics of the run in view: computed once per table, arm and group, shared, never changed."""

from typing import Any

import pandas as pd
import streamlit as st

from pages.components import tables
from sgm_core.analysis.diagnostic import diagnostic, mask_basis
from sgm_core.analysis.masks import gene_statistics, level_frequencies, mask_arms, mask_levels, stability
from sgm_core.errors import NotFoundError
from sgm_core.figures.compare import in_order
from sgm_core.runs.store import Run

# Column of a diagnostic, how it is called, how it is written, what it means.
MEASURES = (
    ("effective_share", "Effective share of genes", ".3f", "1 = every gene equally likely within a cell"),
    ("effective_share_last_epoch", "The same, last epoch", ".3f", "what training made of it"),
    ("spread_relative", "Spread beyond chance", ".1%", "how far gene frequencies differ, uniform draws: 0 %"),
    ("nonzero_share", "Non-zero share of the masks", ".3f", "how much of what is hidden was expressed"),
    ("base_rate", "Non-zero share of all positions", ".3f", "what a uniform draw would hide"),
    ("rank_correlation", "Rank correlation with expression", "+.2f", "1 = frequency follows expression"),
    ("residual_sd", "Spread between genes of equal expression", ".1%", "what expression does not explain"),
    ("value_leak", "What a mask tells of the value", ".1%", "variance that knowing the mask alone explains"),
    ("stability", "Agreement between donors", "+.2f", "rank correlation of frequencies beyond uniform draws"),
)


def key(run: Run, name: str = "masks") -> tuple[str, int]:
    """Return what a cache knows a run's table by: its path, and a stamp that changes when the table does."""
    path = run.table_path(name)
    return str(path), tables.stamp(path)


def arms(run: Run) -> list[str]:
    """Return the arms that hid genes, in the order of figures."""
    return in_order(_arms(*key(run)))


@st.cache_data(max_entries=32, show_spinner=False)
def _arms(path: str, stamp: int) -> list[str]:
    return mask_arms(tables.cached(path, stamp))


def levels(run: Run) -> dict[str, list[str]]:
    """Return what the counts are split by, with the levels of each."""
    return _levels(*key(run))


def groups(run: Run) -> list[str]:
    """Return the columns that the counts are split by: the roles first, then others such as condition."""
    split = levels(run)
    roles = ["cell_type", "timepoint", "donor"]
    return [by for by in roles if by in split] + sorted(set(split) - {*roles, "epoch"})


@st.cache_data(max_entries=32, show_spinner=False)
def _levels(path: str, stamp: int) -> dict[str, list[str]]:
    return mask_levels(tables.cached(path, stamp))


def statistics(run: Run, arm: str, by: str = "all", level: str = "") -> pd.DataFrame:
    """Return `sgm_core.analysis.masks.gene_statistics` of one arm and group."""
    return _statistics(*key(run), arm, by, level)


@st.cache_resource(max_entries=128, show_spinner="Counting masks")
def _statistics(path: str, stamp: int, arm: str, by: str, level: str) -> pd.DataFrame:
    return gene_statistics(tables.cached(path, stamp), arm=arm, by=by, level=level)


def universe(run: Run) -> tuple[str, ...]:
    """Return the genes that the run could hide."""
    return tuple(statistics(run, arms(run)[0])["gene"])


def by_level(run: Run, arm: str, by: str) -> pd.DataFrame:
    """Return each gene's mask frequency (rows) in each level of `by` (columns)."""
    return _by_level(*key(run), arm, by)


@st.cache_resource(max_entries=64, show_spinner="Counting masks")
def _by_level(path: str, stamp: int, arm: str, by: str) -> pd.DataFrame:
    return level_frequencies(tables.cached(path, stamp), by, arm)


def gene_levels(run: Run, gene: str, by: str) -> pd.DataFrame:
    """Return how often one gene is hidden in each level, arm by arm: arm, level, frequency, opportunities."""
    masks = tables.read(run, "masks")
    if masks is None:
        raise NotFoundError("this run has no mask counts any more: reload the page")
    rows = masks[(masks["gene"] == gene) & (masks["by"] == by) & (masks["opportunities"] > 0)]
    table = rows[["arm", "level", "masked", "opportunities"]]
    table = table.assign(frequency=table["masked"] / table["opportunities"])
    return table.sort_values("arm", key=lambda names: names.map(in_order(names).index))


def diagnose(run: Run, arm: str) -> dict[str, Any]:
    """Return `sgm_core.analysis.diagnostic.diagnostic` of one arm, and its agreement between donors."""
    return _diagnose(*key(run), *key(run, "mask_cells"), arm, mask_basis(run.parameters))


@st.cache_data(max_entries=64, show_spinner="Comparing with chance")
def _diagnose(path: str, stamp: int, cells: str, cells_stamp: int, arm: str, basis: str) -> dict[str, Any]:
    masks = tables.cached(path, stamp)
    result = diagnostic(masks, tables.cached(cells, cells_stamp), arm, basis=basis)
    return result | {"stability": stability(masks, "donor", arm)["beyond_null"]}


def diagnostics(run: Run, of: list[str], names: dict[str, str]) -> pd.DataFrame:
    """Return the diagnostic of each arm as a table for people: one row a measure, with its meaning."""
    found = {arm: diagnose(run, arm) for arm in of}
    rows = []
    for key, name, form, meaning in MEASURES:
        values = {names[arm]: format(found[arm][key], form).replace("nan", "–") for arm in of}
        rows.append({"Measure": name, **values, "What it means": meaning})
    return pd.DataFrame(rows)
