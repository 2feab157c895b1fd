"""The dashboard's navigation: ``streamlit run app.py``, or ``sgm app``."""

import streamlit as st

from pages.components import frame, handover, login, tour

# before the navigation: the browser would fetch the icon of the page from elsewhere
st.set_page_config(page_title="SGM", page_icon="pages/components/icon.svg", layout="wide")

pages = {
    "": [st.Page("pages/home.py", title="Home", icon=":material/home:", default=True)],
    "Data": [st.Page("pages/datasets.py", title="Datasets", icon=":material/database:")],
    "Train": [
        st.Page("pages/new_run.py", title="New run", icon=":material/add_circle:"),
        st.Page("pages/runs.py", title="Runs", icon=":material/monitoring:"),
        st.Page("pages/sweep.py", title="Sweep", icon=":material/tune:"),
        st.Page("pages/compare.py", title="Compare", icon=":material/balance:"),
    ],
    "Explore": [
        st.Page("pages/cells.py", title="Cells", icon=":material/scatter_plot:"),
        st.Page("pages/masked_genes.py", title="Masked genes", icon=":material/visibility_off:"),
        st.Page("pages/enrichment.py", title="Enrichment", icon=":material/hub:"),
        st.Page("pages/review.py", title="Review", icon=":material/rate_review:"),
        st.Page("pages/annotate.py", title="Annotate", icon=":material/label:"),
        st.Page("pages/report.py", title="Report", icon=":material/description:"),
    ],
}
if login.runs_it():
    pages["Group"] = [st.Page("pages/actions.py", title="Actions", icon=":material/history:")]
page = st.navigation(pages, position="sidebar" if login.inside() else "hidden")
# run without a server (a process that a test starts does so) a page has no title
st.set_page_config(f"{getattr(page, 'title', 'Page')} · SGM")
if not login.gate():
    st.stop()
with frame.guard():
    login.shown()
    frame.context_bar()
    handover.take(getattr(page, "url_path", ""))
    tour.draw(getattr(page, "url_path", ""))
    page.run()
