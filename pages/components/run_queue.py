"""The place of a run that waits, and how to change it."""

from typing import Any

import streamlit as st

from pages.components import frame, permit
from sgm_core.runs.order import move_run, places, set_priority
from sgm_core.runs.states import HIGHEST
from sgm_core.runs.store import Run

_MOVES = {
    "first": ("First", ":material/vertical_align_top:"),
    "up": ("Up", ":material/arrow_upward:"),
    "down": ("Down", ":material/arrow_downward:"),
    "last": ("Last", ":material/vertical_align_bottom:"),
}
_FAILED = "move-failed"


def place_words(run: Run, place: tuple[int, int] | None) -> str:
    """Return e.g. 'place 2 of 4, priority 5'."""
    if place is None:
        return "waits for its turn"
    priority = run.status.get("priority", 0)
    return f"place {place[0]} of {place[1]} in its queue" + (f", priority {priority}" if priority else "")


def move(run: Run) -> None:
    """Draw the button that moves a waiting run in its queue; nothing for one that does not wait."""
    place = places().get(run.id) if run.state == "queued" else None
    if place is None:
        return
    with st.popover("Move", icon=":material/swap_vert:"):
        st.caption(f"It has {place_words(run, place)}.")
        with st.container(horizontal=True, gap="xsmall"):
            for where, (label, icon) in _MOVES.items():
                there = place[0] == 1 if where in ("first", "up") else place[0] == place[1]
                how: dict[str, Any] = {"on_click": _move, "args": (run.id, where)}
                permit.button("move", label, icon=icon, disabled=there, key=f"move-{where}", **how)
        priority = run.status.get("priority", 0)
        key = f"priority-{run.id}-{priority}"
        st.number_input(
            "Priority",
            -HIGHEST,
            HIGHEST,
            priority,
            key=key,
            **{
                "help": "Higher ones are served sooner, equal ones as they came; what runs already goes on",
                **permit.refused("move"),
            },
            on_change=_prioritise,
            args=(run.id, key),
        )
        frame.say_refusal(_FAILED)


def _move(run_id: str, where: str) -> None:
    with frame.refusing(_FAILED):  # it may have got its device just now
        move_run(run_id, where)


def _prioritise(run_id: str, key: str) -> None:
    with frame.refusing(_FAILED):
        set_priority(run_id, st.session_state[key])
