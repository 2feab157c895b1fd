"""Saved selections on the page: save, combine, rename, delete."""

import numpy as np
import streamlit as st

from pages.components import permit, words
from pages.components.cells_selection import Selecting, short_name
from sgm_core.analysis import selection_steps as steps_
from sgm_core.analysis.selection_steps import ADD, KEEP, REPLACE, SUBTRACT, Saved
from sgm_core.cells.selections import (
    Selection,
    delete_selection,
    list_selections,
    rename_selection,
    save_selection,
)
from sgm_core.errors import SGMError
from sgm_core.escape import escape

_COMBINE = {
    REPLACE: ("Select", "select_all", "Select these cells"),
    ADD: ("Or", "add", "Add these cells to the selection"),
    KEEP: ("And", "join_inner", "Keep only those of the selection that are among these"),
    SUBTRACT: ("Not", "remove", "Take these cells out of the selection"),
}


def save_form(state: Selecting, selected: np.ndarray) -> None:
    """Save what is selected under a name."""
    steps = state.history.steps
    taken = {each.name for each in list_selections(state.dataset)}
    name = short_name(steps)
    tries = (name if i == 1 else f"{name}-{i}" for i in range(1, len(taken) + 2))
    name = next(each for each in tries if each not in taken)
    with st.form("save-selection", border=False):
        chosen = st.text_input("Name", name, key=f"save-name-{name}", max_chars=64)
        if st.form_submit_button("Save the selection", type="primary"):
            try:
                described = steps_.to_json(steps)
                save_selection(state.dataset, chosen.strip(), selected, described, steps_.describe(steps))
            except SGMError as error:
                st.error(escape(error))
            else:
                st.toast(f"Saved {escape(chosen)}: {words.count(int(selected.sum()), 'cell')}")
                st.rerun()
    st.caption("Later: select, combine (and, or, not) or compare it under **Saved**.")


def saved_list(state: Selecting) -> None:
    """List the saved selections, each with what can be done with it."""
    found = list_selections(state.dataset)
    if not found:
        st.caption("No selection is saved yet. Select cells, then **Save**.")
        return
    for each in found:
        _one(state, each)


def _one(state: Selecting, saved: Selection) -> None:
    with st.container(border=True, gap="xxsmall"):
        st.markdown(f"**{escape(saved.name)}** · {words.count(saved.n_cells, 'cell')}")
        st.caption(f"{escape(saved.description) or 'no steps kept'} · {words.when(saved.created)}")
        with st.container(horizontal=True, gap="xsmall"):
            for mode, (label, icon, text) in _COMBINE.items():
                step = Saved(saved.name, mode)
                st.button(
                    label, key=f"saved-{mode}-{saved.name}", icon=f":material/{icon}:", help=text,
                    on_click=state.do, args=(step,), type="tertiary",
                    disabled=mode != REPLACE and not state.history.steps,
                )  # fmt: skip
            with st.popover("Rename", type="tertiary"):
                new = st.text_input("New name", saved.name, key=f"rename-{saved.name}", max_chars=64)
                if permit.button(
                    "rename a selection",
                    "Rename",
                    key=f"do-rename-{saved.name}",
                    disabled=new.strip() == saved.name,
                ):
                    _try(lambda: rename_selection(state.dataset, saved.name, new.strip()))
            with st.popover("Delete", type="tertiary"):
                st.markdown("The cells stay; only the selection goes.")
                if permit.button(
                    "delete a selection", "Delete it", key=f"do-delete-{saved.name}", type="primary"
                ):
                    _try(lambda: delete_selection(state.dataset, saved.name))


def _try(act) -> None:
    try:
        act()
    except SGMError as error:
        st.error(escape(error))
    else:
        st.rerun()
