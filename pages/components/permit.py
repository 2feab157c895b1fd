"""Buttons of actions that a role may not be allowed: they stay, disabled, and say why.

The engine refuses such an action whatever a page draws (`sgm_core.access.acts`).
"""

from typing import Any

import streamlit as st

from sgm_core import access


def button(action: str, label: str, **options: Any) -> bool:
    """Draw `st.button`, disabled with the reason where who looks may not do the action."""
    return st.button(label, **(options | refused(action)))


def refused(action: str) -> dict[str, Any]:
    """Return the options of a control that is disabled, with the reason; none where it is allowed."""
    reason = access.why_not(action)
    return {"disabled": True, "help": f"{reason[:1].upper()}{reason[1:]}."} if reason else {}


def note(action: str) -> None:
    """Say on the page why an action is not to be had; nothing where it is."""
    if reason := access.why_not(action):
        st.caption(f":material/lock: {reason[:1].upper()}{reason[1:]}.")
