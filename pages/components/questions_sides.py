"""Which cells a comparison is between: the selection, and what it is held against."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from pages.components import questions_columns, words
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.selections import list_selections
from sgm_core.errors import InputError

REST, GROUP, SPLIT, SAVED = "rest", "group", "split", "saved"
_AGAINST = {
    REST: "All other cells",
    GROUP: "Another group of cells",
    SPLIT: "Two groups of these cells",
    SAVED: "A saved selection",
}
_FILTERS = 2


@dataclass(frozen=True)
class Sides:
    """Two groups of cells (n_cells,) bool, without a cell in both, and what they are called."""

    a: np.ndarray
    b: np.ndarray
    name_a: str
    name_b: str
    shared: int


def choose(dataset: Dataset, selected: np.ndarray, name: str) -> Sides | None:
    """Draw the controls; returns the sides, or None while something is not chosen yet."""
    saved = list_selections(dataset)
    options = [way for way in _AGAINST if way != SAVED or saved]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        against = st.selectbox(
            "Selected cells (A) against (B)", options, format_func=_AGAINST.__getitem__,
            key="de-against", bind="query-params", width=230,
        )  # fmt: skip
        if against == SPLIT:
            return _split(dataset, selected, name)
        if against == REST:
            return _sides(selected, ~selected, name, "all other cells")
        if against == SAVED:
            names = [each.name for each in saved]
            chosen = st.selectbox("Saved selection", names, key="de-saved", bind="query-params")
            rows = next(each for each in saved if each.name == chosen).rows()
            other = np.zeros(dataset.n_cells, dtype=bool)
            other[rows] = True
            return _sides(selected, other, name, str(chosen))
        return _group(dataset, selected, name)


def _sides(a: np.ndarray, b: np.ndarray, name_a: str, name_b: str) -> Sides:
    """Leave out of B what is in A too."""
    shared = int((a & b).sum())
    return Sides(a, b & ~a, name_a, name_b, shared)


def _split(dataset: Dataset, selected: np.ndarray, name: str) -> Sides | None:
    columns = _columns_within(dataset, selected)
    if not columns:
        raise InputError(
            "the selected cells don't differ in any column: choose another group to compare with"
        )
    column = st.selectbox(
        "Split by", columns, format_func=words.plain_column, key="de-split-by", bind="query-params", width=200
    )
    codes = questions_columns.values(dataset, column)
    sizes = np.bincount(codes.codes[selected & (codes.codes >= 0)], minlength=len(codes.categories))
    levels = [str(codes.categories[number]) for number in np.argsort(-sizes, kind="stable") if sizes[number]]
    first = st.selectbox("A", levels, key="de-split-a", bind="query-params", width=190)
    others = [level for level in levels if level != first]
    second = st.selectbox("B", others, key="de-split-b", bind="query-params", width=190)
    if first is None or second is None:
        return None
    a, b = (selected & (codes == level) for level in (first, second))
    return _sides(a, b, f"{name}, {first}", f"{name}, {second}")


def _columns_within(dataset: Dataset, selected: np.ndarray) -> list[str]:
    """Return the columns in which the selected cells differ, those that tell donors apart first."""
    found = {}
    for column in dataset.grouping_columns():
        codes = questions_columns.values(dataset, column).codes[selected]
        levels = int((np.bincount(codes[codes >= 0]) > 0).sum()) if (codes >= 0).any() else 0
        if levels > 1:
            found[column] = levels
    of_donors = questions_columns.of_donors(dataset)
    return sorted(found, key=lambda column: (column not in of_donors, found[column]))


def _group(dataset: Dataset, selected: np.ndarray, name: str) -> Sides | None:
    """Filter by up to two columns; the second one starts with the cell type that most selected cells have."""
    columns = dataset.grouping_columns()
    apart = [column for column in columns if column != dataset.cell_type_column]
    starts = [*questions_columns.of_donors(dataset), *apart, *columns][:1], [dataset.cell_type_column]
    other, chosen_words = np.ones(dataset.n_cells, dtype=bool), []
    for number, start in zip(range(_FILTERS), starts):
        options: list[str | None] = [*columns] if number == 0 else [None, *columns]
        column = st.selectbox(
            "B: cells whose" if number == 0 else "and whose", options, options.index(start[0]),
            format_func=lambda each: words.plain_column(each) if each else "nothing more",
            key=f"de-by-{number}", bind="query-params", width=180,
        )  # fmt: skip
        if column is None:
            continue
        levels = questions_columns.levels(dataset, column)
        chosen = st.multiselect(
            "is", levels, _first_level(dataset, selected, column, levels, number == 1),
            key=f"de-is-{number}-{columns.index(column)}-{dataset.content_hash[:6]}",
            bind="query-params", width=230,
        )  # fmt: skip
        if not chosen:
            return None
        other &= np.isin(questions_columns.values(dataset, column), chosen)
        chosen_words.append(" or ".join(chosen))
    return _sides(selected, other, name, ", ".join(reversed(chosen_words)))


def _first_level(
    dataset: Dataset, selected: np.ndarray, column: str, levels: list[str], same: bool
) -> list[str]:
    """Return the level that most selected cells have, or the one that most others have instead."""
    codes = questions_columns.values(dataset, column)
    mine = np.bincount(codes.codes[selected & (codes.codes >= 0)], minlength=len(codes.categories))
    main = str(codes.categories[int(mine.argmax())])
    if same:
        return [main]
    return [level for level in levels if level != main][:1]
