"""Questions about the selected cells: what they are, what they express, what a model hid in them."""

import numpy as np
import streamlit as st

from pages.components import (
    questions_composition,
    questions_differential,
    questions_genes,
    questions_masks,
)
from sgm_core.cells.dataset import Dataset
from sgm_core.runs.store import Run

_QUESTIONS = {
    "composition": "What are they?",
    "differential": "Which genes differ?",
    "genes": "How much of a gene?",
    "masks": "Which genes are hidden?",
}


def panel(
    dataset: Dataset, run: Run | None, model: tuple[str, str] | None, selected: np.ndarray, name: str
) -> None:
    """Show the questions about a selection, and the answer to one of them.

    Parameters
    ----------
    dataset
        The cells.
    run
        The run in view, for its masks.
    model
        Arm and scheme in view.
    selected
        Bool (n_cells,).
    name
        What the selection is called.
    """
    if not selected.any():
        st.caption("No cell is selected: there is nothing to ask about yet.")
        return
    question = st.segmented_control(
        "Question about the selected cells", list(_QUESTIONS), default="composition",
        format_func=_QUESTIONS.__getitem__, key="ask", bind="query-params", required=True,
    )  # fmt: skip
    if question == "composition":
        questions_composition.draw(dataset, selected)
    elif question == "differential":
        questions_differential.draw(dataset, selected, name)
    elif question == "genes":
        questions_genes.draw(dataset, selected, name)
    else:
        questions_masks.draw(dataset, run, model, selected)
