"""The guided tour over the finished demo: eight steps, on top of whatever page is open."""

from pathlib import Path

import streamlit as st

from pages.components import frame, handover, permit, run_facts, state, tables
from pages.components.tour_texts import STEPS, Step
from sgm_core import demo_session
from sgm_core.cells.dataset import Dataset
from sgm_core.demo import NAME
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.runs.store import ACTIVE, Run

LINK = "tour"
_STEP, _ASKED = "tour-step", "tour-asked"


def subject() -> tuple[Dataset, Run] | None:
    """Return the simulated dataset and the comparison of the tour, a finished one before others."""
    simulated = [dataset for dataset in state.datasets() if dataset.simulated and dataset.has_donors]
    for dataset in sorted(simulated, key=lambda each: each.name != NAME):
        found = state.runs(dataset.name, kinds=("compare",))
        done = [run for run in found if run.state == "done"]
        if done or found:
            return dataset, (done or found)[0]
    return None


def step() -> int | None:
    """Return the step that the person is at (from 1), None when the tour is not on."""
    if _ASKED not in st.session_state:  # a first visit: by a link to a step, or to a demo session
        st.session_state[_ASKED] = True
        asked = st.query_params.get(LINK, "1" if demo_session.is_session() else "")
        if asked.isdigit() and 1 <= int(asked) <= len(STEPS):
            st.session_state[_STEP] = int(asked)
    return st.session_state.get(_STEP)


def go_to(number: int) -> None:
    """Open the page of a step, with its controls set and the demo in view."""
    about = subject()
    if about is None:
        return
    dataset, run = about
    st.session_state[_STEP] = number
    state.choose(dataset.name, run.id)
    handover.send(STEPS[number - 1].page, STEPS[number - 1].controls(run))


def leave() -> None:
    """End the tour; the page stays as it is."""
    st.session_state.pop(_STEP, None)
    st.query_params.pop(LINK, None)


def start_button(label: str = "Start the tour") -> None:
    """Offer the tour where there is a demo to show, and say how many steps it has."""
    if subject() is None or st.session_state.get(_STEP) is not None:
        return
    if st.button(
        label, icon=":material/tour:", key="tour-start", help=f"{len(STEPS)} steps over the simulated demo"
    ):
        go_to(1)


def draw(url_path: str) -> None:
    """Draw the box of the tour above the page, if the person is on it.

    Parameters
    ----------
    url_path
        Of the page that is open; empty for the first page.
    """
    number = step()
    about = subject() if number is not None else None
    if number is None or about is None:
        st.query_params.pop(LINK, None)
        return
    st.query_params[LINK] = str(number)
    dataset, run = about
    here = STEPS[number - 1]
    there = Path(here.page).stem == (url_path or "home")
    in_view = frame.current()
    looks = in_view.dataset is not None and in_view.dataset.name == dataset.name
    looks = looks and in_view.run is not None and in_view.run.id == run.id
    with st.container(border=True, key="tour"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f":material/tour: **Tour {number} of {len(STEPS)} · {here.title}**", width="content")
            frame.simulated_badge()
        if there and looks:
            _say(here, dataset, run)
        else:
            where = Path(here.page).stem.replace("_", " ").capitalize()
            what = "" if looks else f", with {escape(dataset.name)} (simulated) in view"
            st.markdown(f"The tour waits on the page {where}{what}.")
        _buttons(number, there and looks)


def _say(here: Step, dataset: Dataset, run: Run) -> None:
    """Say what the step shows; while the run is under way, what the step waits for."""
    if here.table and not tables.exists(run, here.table):
        if run.state in ACTIVE:
            run_facts.progress_bar(run)
        st.markdown(
            "The demo's analysis has not come so far yet: this step speaks when its numbers are there. "
            "Go on, and come back."
            if run.state in ACTIVE
            else f"The demo's analysis ended ({frame.STATES[run.state][0].lower()}) before this step: "
            "resume it on the page Runs."
        )
        return
    with frame.guard():
        for paragraph in here.say(dataset, run):
            st.markdown(paragraph)


def _buttons(number: int, here: bool) -> None:
    with st.container(horizontal=True):
        if not here and st.button(
            "Go there", type="primary", icon=":material/arrow_forward:", key="tour-return"
        ):
            go_to(number)
        if st.button("Back", disabled=number == 1, icon=":material/chevron_left:", key="tour-back"):
            go_to(number - 1)
        last = number == len(STEPS)
        if not last and st.button(
            "Next", type="primary" if here else "secondary", icon=":material/chevron_right:", key="tour-next"
        ):
            go_to(number + 1)
        st.button("Finish" if last else "Leave the tour", type="tertiary", on_click=leave, key="tour-leave")
        if demo_session.is_session() and permit.button(
            "start the demo over", "Start over", type="tertiary", icon=":material/restart_alt:",
            key="tour-reset",
            help="Puts the demo back as it was at first: selections, further runs and corrections go",
        ):  # fmt: skip
            _start_over()


def _start_over() -> None:
    """Put the demo session back to its clean state, and begin again."""
    try:
        demo_session.reset()
    except SGMError as error:
        frame.refusal(error)
        return
    for key in list(st.session_state):
        del st.session_state[key]
    st.session_state[_ASKED] = True
    go_to(1)
