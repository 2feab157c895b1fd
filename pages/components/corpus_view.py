"""Which datasets a run pretrained on, and how many of their cells were left out and why."""

import pandas as pd
import streamlit as st

from pages.components import show, tables
from sgm_core.escape import escape
from sgm_core.runs.store import Run

_COLUMNS = {
    "fold": "Fold",
    "dataset": "Dataset",
    "cells": "Cells",
    "trained": "Trained on",
    "same_donor": "Of held-out donors",
    "held_copies": "Copies of their cells",
    "held_donor": "Others of such donors",
    "copies": "Copies in the corpus",
    "silent": "Without a count",
    "genes": "Genes it has",
}


def corpus(runs: list[Run]) -> None:
    """Draw the corpus of each run that pretrained on several datasets, fold by fold in a comparison."""
    for run in runs:
        table = tables.read(run, "corpus")
        if table is None:
            continue
        with st.expander("Pretraining corpus" + (f" of {escape(run.title)}" if len(runs) > 1 else "")):
            show.table(named(table), f"corpus-{run.id}")
            st.caption(
                "Cells of validation and test donors are left out, their copies in other datasets too; genes "
                "are those of the backbone's that a dataset has."
            )


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Return the run table ``corpus`` in words."""
    return table[[name for name in _COLUMNS if name in table]].rename(columns=_COLUMNS)
