"""Genes of a comparison on their way to the page Enrichment, with the genes that were tested as universe."""

from collections.abc import Sequence

import streamlit as st

from pages.components import state, tables
from sgm_core.analysis.differential import TABLE
from sgm_core.cells.dataset import Dataset
from sgm_core.runs.differential import existing
from sgm_core.runs.store import Run

RUN = "compared"
_HANDED = "handed-genes"


def hand(run: Run, genes: Sequence[str]) -> None:
    """Open the page Enrichment with a list of genes."""
    st.session_state[_HANDED] = (run.id, list(genes))
    state.go("pages/enrichment.py")


def take(order: str, label: str, universe: str) -> None:
    """Put genes that were handed over into the page's own controls and its link, before they are drawn.

    Parameters
    ----------
    order, label
        Value of the page's control ``genes`` that means an own list, and its words.
    universe
        Value of its control ``universe`` that means the compared genes.
    """
    handed = st.session_state.pop(_HANDED, None)
    if handed is None:
        return
    run_id, genes = handed
    st.session_state["genes"], st.session_state["universe"] = order, universe
    st.session_state["list"] = " ".join(genes)
    st.query_params.update({"genes": label, "list": " ".join(genes), RUN: run_id})


def compared(dataset: Dataset) -> tuple[str, ...]:
    """Return the genes that the comparison in the link had counts of; none without one of this dataset."""
    run = existing(st.query_params.get(RUN, "") or "none")
    if run is None or run.dataset_name != dataset.name:
        return ()
    table = tables.read(run, TABLE)
    if table is None:
        return ()
    known = table["p_value"].notna() if "p_value" in table else table["gene"].notna()
    return tuple(table.loc[known, "gene"])
