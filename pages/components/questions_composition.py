"""What the selected cells are, against all others."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.components import frame, questions_columns, show, words
from sgm_core.analysis.composition import Composition, composition, sentence
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures import composition as figures

_COLUMNS = {
    "n_selected": st.column_config.NumberColumn("Selected", format="localized"),
    "share_selected": st.column_config.NumberColumn("Share", format="percent"),
    "n_rest": st.column_config.NumberColumn("Others", format="localized"),
    "share_rest": st.column_config.NumberColumn("Share of others", format="percent"),
    "difference": st.column_config.NumberColumn("Difference", format="percent"),
    "low": st.column_config.NumberColumn("95 % low", format="percent", help="for all rows together"),
    "high": st.column_config.NumberColumn("95 % high", format="percent", help="for all rows together"),
    "ratio": st.column_config.NumberColumn("Ratio", format="%.2f", help="Share here / share elsewhere"),
}


def draw(dataset: Dataset, selected: np.ndarray) -> None:
    """Show the composition of the selection by a column."""
    columns = dataset.grouping_columns()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = st.selectbox(
            "By", columns, format_func=words.plain_column,
            index=_start(dataset, columns, selected), key="composition", bind="query-params", width=260,
        )  # fmt: skip
    what = by.replace("_", " ")
    question = "composition", by, questions_columns.digest(selected)
    found = questions_columns.once(dataset, question, lambda: _composition(dataset, by, selected))
    judged = not found.reason and found.table["share_selected"].iloc[0] < 1
    confidence = ("proven" if len(found.different) else "undecided") if judged else None
    frame.answer(f"{escape(sentence(found, what))}.", confidence)
    title = f"Selected cells by {what}"
    left, right = st.columns(2, gap="medium")
    with left:
        fig = figures.composition(found.table, title)
        show.figure(fig, "composition", found.table, alt=title, simulated=dataset.simulated)
    with right:
        shown = found.table[(found.table["n_selected"] > 0) | (found.table["n_rest"] > 0)]
        config = {"label": words.column(by), **_COLUMNS}
        order = [name for name in config if name not in ("low", "high") or not found.reason]
        height = min(460, 38 + 35 * len(shown))
        show.table(shown, f"selected-by-{by}", column_config=config, column_order=order, height=height)
        st.caption(
            "Intervals: donors resampled with all their cells, corrected for the number of rows. Where the "
            "cells were chosen by this very column, or by a map that it follows, a difference is no finding."
            if not found.reason
            else f"Counts only, no intervals: {escape(found.reason)}."
        )


def _start(dataset: Dataset, columns: list[str], selected: np.ndarray) -> int:
    """Return the first column, not the donor's, in which the selected cells differ from one another."""
    for number, column in enumerate(columns):
        if column == dataset.donor_column:
            continue
        codes = questions_columns.values(dataset, column).codes[selected]
        if (codes != codes[0]).any():
            return number
    return 0


def _composition(dataset: Dataset, by: str, selected: np.ndarray) -> Composition:
    donors: pd.Categorical | None = questions_columns.donors(dataset)
    if by == dataset.donor_column:
        return composition(
            questions_columns.values(dataset, by), selected, why="donors are what a difference is judged by"
        )
    return composition(questions_columns.values(dataset, by), selected, donors)
