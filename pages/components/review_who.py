"""Who reviews: the login where there is one, else a name that is chosen once and kept for the session."""

import streamlit as st

from sgm_core import access
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.review.kinds import check_reviewer

_NAME = "reviewer-name"


def logged_in() -> str | None:
    """Return the name of who is logged in, None where the server asks for no login."""
    who = access.person()
    return who.name if who.login else None


def current() -> str | None:
    """Return the reviewer's name, None while there is none."""
    return logged_in() or st.session_state.get(_NAME)


def shown(name: str) -> None:
    """Show who reviews; without a login somebody else may take over."""
    st.markdown(f":material/person: **{escape(name)}**", width="content")
    if logged_in() is None:
        st.button("Somebody else", type="tertiary", key="review-leave", on_click=_leave)


def ask(known: list[str]) -> None:
    """Ask for the reviewer's name.

    Parameters
    ----------
    known
        Reviewers so far, to choose from.
    """
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        st.markdown("**Who are you?**", width="content")
        st.selectbox(
            "Your name", known, index=None, accept_new_options=True, key="review-name", width=260,
            label_visibility="collapsed", placeholder="Type your name, press Enter", filter_mode="contains",
            on_change=_take,
        )  # fmt: skip
        st.caption("Kept with each verdict; until then you can only look.", width="content")
    if problem := st.session_state.pop("review-name-problem", None):
        st.warning(escape(problem), icon=":material/info:")


def _take() -> None:
    try:
        st.session_state[_NAME] = check_reviewer(str(st.session_state.get("review-name") or ""))
    except InputError as error:
        st.session_state["review-name-problem"] = str(error)


def _leave() -> None:
    st.session_state.pop(_NAME, None)
