"""The frame of every page: context bar, title, answer line, empty state, and the guard against tracebacks.

A page begins with ``context = frame.page("Compare")`` and says its finding with ``frame.answer("...")``.
What it lacks it says with ``frame.empty("No comparison yet.", "Start one", "pages/new_run.py")``, which
ends the page. `app.py` draws the context bar and puts the guard around each page; a fragment that runs by
itself wraps its body in ``with frame.guard():`` too. Another page, with another run in view if wanted,
opens by ``if st.button(...): state.go("pages/compare.py", run=run.id)``. A page's own controls are part of
the link with ``key="..."`` and ``bind="query-params"``.
"""

import logging
import runpy
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import streamlit as st

from pages.components import confidence as sure
from pages.components import login, notices, state, words
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.runs.states import LATEST
from sgm_core.runs.store import ACTIVE, Run

_APP = Path(__file__).resolve().parents[2] / "app.py"
_FRAMED = "framed"
_BADGE_WIDTH = 95
# The toolbar of Streamlit's tables writes CSV as it is, formulas too, and no option takes that button away;
# the CSV button under each table (`show.table`) writes what no spreadsheet runs.
_NO_RAW_CSV = """<style>
[data-testid="stElementToolbarButton"]:has(button[aria-label^="Download as CSV"]) { display: none; }
</style>"""
_LOG = logging.getLogger("sgm.pages")
# Word, colour and shape: the state is never told by colour alone.
STATES = {
    "queued": ("Queued", "gray", ":material/schedule:"),
    "running": ("Running", "blue", ":material/play_circle:"),
    "paused": ("Paused", "gray", ":material/pause_circle:"),
    "done": ("Done", "green", ":material/check_circle:"),
    "failed": ("Failed", "red", ":material/error:"),
    "cancelled": ("Cancelled", "gray", ":material/cancel:"),
    "lost": ("Lost", "orange", ":material/help:"),
}


@dataclass(frozen=True)
class Context:
    """What the person looks at, the same on every page."""

    dataset: Dataset | None
    run: Run | None
    colour_blind: bool


def page(title: str, badge: bool = True) -> Context:
    """Begin a page: its title, and a badge if the data are simulated; returns what is in view.

    Parameters
    ----------
    title
        Its title.
    badge
        Whether the page is about the dataset in view, whose badge it then bears.
    """
    if not st.session_state.pop(_FRAMED, False):
        # The first visitor of a fresh server came by a link to this page. Until Streamlit has once seen
        # st.navigation it takes ``pages`` for a folder of its old kind, and runs the page without app.py.
        runpy.run_path(str(_APP))
        st.stop()
    context = current()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title, anchor=False, width="content")
        if badge and context.dataset is not None and context.dataset.simulated:
            simulated_badge()
    return context


def current() -> Context:
    """Return what is in view."""
    dataset = state.current_dataset()
    return Context(dataset, state.current_run(dataset), bool(st.session_state.get(state.SAFE_COLOURS)))


def answer(text: str, confidence: str | None = None) -> None:
    """Say the page's finding: one sentence with numbers, computed from what is shown.

    Parameters
    ----------
    text
        Markdown; names in it are escaped (`sgm_core.escape`).
    confidence
        ``proven``, ``undecided``, ``described`` or ``chance``, shown as word and mark before the sentence;
        None where the sentence only counts.
    """
    help_text = sure.MEANING if confidence else None
    st.markdown(f"##### {sure.mark(confidence)}{text}", help=help_text)


def empty(what_is_missing: str, action_label: str, page: str) -> NoReturn:
    """Say what is missing and offer the button that makes it; ends the page (raises Streamlit's stop)."""
    with st.container(border=True):
        st.markdown(what_is_missing)
        if st.button(action_label, type="primary", key=f"empty-{page}"):
            state.go(page)
    st.stop()


def need_counts(dataset: Dataset, what: str) -> None:
    """End the page, with the way to what can be shown, if the dataset has coordinates and labels only.

    Parameters
    ----------
    what
        What needs counts, to begin a sentence: ``A run``.
    """
    if not dataset.has_counts:
        empty(
            f"{escape(dataset.name)} holds coordinates and labels only. {what} needs counts: import a file "
            "that has them. The map of its cells is on the page Cells.",
            "Look at its cells",
            "pages/cells.py",
        )


def simulated_badge() -> None:
    """Mark what comes from the simulator."""
    st.badge(
        "SIMULATED",
        icon=":material/science:",
        color="orange",
        help="These cells come from a seeded simulator, not from patients. They show how the pages work.",
    )


def run_badge(run: Run) -> None:
    """Show a run's state as dot and word."""
    word, colour, icon = STATES[run.state]
    st.badge(word, icon=icon, color=colour)  # type: ignore[arg-type]


def context_bar() -> None:
    """Draw the bar with dataset, run and palette; they are part of the link and kept across pages."""
    st.session_state[_FRAMED] = True
    st.html(_NO_RAW_CSV)
    if st.query_params.get(state.RUN) == LATEST and (newest := next(iter(state.runs()), None)):
        state.choose(run=newest.id)
    state.apply_choice()
    with st.sidebar:  # on every page, so that a run's end is told on any
        notices.bell()
    datasets = state.datasets()
    names = [dataset.name for dataset in datasets]
    settle(state.DATASET, names, lambda: state.preferred_dataset(datasets))
    with st.container(horizontal=True, vertical_alignment="center", key="context-bar"):
        name = st.selectbox(
            "Dataset",
            names,
            index=None,
            key=state.DATASET,
            bind="query-params",
            required=True,
            placeholder="No dataset yet",
            icon=":material/database:",
            label_visibility="collapsed",
            width=150,
        )
        runs = state.runs(name) if name else []
        ids = [run.id for run in runs]
        labels = {run.id: words.run_label(run) for run in runs}
        settle(state.RUN, ids, lambda: state.preferred_run(runs))
        chosen = st.selectbox(
            "Run",
            ids,
            index=None,
            key=state.RUN,
            format_func=lambda each: labels.get(each, each),
            required=True,
            placeholder="No run yet",
            icon=":material/experiment:",
            label_visibility="collapsed",
            width=345,
        )
        # Bound to the link, the selector would put its label there; the link holds what stays: the ID.
        if chosen and st.query_params.get(state.RUN) != chosen:
            st.query_params[state.RUN] = chosen
        run = next((run for run in runs if run.id == chosen), None)
        if run is not None:
            with st.container(width=_BADGE_WIDTH):
                _live_badge(run) if run.state in ACTIVE else run_badge(run)
        st.space("stretch")
        st.toggle(
            "Colour-blind palette",
            key=state.SAFE_COLOURS,
            bind="query-params",
            help="Draw with colours that every common colour vision tells apart, whatever the file brings.",
        )


def settle(key: str, options: list[str], preferred: Callable[[], str | None]) -> None:
    """Give `key` a value that exists before its selector is drawn; a first visit puts it in the link too."""
    first_visit = key not in st.session_state
    value = st.query_params.get(key) if first_visit else st.session_state[key]
    if value in options:
        st.session_state[key] = value
        return
    value = preferred()
    if first_visit and value is not None:
        st.query_params[key] = value
    st.session_state[key] = value


@st.fragment(run_every=3)
def _live_badge(run: Run) -> None:
    """Show the state of an unfinished run; when it ends, draw the whole page again with its results."""
    with guard():
        run_badge(run)
        if run.state not in ACTIVE:
            st.rerun()


def refusal(error: SGMError) -> None:
    """Say what a person can mend; the message may hold names from a file."""
    st.error(escape(error), icon=":material/info:")


@contextmanager
def refusing(key: str) -> Iterator[None]:
    """Keep a refusal in a callback for `say_refusal`, which shows it when the page is drawn."""
    try:
        yield
    except SGMError as error:
        st.session_state[key] = error


def say_refusal(key: str) -> None:
    """Show a refusal that `refusing` kept, once."""
    if key in st.session_state:
        refusal(st.session_state.pop(key))


@contextmanager
def guard() -> Iterator[None]:
    """Show a plain message in place of what failed; the traceback goes to the server's log only."""
    try:
        login.check()
        yield
    except SGMError as error:
        refusal(error)
    except Exception as error:
        _LOG.exception("a page failed")
        last = traceback.extract_tb(error.__traceback__)[-1]
        st.error(
            "Sorry, this part of the page could not be drawn. Nothing that is stored was changed: try again, "
            "choose another run, or report it with the lines below.",
            icon=":material/sentiment_dissatisfied:",
        )
        with st.expander("Log"):
            st.code(f"{type(error).__name__}: {error}\nin {last.name}, {last.filename}:{last.lineno}", None)
