"""Correct cells by hand: lasso or filter, give them a type, undo; who did what when is kept."""

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

from pages.components import (
    annotate_data,
    cells_filter,
    cells_gestures,
    cells_panes,
    cells_values,
    frame,
    review_who,
    show,
    words,
)
from pages.components.annotate_data import AnnotationMaps, AnnotationValues
from pages.components.cells_selection import Selecting
from pages.components.scatter import Event
from sgm_core.analysis.selection_steps import Invert, polygon
from sgm_core.annotation.annotated import UNKNOWN
from sgm_core.annotation.kept import Annotation
from sgm_core.annotation.store import Model
from sgm_core.escape import escape

_WHO = "corrected-by"
TAKEN_UP = "correct-taken-up"
"""Set where a selection of the result has to be corrected next."""


@st.fragment
def section(annotation: Annotation, model: Model | None, colour_blind: bool) -> None:
    """Draw the map, what is selected, the form that gives it a type, and the corrections that hold."""
    with frame.guard():
        cells = annotate_data.cells_of(annotation, bool(model is not None and model.meta["simulated"]))
        values, maps = AnnotationValues(cells, annotation), AnnotationMaps(annotation)
        selecting = Selecting(cells, maps, values)
        with st.expander(
            "Select cells by label or value", icon=":material/filter_alt:", key=_place(selecting)
        ):
            by_labels, by_value = st.tabs(["Labels", "A value"])
            with by_labels:
                cells_filter.by_labels(selecting)
            with by_value:
                columns = cells_values.columns(cells)
                numbers = {source: text for source, text in columns.items() if values.is_number(source)}
                cells_filter.by_value(selecting, numbers)
        pane, spot = None, None
        if maps:
            options = cells_panes.options(cells, {})
            controls, spot = st.container(), st.container()
            foot = st.container(horizontal=True, gap="small")
            with controls:
                pane = cells_panes.choose(cells, maps, options, values, 0, f"obs:{annotate_data.NOW}", foot)
            cells_gestures.waiting(selecting, [pane])
        else:
            st.caption("No map of these cells: select by label or value.")
        selected = selecting.selected()
        if selecting.problem:
            st.warning(escape(selecting.problem), icon=":material/info:")
        _bar(selecting)
        _form(annotation, model, selecting, selected)
        if pane is not None and spot is not None:
            with spot, frame.guard():
                event = cells_panes.draw(cells, maps, values, pane, 0, 1, selected, colour_blind)
            if cells_gestures.carry_out(selecting, pane, 0, event):
                _again()
        _history(annotation)


def take_up(annotation: Annotation, name: str, event: Event, hidden: tuple[str, ...]) -> None:
    """Select what was drawn around on a map of the result, and draw the page again to correct it.

    Parameters
    ----------
    annotation
        Whose cells they are.
    name, event
        The map, and the lasso or box on it.
    hidden
        Labels that the map did not show.
    """
    model = annotate_data.model_of(annotation)
    cells = annotate_data.cells_of(annotation, bool(model is not None and model.meta["simulated"]))
    maps = AnnotationMaps(annotation)
    selecting = Selecting(cells, maps, AnnotationValues(cells, annotation))
    off = (f"obs:{annotate_data.NOW}", hidden) if hidden else None
    selecting.do(polygon(maps[name], name, event.polygon, "replace", off))
    st.session_state[TAKEN_UP] = True
    st.rerun()


def _place(selecting: Selecting) -> str:
    return f"correct-select-{selecting.history.place}"  # the box closes once it has done its work


def _bar(selecting: Selecting) -> None:
    if not selecting.history.steps:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.button("Invert", icon=":material/flip:", type="tertiary", key="correct-invert",
                  on_click=lambda: selecting.do(Invert()))  # fmt: skip
        st.button("Clear", icon=":material/close:", type="tertiary", key="correct-clear",
                  on_click=selecting.clear)  # fmt: skip
        st.caption(escape(selecting.words()), width="stretch")


def _form(annotation: Annotation, model: Model | None, selecting: Selecting, selected) -> None:
    n = 0 if selected is None else int(selected.sum())
    if not n:
        st.caption(
            ":material/gesture: Draw around cells on the map, or **select cells by label or value**, then "
            "say what they are."
        )
        return
    now = annotate_data.labels_now(annotation)["cell_type"][selected].value_counts()
    said = ", ".join(f"{count:,} {escape(name)}" for name, count in now.head(4).items())
    st.markdown(f"**{words.count(n, 'cell')} selected:** {said}" + (" ..." if len(now) > 4 else ""))
    known = [*(model.classes if model is not None else []), UNKNOWN]
    used = [made["label"] for made in annotation.corrections()]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.selectbox(
            "They are", list(dict.fromkeys([*known, *used])), index=None, accept_new_options=True,
            placeholder="Choose or type a cell type", key="correct-label", width=280,
        )  # fmt: skip
        # kept beside the field, whose own value goes when nothing is selected
        who = review_who.logged_in() or st.text_input(
            "Who says so", st.session_state.get(_WHO, ""), key="correct-who", width=220
        )
        if st.button(
            f"Assign to {words.count(n, 'cell')}", type="primary", key="correct-assign",
            disabled=not (label and who and who.strip()),
        ):  # fmt: skip
            st.session_state[_WHO] = who
            made = annotation.correct(selected.nonzero()[0], str(label), who)
            selecting.clear()
            st.toast(
                f"{words.count(made['n_cells'], 'cell')}: {escape(made['label'])}", icon=":material/check:"
            )
            st.rerun()
    if not (label and who and who.strip()):
        give = "" if review_who.logged_in() else " and give your name"
        st.caption(f"Choose a type{give}; type and name are kept with the correction.")


def _history(annotation: Annotation) -> None:
    made = annotation.corrections()
    if not made:
        return
    last = made[-1]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{words.count(len(made), 'correction')}**", width="content")
        text = f"Undo: {words.count(last['n_cells'], 'cell')} to {escape(last['label'])}"
        if st.button(text, icon=":material/undo:", type="tertiary", key="correct-undo"):
            annotation.undo()
            st.rerun()
    table = pd.DataFrame(made)[["label", "n_cells", "who", "when"]].iloc[::-1]
    table["when"] = pd.to_datetime(table["when"])
    show.table(table, f"{annotation.name}-corrections", column_config=_CORRECTIONS)


def _again() -> None:
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:  # the whole page is being drawn, not this part of it
        st.rerun()


_CORRECTIONS = {
    "label": st.column_config.TextColumn("Cell type"),
    "n_cells": st.column_config.NumberColumn("Cells", format="localized"),
    "who": st.column_config.TextColumn("Who"),
    "when": st.column_config.DatetimeColumn("When", format="D MMM YYYY, HH:mm"),
}
