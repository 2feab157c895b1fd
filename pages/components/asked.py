"""A question that a worker answers: how far it is, how it ended, and the buttons for both."""

import streamlit as st

from pages.components import frame, permit, run_facts
from sgm_core.escape import escape
from sgm_core.runs.launch import launch
from sgm_core.runs.store import ACTIVE, Run, cancel_run


@st.fragment(run_every=2)
def wait(run: Run, key: str) -> None:
    """Show how far it is; when it ends, draw the whole page again."""
    with frame.guard():
        if run.state not in ACTIVE:
            st.rerun()
        run_facts.progress_bar(run)
        if permit.button("cancel", "Cancel", key=f"cancel-{key}"):
            cancel_run(run.id)
            st.rerun()


def ended(run: Run, key: str, what: str) -> None:
    """Say why there is no answer, and offer to try again.

    Parameters
    ----------
    what
        What it was, to begin a sentence: ``The comparison``.
    """
    status = run.status
    reason = f": {escape(status['error'])}" if status.get("error") else ""
    st.warning(f"{what} {frame.STATES[status['state']][0].lower()}{reason}.", icon=":material/error:")
    with st.container(horizontal=True):
        if permit.button("launch", "Try again", key=f"again-{key}"):
            launch(run)
            st.rerun()
    with st.expander("Log"):
        st.code(run.log_tail(30), None)
