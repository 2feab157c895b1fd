"""What a run hid in the selected cells, as far as its tables tell."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.components import confidence, frame, mask_tables, questions_columns, show, tables
from sgm_core.analysis.selected_masks import SelectedMasks, selected_masks
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures import masks as figures
from sgm_core.figures.palette import arm_name
from sgm_core.runs.store import Run

_SHOWN = 500
_COLUMNS = {
    "gene": st.column_config.TextColumn("Gene", pinned=True),
    "frequency": st.column_config.NumberColumn("Hidden here", format="percent"),
    "frequency_all": st.column_config.NumberColumn("In all cells", format="percent"),
    "matched_frequency": st.column_config.NumberColumn("Equals get here", format="percent"),
    "lift": st.column_config.NumberColumn("Lift here", format="%.2f"),
    "mean_expression": st.column_config.NumberColumn("Mean expression", format="%.3f"),
    "detection": st.column_config.NumberColumn("Expressed in", format="percent"),
}


def draw(dataset: Dataset, run: Run | None, model: tuple[str, str] | None, selected: np.ndarray) -> None:
    """Show how often genes are hidden in cells of the selection's types."""
    if run is None or not tables.exists(run, "masks") or not mask_tables.arms(run):
        st.info(
            "No run with mask counts is in view: choose a comparison or a pretraining above.",
            icon=":material/info:",
        )
        return
    arms = mask_tables.arms(run)
    preferred = model[0] if model and model[0] in arms else arms[-1]
    arm = st.selectbox(
        "Arm", arms, arms.index(preferred), format_func=arm_name, key="selected-arm", bind="query-params",
        width=230,
    )  # fmt: skip
    labels = questions_columns.values(dataset, dataset.cell_type_column)
    question = "masks", *mask_tables.key(run), arm, questions_columns.digest(selected)
    found = questions_columns.once(
        dataset, question, lambda: selected_masks(_masks(run, arm), labels, selected, arm)
    )
    frame.answer(f"{escape(_sentence(found, arm))}.")
    st.caption(_what_it_is(found, dataset))
    st.caption(f"Over all cells: {confidence.masks_line(arm_name(arm), mask_tables.judge(run, arm))}")
    left, right = st.columns([3, 2], gap="medium")
    title = f"{arm_name(arm)}: mask frequency in cells of these types"
    with left:
        fig = figures.frequency_expression(found.table, title)
        show.figure(fig, "selected-masks", found.table, alt=title, simulated=dataset.simulated)
    with right:
        by = "lift" if found.table["lift"].notna().any() else "frequency"
        rows = found.table.sort_values(by, ascending=False).head(_SHOWN)
        order = list(_COLUMNS)
        show.table(rows, "selected-masks-table", column_config=_COLUMNS, column_order=order, height=470)


def _masks(run: Run, arm: str) -> pd.DataFrame:
    """Return the counts of one arm over all cells and by cell type; no others are read."""
    parts = [tables.read(run, "masks", arm=arm, by=by) for by in ("all", "cell_type")]
    return pd.concat(parts, ignore_index=True)


def _sentence(found: SelectedMasks, arm: str) -> str:
    table = found.table
    gene = table.loc[table["frequency"].idxmax()]
    text = f"{arm_name(arm)} hides {gene['gene']} most in cells of these types"
    text += f": {gene['frequency']:.1%} of the draws"
    if np.isfinite(gene["matched_frequency"]):
        text += f", genes of equal expression {gene['matched_frequency']:.1%}"
    return f"{text}, in all cells {gene['frequency_all']:.1%}"


def _what_it_is(found: SelectedMasks, dataset: Dataset) -> str:
    types = ", ".join(f"{escape(name)} {share:.0%}" for name, share in found.weights.head(4).items())
    more = f" and {len(found.weights) - 4} more" if len(found.weights) > 4 else ""
    return (
        "The run counted masks by cell type and kept none of a single cell. So these are the counts of "
        f"{types}{more}, weighted by how many of the selected cells are of each; they cover "
        f"{found.covered:.0%} of the selection. Two selections of the same types get the same numbers, "
        "whether their cells were trained on or tested."
    )
