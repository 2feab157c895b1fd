"""Who looks at the dashboard: whoever uses this machine, or who has logged in where a login is configured.

The engine asks here who acts (`sgm_core.access`). `gate` keeps out who may see nothing.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from sgm_core import access
from sgm_core.access import OPERATOR, Person
from sgm_core.errors import InputError, SGMError
from sgm_core.escape import escape

MISSING = "Login needs the package Authlib, which is not installed: pip install 'sgm-core[login]'"
NOBODY = Person("nobody", access.NOBODY)


def person() -> Person:
    """Return who acts in this thread; nobody in one of no session, where there is a login.

    Raises
    ------
    InputError
        If the configuration names roles and there is no login, or it can't be read.
    """
    if get_script_run_ctx(suppress_warning=True) is None:
        return NOBODY if wanted() else access.local_person()
    return person_with(st.user.to_dict())


def person_with(claims: Mapping[str, Any]) -> Person:
    """Return who it is of whom `st.user` says this; raises as `person` does."""
    if "is_logged_in" in claims:
        return access.person_of(claims)
    if access.read_access() is not None:
        raise InputError(
            "The configuration names who may do what, and there is no login to tell people apart: add the "
            "section [auth] to the secrets (README, For a group), or take [access] out of config.toml"
        )
    return access.local_person()


def wanted() -> bool:
    """Say whether a login is configured: the section ``[auth]`` of Streamlit's secrets."""
    try:
        return "auth" in st.secrets
    except (FileNotFoundError, st.errors.StreamlitAPIException):
        return False


def gate() -> bool:
    """Say whether the person may see anything; draw the login or the reason where they may not."""
    try:
        who = person()
    except SGMError as error:
        st.error(escape(error), icon=":material/lock:")
        return False
    if who.role != access.NOBODY:
        return True
    st.title("SGM", anchor=False)
    if st.user.to_dict().get("is_logged_in") is True:
        st.markdown(
            f"You are logged in as **{escape(who.name)}**, and this dashboard is not open to you: ask who "
            "runs it to add your address to its configuration."
        )
        st.button("Log out", icon=":material/logout:", on_click=st.logout)
    elif importlib.util.find_spec("authlib") is None:
        st.error(f"{MISSING}.", icon=":material/lock:")
    else:
        st.markdown("This dashboard shows data of patients to people who have been admitted.")
        for provider, label in _providers():
            st.button(label, type="primary", icon=":material/login:", key=f"login-{provider}",
                      on_click=st.login, args=(provider,) if provider else ())  # fmt: skip
    return False


def inside() -> bool:
    """Say whether the person may see anything."""
    try:
        return person().role != access.NOBODY
    except SGMError:
        return False


def check() -> None:
    """Refuse to draw for who may see nothing (any more): a part of a page draws itself again without `gate`.

    Raises
    ------
    Forbidden
        If the person may not.
    """
    if person().role == access.NOBODY:
        raise access.Forbidden("You are not admitted to this dashboard (any more): load the page again.")


def runs_it() -> bool:
    """Say whether the person logged in as an operator, who may see what others did."""
    try:
        who = person()
    except SGMError:
        return False
    return who.login and who.role == OPERATOR


def shown() -> None:
    """Show in the sidebar who is logged in, with the role and the way out; nothing without a login."""
    who = person()
    if not who.login:
        return
    with st.sidebar:
        st.caption(f":material/person: {escape(who.name)}, {who.role}")
        st.button("Log out", icon=":material/logout:", type="tertiary", key="logout", on_click=st.logout)


def _providers() -> list[tuple[str, str]]:
    """Return the providers that the secrets name, each with the label of its button."""
    section = st.secrets["auth"] if wanted() else {}
    named = [name for name in section if hasattr(section[name], "keys")]
    return [(name, f"Log in with {name}") for name in named] or [("", "Log in")]


access.identify_by(person)
