"""Report: what do I send?"""

import streamlit as st

from pages.components import frame, gene_sets, report_files, show, tables
from sgm_core.escape import escape
from sgm_core.report import FORMATS
from sgm_core.report.build import KINDS, RESULTS, check_reportable
from sgm_core.report.content import Said
from sgm_core.runs.store import Run

_LABELS = {"html": "HTML, one file", "md": "Markdown", "folder": "Folder (zip)"}
_HEIGHT = 900


def controls(run: Run) -> tuple[str, str]:
    """Draw the controls; returns the format and the gene-set library."""
    names = list(gene_sets.libraries())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        form = st.segmented_control(
            "Send as", list(FORMATS), default="html", format_func=_LABELS.__getitem__, key="format",
            bind="query-params", required=True,
        )  # fmt: skip
        library = names[0]
        if tables.exists(run, "masks"):
            library = st.selectbox(
                "Gene sets", names, key="library", bind="query-params", width=280,
                help="What the most masked genes are tested against",
            )  # fmt: skip
    st.caption(f"{FORMATS[form][0].upper()}{FORMATS[form][1:]}.")
    return form, library


context = frame.page("Report")
if context.dataset is None:
    frame.empty(
        "No dataset yet: import one (`sgm app` brings a demo).", "Go to datasets", "pages/datasets.py"
    )
frame.need_counts(context.dataset, "A run, which a report is made of,")
run = context.run
if run is None:
    frame.empty(
        f"No run on {escape(context.dataset.name)} yet: a report is made of a run.",
        "Start a run",
        "pages/new_run.py",
    )
if run.kind in KINDS and not any(tables.exists(run, name) for name in RESULTS):
    tables.lacking(run, "results to report")
check_reportable(run)
answer_line = st.container()
form, library = controls(run)
report = report_files.made(run, library)
with answer_line:
    n_open = sum(isinstance(block, Said) and block.is_limit for block in report_files.of(report, "limits"))
    what = f"{len(report.sections)} sections, {report_files.counted(report)}"
    frame.answer(f"{escape(what)}; {n_open} sentences say what can't be concluded.")
    tables.still_running(run)
name, data = report_files.packed(run, library, form)
st.download_button(
    f"Download {name} ({report_files.size(data)})",
    data,
    file_name=show.plain(run.id) + name.removeprefix("report"),
    mime=report_files.MIME[form],
    type="primary",
    icon=":material/download:",
    on_click="ignore",
)
st.caption("The HTML file as a reader sees it: it opens without a network, and prints on A4.")
st.iframe(report_files.packed(run, library, "html")[1].decode(), height=_HEIGHT)
