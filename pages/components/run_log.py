"""The log of a run: its end, or the lines that have something in them."""

import streamlit as st

from pages.components import frame, words
from sgm_core.escape import escape
from sgm_core.runs.log import search_log
from sgm_core.runs.store import ACTIVE, Run

_LINES = 200


def log(runs: list[Run]) -> None:
    """Draw a log behind an expander, open where the run failed; while the run goes on it grows."""
    names = {run.id: words.run_label(run) for run in runs}
    with st.expander("Log", expanded=len(runs) == 1 and runs[0].state == "failed"):
        run_id = runs[0].id
        with st.container(horizontal=True):
            if len(runs) > 1:
                run_id = st.selectbox(
                    "Log of", list(names), format_func=names.__getitem__, label_visibility="collapsed"
                )
            wanted = st.text_input(
                "Search the log",
                key=f"log-search-{run_id}",
                placeholder="Search the log",
                icon=":material/search:",
                label_visibility="collapsed",
            )
        run = next(run for run in runs if run.id == run_id)
        st.fragment(_lines, run_every=3 if run.state in ACTIVE else None)(run, wanted)


def _lines(run: Run, wanted: str) -> None:
    with frame.guard():
        if not wanted:
            st.code(run.log_tail(_LINES) or "Nothing yet.", None, height=260)
            return
        found = search_log(run, wanted, _LINES)
        if not found.n_fit:
            lines = words.count(found.n_lines, "line")
            st.caption(f"None of its {lines} has “{escape(wanted)}” in it.")
            return
        last = f", the last {_LINES} of them below" if found.n_fit > _LINES else ""
        st.caption(f"{found.n_fit:,} of {words.count(found.n_lines, 'line')}{last}")
        st.code("\n".join(found.lines), None, height=260)
