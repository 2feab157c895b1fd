"""What is selected, in one sentence, and what can be done with it."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.components import cell_views, cells_background, words
from pages.components.cells_saved import save_form
from pages.components.cells_selection import Selecting
from sgm_core.analysis.selection_steps import Invert
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.runs.store import Run


def answer(
    dataset: Dataset, run: Run | None, model: tuple[str, str] | None, selected: np.ndarray | None
) -> str:
    """Say in one sentence what is on the map, or in the selection."""
    labels = dataset.labels()
    donors = dataset.donors() if dataset.has_donors else None
    table = predicted(dataset, run, model)
    if selected is None:
        text = f"{words.count(dataset.n_cells, 'cell')} of {words.count(labels.nunique(), 'type')}"
        if donors is not None:
            text += f", {words.count(donors.nunique(), 'donor')}"
        if table is None or model is None:
            return f"{text}."
        tested = table["right"].notna()
        right = (table.loc[tested, "right"] == "right").mean()
        name = escape(cell_views.model_name(model))
        return f"{text}; {name} names {right:.1%} of {tested.sum():,} test cells right."
    if not selected.any():
        return "No cell is selected: nothing is in all that was asked for."
    text = f"{words.count(int(selected.sum()), 'cell')} selected ({selected.mean():.1%})"
    inside = labels[selected].dropna()
    if len(inside):
        shares = inside.value_counts(normalize=True)
        text += f": {shares.iloc[0]:.0%} {escape(shares.index[0])}"
    if donors is not None:
        text += f", from {words.count(donors[selected].nunique(), 'donor')}"
    if table is not None and table.loc[selected, "right"].notna().any():
        tested = table.loc[selected, "right"].dropna()
        text += f"; {(tested == 'right').mean():.1%} of the tested named right"
    return f"{text}."


def predicted(dataset: Dataset, run: Run | None, model: tuple[str, str] | None) -> pd.DataFrame | None:
    """Return what a model says of every cell, if there is a model."""
    if run is None or model is None:
        return None
    return cell_views.predictions(run, model, dataset.n_cells)


def bar(
    state: Selecting, run: Run | None, model: tuple[str, str] | None, selected: np.ndarray | None
) -> None:
    """Show what is selected with undo, redo, invert, clear, and what can be made of it."""
    history = state.history
    if not (history.steps or history.can_undo or history.can_redo):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        _button("Undo", "undo", state.undo, not history.can_undo)
        _button("Redo", "redo", state.redo, not history.can_redo)
        _button("Invert", "flip", lambda: state.do(Invert()), selected is None)
        _button("Clear", "close", state.clear, not history.steps)
        if selected is not None and selected.any():
            with st.popover("Save", icon=":material/bookmark_add:"):
                save_form(state, selected)
            with st.popover("Export", icon=":material/download:"):
                cells_background.export_form(state.dataset, run, model, selected)
            if state.dataset.has_counts:
                with st.popover("Map of these cells", icon=":material/scatter_plot:"):
                    cells_background.map_form(state, selected)
        if history.steps:
            st.caption(escape(state.words()), width="stretch")


def _button(label: str, icon: str, act, disabled: bool) -> None:
    st.button(
        label,
        key=f"cells-{icon}",
        icon=f":material/{icon}:",
        help=None if disabled else f"{label} the selection" if label in ("Invert", "Clear") else label,
        on_click=act,
        disabled=disabled,
        type="tertiary",
    )
