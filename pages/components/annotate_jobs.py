"""Fits and annotations under way on the page Annotate, and how the last one ended."""

import streamlit as st

from pages.components import cells_background, state
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.runs.launch import launch
from sgm_core.runs.store import ACTIVE, Run, open_run

KINDS = ("model", "annotate")
STARTED = "annotate-started"


def start(run: Run) -> None:
    """Start a run in a worker, and remember it until it has ended; draws the page again."""
    launch(run)
    st.session_state[STARTED] = run.id
    st.rerun()


def ended() -> Run | None:
    """Return the run that was started here once it has ended, a single time if it is done."""
    started = st.session_state.get(STARTED)
    if started is None:
        return None
    try:
        run = open_run(started)
    except SGMError:
        run = None
    if run is None or run.state == "done":
        del st.session_state[STARTED]
    return run if run is not None and run.state not in ACTIVE else None


def watch() -> bool:
    """Draw the progress of all fits and annotations under way; returns whether there are any."""
    cells_background.news(failures=False)
    jobs = [run for run in state.runs(kinds=KINDS) if run.state in ACTIVE]
    if jobs:
        with st.container(border=True):
            cells_background.watch(jobs)
    return bool(jobs)


def failure(run: Run) -> None:
    """Say why a run ended badly, and offer its log."""
    if run.state in ("failed", "lost", "paused"):
        why = run.status.get("error") or "it ended without saying why"
        st.error(escape(f"{run.title}: {why}"), icon=":material/error:")
        with st.expander("Log"):
            st.code(run.log_tail(100) or "Nothing.", None)
