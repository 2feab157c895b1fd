"""What a person does on a map, as a step of the selection; each gesture counts once."""

import streamlit as st

from pages.components.cells_colours import labels_of
from pages.components.cells_panes import Pane, key_of
from pages.components.cells_selection import Selecting
from pages.components.scatter import Event, read_event
from sgm_core.analysis.selection_steps import Invert, polygon

_SEEN = "cells-gestures"


def waiting(selecting: Selecting, shown: list[Pane | None]) -> None:
    """Carry out what was done on the maps since they were last drawn, before they are drawn again."""
    for place, pane in enumerate(shown):
        state = st.session_state.get(key_of(place))
        if pane is not None and state is not None:
            carry_out(selecting, pane, place, read_event(state.get("gesture")))


def carry_out(selecting: Selecting, pane: Pane, place: int, event: Event | None) -> bool:
    """Carry out a gesture; returns whether the selection may have changed.

    Parameters
    ----------
    place
        Which map of the page, from 0.
    event
        The last thing done on it, if any; one that was seen before is left alone.
    """
    seen = st.session_state.setdefault(_SEEN, {})
    if event is None or seen.get(place) == event.sequence:
        return False
    seen[place] = event.sequence
    if event.kind in ("lasso", "box"):
        hidden = None
        if event.categories and not selecting.values.is_number(pane.source):
            hidden = (pane.source, labels_of(selecting.values, pane.source, event.categories))
        table = selecting.maps[pane.map]
        selecting.do(polygon(table, pane.map, event.polygon, event.mode, hidden))
    elif event.kind == "invert":
        selecting.do(Invert())
    elif event.kind == "clear":
        selecting.clear()
    elif event.kind == "undo":
        selecting.undo()
    else:
        selecting.redo()
    return True
