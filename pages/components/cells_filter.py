"""Select cells by their labels and by a value, without drawing."""

import hashlib

import numpy as np
import streamlit as st

from pages.components import frame, words
from pages.components.cells_selection import Selecting
from pages.components.cells_values import grouping_columns
from pages.components.kept import everything
from sgm_core.analysis.cell_values import NO_LABEL, Labels
from sgm_core.analysis.selection_steps import ADD, KEEP, REPLACE, SUBTRACT, Levels, Range, Step
from sgm_core.escape import escape

MODES = {
    REPLACE: "New selection",
    ADD: "Add to it",
    KEEP: "Keep only these",
    SUBTRACT: "Take out",
}
_MOST_COLUMNS = 12
_MANY_LEVELS = 8


@st.fragment
def by_labels(state: Selecting) -> None:
    """Choose labels of any columns; a cell must have one of the chosen labels in each column."""
    with frame.guard():
        _by_labels(state)


def _by_labels(state: Selecting) -> None:
    st.caption("A cell is selected if it has one of the chosen labels in every column where you choose any.")
    conditions = []
    columns = _telling(state)[:_MOST_COLUMNS]
    places = st.columns(min(3, len(columns)), gap="small")
    for i, column in enumerate(columns):
        source = f"obs:{column}"
        labels = state.values.labels(source)
        counts = _counts(labels)
        with places[i % len(places)]:
            chosen = st.multiselect(
                words.column(column), list(counts), placeholder="Any",
                key=f"filter-{state.dataset.content_hash[:8]}-{i}",
                format_func=lambda level, counts=counts: f"{level} ({counts[level]:,})",
            )  # fmt: skip
        if chosen:
            conditions.append((source, tuple(chosen)))
    _apply(state, "labels", lambda mode: Levels(tuple(conditions), mode) if conditions else None)


@st.fragment
def by_value(state: Selecting, numbers: dict[str, str]) -> None:
    """Choose a range of a number: a column, or what a map is coloured by.

    Parameters
    ----------
    numbers
        Sources of numbers with their words.
    """
    with frame.guard():
        _by_value(state, numbers)


def _by_value(state: Selecting, numbers: dict[str, str]) -> None:
    if not numbers:
        st.caption("These cells have no numbers. Colour a map by a gene to select by its expression.")
        return
    source = st.selectbox(
        "Value", list(numbers), format_func=lambda each: numbers[each], key="threshold-source"
    )
    values = state.values.numbers(source)
    finite = values[np.isfinite(values)]
    if not finite.size:
        st.caption("No cell has this value.")
        return
    low, high = float(finite.min()), float(finite.max())
    token = hashlib.sha256(source.encode()).hexdigest()[:8]  # a name from a file is no key
    st.caption(f"From {_short(low)} to {_short(high)}, median {_short(float(np.median(finite)))}.")
    with st.container(horizontal=True):
        least = st.number_input("At least", value=None, placeholder="any", key=f"least-{token}", format="%g")
        most = st.number_input("At most", value=None, placeholder="any", key=f"most-{token}", format="%g")
    given = least is not None or most is not None
    _apply(state, "value", lambda mode: Range(source, least, most, mode) if given else None)


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def _telling(state: Selecting) -> list[str]:
    """Return the columns to choose from; another name of each donor (a sample, an accession) is left out."""

    def find() -> list[str]:
        found: list[tuple[str, Labels]] = []
        for column in grouping_columns(state.dataset):
            labels = state.values.labels(f"obs:{column}")
            if not any(_alike(labels, other) for _, other in found):
                found.append((column, labels))
        return [column for column, _ in found]

    return everything.get(("telling columns", str(state.dataset.path)), state.dataset.content_hash, find)


def _alike(one: Labels, other: Labels) -> bool:
    if len(one.levels) != len(other.levels) or len(one.levels) < _MANY_LEVELS:
        return False
    width = len(one.levels) + 1
    pairs = np.bincount((one.codes + 1).astype(np.int64) * width + other.codes + 1)
    return int((pairs > 0).sum()) <= width


def _counts(labels: Labels) -> dict[str, int]:
    counts = [int(n) for n in labels.counts()]
    return dict(zip(labels.levels, counts)) | ({NO_LABEL: counts[-1]} if counts[-1] else {})


def _apply(state: Selecting, name: str, make) -> None:
    """Say how many cells it would be and offer to select them."""
    mode = REPLACE
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if state.history.steps:
            mode = st.segmented_control(
                "With what is selected", list(MODES), default=REPLACE, format_func=MODES.__getitem__,
                key=f"mode-{name}", required=True,
            )  # fmt: skip
        step: Step | None = make(mode)
        n = state.count(step) if step is not None else 0
        label = f"Select {words.count(n, 'cell')}" if step is not None else "Select"
        if st.button(label, type="primary", key=f"select-{name}", disabled=not n):
            state.do(step)
            st.rerun()
        if step is not None and not n:
            st.caption(escape("No cell has all of these."))
