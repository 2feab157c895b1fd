"""What a person does on a map, as a step of the selection; each gesture counts once."""

import streamlit as st

from pages.components.cells_panes import Pane
from pages.components.cells_selection import Selecting
from pages.components.scatter import Colours, Event
from sgm_core.analysis.selection_steps import Invert, polygon

_KEY = "cells-gestures"


def gesture(selecting: Selecting, pane: Pane, place: int, event: Event | None, colours: Colours) -> bool:
    """Carry out what was done on a map; returns whether the selection may have changed.

    Parameters
    ----------
    place
        Which map of the page, from 0.
    event
        The last thing done on it, if any; one that was seen before is left alone.
    """
    seen = st.session_state.setdefault(_KEY, {})
    if event is None or seen.get(place) == event.sequence:
        return False
    seen[place] = event.sequence
    if event.kind in ("lasso", "box") and len(event.polygon) >= 3:
        selecting.do(polygon(selecting.maps[pane.map], pane.map, event.polygon, event.mode))
    elif event.kind == "invert":
        selecting.do(Invert())
    elif event.kind == "clear":
        selecting.clear()
    elif event.kind == "undo":
        selecting.undo()
    elif event.kind == "redo":
        selecting.redo()
    else:
        return False
    return True
