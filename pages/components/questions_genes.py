"""Expression of chosen genes over groups of cells: dot plot and violins."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages.components import questions_columns, show, words
from sgm_core.analysis.dot_plot import MOST_GROUPS, MOST_VIOLINS, dot_plot, kept_groups, violin_values
from sgm_core.cells.dataset import Dataset
from sgm_core.figures import dot_plot as figures
from sgm_core.figures.palette import categorical

PICKED = "picked"
_FIRST = ("CD34", "MPO", "LYZ", "CD3E", "MS4A1", "HBB")
_VIOLINS = 4
_MOST = 40
_SIDES = "A against B"
_COLUMNS = {
    "group": st.column_config.TextColumn("Group", pinned=True),
    "gene": st.column_config.TextColumn("Gene"),
    "n_cells": st.column_config.NumberColumn("Cells", format="localized"),
    "share": st.column_config.NumberColumn("Express it", format="percent"),
    "mean": st.column_config.NumberColumn("Mean of all", format="%.3f"),
    "mean_expressing": st.column_config.NumberColumn("Mean of expressing", format="%.3f"),
}


def picked(dataset: Dataset) -> list[str]:
    """Return the chosen genes that the dataset has; a link may name others."""
    asked = st.session_state.get(PICKED) or st.query_params.get_all(PICKED)
    known = set(dataset.genes)
    return [str(gene) for gene in asked if gene in known]


def pick(genes: Sequence[str]) -> None:
    """Make `genes` the chosen ones."""
    st.session_state[PICKED] = list(genes)[:_MOST]


def _selector(dataset: Dataset) -> list[str]:
    """Draw the selector of genes; returns those chosen."""
    if PICKED in st.session_state:
        st.session_state[PICKED] = picked(dataset)
    return st.multiselect(
        "Genes", dataset.genes.tolist(), key=PICKED, bind="query-params", max_selections=_MOST,
        placeholder="Type symbols, or pick genes on the volcano plot",
    )  # fmt: skip


def draw(dataset: Dataset, selected: np.ndarray, name: str) -> None:
    """Show the expression of any genes over the selection and the rest, or over the groups of a column."""
    dataset.require_counts("expression")
    first = [gene for gene in _FIRST if gene in set(dataset.genes)] or dataset.genes[:6].tolist()
    chosen(dataset, selected, ~selected, (name, "all other cells"), first)


def chosen(
    dataset: Dataset, a: np.ndarray, b: np.ndarray, names: tuple[str, str], instead: Sequence[str]
) -> None:
    """Draw the chosen genes over two sides, or over the groups of a column inside side A.

    Parameters
    ----------
    a, b
        The sides, bool (n_cells,).
    names
        What they are called.
    instead
        Genes to draw while none is chosen.
    """
    genes = _selector(dataset) or list(instead)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = st.selectbox(
            "Over", [_SIDES, *dataset.grouping_columns()], key="dots-over", bind="query-params", width=230,
            format_func=lambda each: each if each == _SIDES else words.plain_column(each),
        )  # fmt: skip
        colour = st.selectbox(
            "Colour", list(figures.MEANS), format_func=figures.MEANS.__getitem__, key="dots-colour",
            bind="query-params", width=230,
        )  # fmt: skip
        within = False
        if by != _SIDES:
            within = st.toggle("Selected cells only", key="dots-within", bind="query-params")
    groups = _groups(dataset, by, a, b, names, within)
    shown = list(names) if by == _SIDES else kept_groups(groups)
    question = by, within, tuple(genes), tuple(shown), questions_columns.digest(a, b)
    table = questions_columns.once(
        dataset, ("dots", *question), lambda: dot_plot(dataset, genes, groups, shown)
    )
    what = "side" if by == _SIDES else by.replace("_", " ")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        title = f"Expression by {what}"
        show.figure(
            figures.dot_plot(table, title, what[:1].upper() + what[1:], colour), "dot-plot", table, alt=title,
            simulated=dataset.simulated,
        )  # fmt: skip
        n_groups = int((groups.value_counts() > 0).sum())
        if n_groups > MOST_GROUPS and by != _SIDES:
            st.caption(f"The {MOST_GROUPS} largest of {n_groups:,} groups are drawn.")
    with right:
        _violins(dataset, genes[:_VIOLINS], groups, shown, what, question)
    with st.expander("Numbers"):
        show.table(table, "dot-plot-numbers", column_config=_COLUMNS)


def _groups(
    dataset: Dataset, by: str, a: np.ndarray, b: np.ndarray, names: tuple[str, str], within: bool
) -> pd.Series:
    if by == _SIDES:
        codes = np.where(a, 0, np.where(b, 1, -1))
        return pd.Series(pd.Categorical.from_codes(codes, _apart(names)))
    values = questions_columns.values(dataset, by)
    if not within:
        return pd.Series(values)
    return pd.Series(pd.Categorical.from_codes(np.where(a, values.codes, -1), values.categories))


def _apart(names: tuple[str, str]) -> list[str]:
    return list(names) if names[0] != names[1] else [names[0], f"{names[1]} (B)"]


def _violins(
    dataset: Dataset,
    genes: Sequence[str],
    groups: pd.Series,
    shown: Sequence[str],
    what: str,
    question: tuple[Hashable, ...],
) -> None:
    some = list(shown)[:12]
    values = questions_columns.once(
        dataset, ("violins", *question), lambda: violin_values(dataset, genes, groups, some)
    )
    colours = {level: colour for level, (colour, _) in categorical(some).items()}
    title = f"{', '.join(genes)} by {what}"
    fig = figures.violins(values, title, some, colours, what[:1].upper() + what[1:])
    show.figure(fig, "violins", values, alt=title, simulated=dataset.simulated)
    first = f" The first {len(some)} groups and" if len(some) < len(shown) else " The"
    st.caption(f"At most {MOST_VIOLINS} cells of a group.{first} first {len(genes)} genes are drawn.")
