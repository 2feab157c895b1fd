"""Datasets: is this data fit for the job?"""

import streamlit as st

from pages.components import frame, importing, quality_view
from sgm_core.escape import escape

IMPORT = "Import"

context = frame.page("Datasets")
dataset = context.dataset
if dataset is None:
    frame.answer("No dataset yet: import a file of counts.")
    importing.form()
    st.stop()
frame.answer(quality_view.headline(dataset))
views = quality_view.views(dataset)
if st.session_state.get("view") not in (None, *views, IMPORT):
    del st.session_state["view"]  # of a dataset with other views
view = st.segmented_control(
    "View",
    [*views, IMPORT],
    default=next(iter(views)),
    key="view",
    bind="query-params",
    required=True,
    label_visibility="collapsed",
)
if view == IMPORT:
    importing.form()
else:
    views[view](dataset)
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
