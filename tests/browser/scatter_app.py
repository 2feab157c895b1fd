"""The page of `test_scatter_in_browser`: two linked maps of the same cells, and what was done on them."""

import json
import sys
from pathlib import Path

import numpy as np
import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pages.components.scatter import Colours, Points, scatter
from sgm_core.analysis.selection import points_in_polygon

N = 20_000
HOSTILE = "<img src=x onerror=alert(1)>"


def cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and the type of two round clouds, left (0) and right (1), and a few cells between."""
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1, 2], [N // 2, N // 2 - 10, 10]).astype(np.uint8)
    xy = np.array([[-10.0, 0.0], [10.0, 0.0], [0.0, 0.0]])[kind] + np.clip(rng.normal(0, 1, (N, 2)), -3, 3)
    return xy[:, 0].astype(np.float32), xy[:, 1].astype(np.float32), kind


if __name__ == "__main__":
    st.set_page_config(layout="wide")
    if st.checkbox("Away"):
        st.text("told {}")
        st.stop()
    x, y, kind = cells()
    by = st.radio("Colour", ["types", "number"], horizontal=True)
    types = Colours(
        kind, ["#ff0000", "#0000ff", "#00aa00"], ["Left", "Right", HOSTILE], [N // 2, N // 2 - 10, 10],
        title="Type",
    )  # fmt: skip
    ramp = [f"#{code:02x}{code:02x}00" for code in range(255)] + ["#ff00ff"]
    number = np.where(kind == 2, 255, 254 * (kind == 1)).astype(np.uint8)
    scale = Colours(number, ramp, low=-1.0, high=3.0, title="Score", missing=255)
    points, order = Points(x, y, np.arange(N), "first"), np.arange(N)[::-1]
    mirrored = Points(-x[order], y[order], order, "mirrored")
    selected = st.session_state.get("selected")
    for place, (where, rows) in enumerate(((points, slice(None)), (mirrored, order))):
        event = scatter(
            where,
            (scale if place or by == "number" else types)
            if not place
            else Colours(number[order], ramp, low=-1.0, high=3.0, title="Score", missing=255),
            key=f"map{place}",
            group="both",
            selected=None if selected is None else selected[rows],
            title=f"Map {place}",
            alt=f"Map {place} of {N:,} cells",
        )
        if event is None or event.sequence <= st.session_state.get("seen", 0):
            continue
        st.session_state.seen = event.sequence
        st.session_state.events = st.session_state.get("events", 0) + 1
        st.session_state.last = {**event.__dict__, "map": place}
        if event.polygon:
            mine = points_in_polygon(where.x, where.y, np.array(event.polygon))
            st.session_state.selected = np.zeros(N, dtype=bool)
            st.session_state.selected[where.cell[mine]] = True
        elif event.kind == "clear":
            st.session_state.selected = None
        st.rerun()
    n_selected = -1 if selected is None else int(selected.sum())
    told = {"n": n_selected, "events": st.session_state.get("events", 0)}
    st.text("told " + json.dumps({**told, "last": st.session_state.get("last")}))
