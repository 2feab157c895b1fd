"""Scores of a run that are finished, summarised once and shared; and the small figure of them."""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components import tables
from pages.components.kept import kept
from sgm_core.analysis.metrics import paired_table, summary_table
from sgm_core.figures import compare as figures
from sgm_core.figures.palette import SCHEMES
from sgm_core.report import compare_words
from sgm_core.runs.store import Run


def key(run: Run) -> tuple[str, int]:
    """Return what a cache knows a run's folds by: path and stamp, 0 while there are none."""
    return tables.key(run, "folds")


def schemes_of(run: Run) -> tuple[str, ...]:
    """Return the schemes that a run was asked for, which its primary comparison follows from."""
    return tuple(run.parameters.get("schemes") or ())


@kept()
def computed(path: str, stamp: int, schemes: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return summary and paired differences of the folds that are finished."""
    folds = tables.cached(path, stamp)
    return summary_table(folds), paired_table(folds, schemes=schemes or None)


def main_scheme(path: str, stamp: int) -> str:
    """Return the finetuning that the run is read by: partial, else the last that was trained."""
    return compare_words.main_scheme(tables.cached(path, stamp))


@st.cache_resource(max_entries=16, show_spinner=False)
def standing(path: str, stamp: int, schemes: tuple[str, ...], scheme: str) -> go.Figure:
    """Draw macro F1 of each arm under one finetuning, small."""
    summary = computed(path, stamp, schemes)[0]
    mine = summary[summary["scheme"] == scheme]
    title = f"Macro F1, {SCHEMES[scheme].lower()}"
    fig = figures.scores(tables.cached(path, stamp), mine, "macro_f1", title, "Macro F1 (%)", small=True)
    return fig
