"""Genes on their way from one page to another: into the controls of that page, before it draws them."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException

from pages.components import state

CELLS, MASKED = "pages/cells.py", "pages/masked_genes.py"
MOST_MARKED = 100
_SENT = "sent"


def send(page: str, controls: dict[str, tuple[Any, Any]]) -> None:
    """Open a page with values in its controls.

    Parameters
    ----------
    page
        The page, e.g. ``pages/cells.py``.
    controls
        For each control's key its value, and the text that the link holds for it.
    """
    st.session_state[_SENT] = (page, controls)
    state.go(page)


def take(url_path: str) -> None:
    """Put what was sent to a page into its controls and its link; call it before they are drawn.

    Parameters
    ----------
    url_path
        The page's part of the link, ``cells``; empty for the first page.
    """
    sent = st.session_state.get(_SENT)
    if sent is None or Path(sent[0]).stem != (url_path or "home"):
        return
    del st.session_state[_SENT]
    for key, (value, text) in sent[1].items():
        st.session_state[key] = value
        with suppress(StreamlitAPIException):  # a control that the page has already drawn brings its own
            st.query_params[key] = text


def on_the_map(genes: Sequence[str]) -> None:
    """Open the page Cells with the first map coloured by the score of a list of genes."""
    from pages.components.cells_panes import PASTED, SCORED
    from sgm_core.analysis.cell_values import SCORE

    text = " ".join(genes)
    send(CELLS, {"colour": (SCORE, SCORED), "setfrom": (PASTED, PASTED), "setgenes": (text, text)})


def among_masked(genes: Sequence[str], arm: str = "") -> None:
    """Open the page Masked genes with a list of genes marked, looking at `arm`."""
    from sgm_core.figures.palette import arm_name

    first = list(genes)[:MOST_MARKED]
    controls: dict[str, tuple[Any, Any]] = {"marked": (first, first)}
    if arm:
        controls["arm"] = (arm, arm_name(arm))
    send(MASKED, controls)
