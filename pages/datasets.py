"""Datasets: is this data fit for the job?"""

import streamlit as st

from pages.components import frame, importing, quality_view
from sgm_core.escape import escape

VIEWS = {
    "Quality": quality_view.cells,
    "Donors and types": quality_view.donors,
    "Folds": quality_view.folds,
    "Genes": quality_view.genes,
}
IMPORT = "Import"

context = frame.page("Datasets")
dataset = context.dataset
if dataset is None:
    frame.answer("No dataset yet: import a file of counts.")
    importing.form()
    st.stop()
frame.answer(quality_view.headline(dataset))
view = st.segmented_control(
    "View",
    [*VIEWS, IMPORT],
    default="Quality",
    key="view",
    bind="query-params",
    required=True,
    label_visibility="collapsed",
)
if view == IMPORT:
    importing.form()
else:
    VIEWS[view](dataset)
    source = dataset.meta["source"]
    origin = [
        source.get("path"),
        source.get("format"),
        source.get("counts") and f"counts: {source['counts']}",
    ]
    st.caption(escape(" · ".join(filter(None, [*origin, dataset.meta.get("note")]))))
    # Plain text: notes quote names of the file.
    for note in source.get("notes", ()):
        st.text(f"Note: {note}")
