"""The import form of the page Datasets, and the progress of what it started."""

import re
from pathlib import Path
from typing import Any

import streamlit as st

from pages.components import frame, permit, picker, run_facts, state, words
from sgm_core import home
from sgm_core.cells.catalog import CATALOG
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.runs.launch import launch
from sgm_core.runs.store import ACTIVE, Run, create_run, open_run
from sgm_core.runs.titles import run_title

_GUESSES = {
    "donor": ("donor", "donor_id", "patient", "patient_id", "individual", "subject"),
    "cell_type": ("cell_type", "celltype", "ennis_cell_type", "annotation", "cell_label", "cluster"),
    "timepoint": ("timepoint", "time_point", "timepoints", "stage", "time"),
}
_NO_LABEL = re.compile(r"(nan|none|unknown|unassigned|unlabell?ed|not_in_atlas|n/?a|)", re.IGNORECASE)
_STARTED = "import-run"


def form() -> None:
    """Draw the whole import: where from, which columns, start; then its progress."""
    if _STARTED in st.session_state:
        _watch(st.session_state[_STARTED])
    where = st.segmented_control(
        "Import from",
        ["This machine", "Upload", "Public data"],
        default="This machine",
        key="from",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )
    if where == "Public data":
        _public()
        return
    try:
        path = picker.server_path() if where == "This machine" else picker.uploaded_path()
    except SGMError as error:
        frame.refusal(error)
        return
    if path is None:
        st.caption(
            "Raw counts with a donor and a cell type for each cell: h5ad, 10x (.h5 or folder), loom, "
            "CSV/TSV, or GEO pairs (*.dem.txt.gz with *.anno.txt.gz). Or only a map: coordinates and labels "
            "as parquet or CSV. Uploads stay on this machine."
        )
        return
    try:
        known = picker.peek(path)
    except SGMError as error:
        frame.refusal(error)
        return
    if known is not None:
        st.caption(f"{escape(path.name)}: {escape(known.format)}, {words.count(known.n_cells, 'cell')}")
    _columns_and_start(path, known)


def _public() -> None:
    for name, entry in CATALOG.items():
        st.markdown(f"**{entry.title}** ([source]({entry.page})), {entry.paper}")
        st.code(f"sgm data fetch {name}", "bash")
    st.caption("Run the command in a terminal on this machine; the dataset then appears here by itself.")


def _columns_and_start(path: Path, known: picker.Peek | None) -> None:
    with st.grid(4, min_column_width=200, gap="medium"):
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name.split(".")[0]).strip("-._")[:40] or "dataset"
        name = st.text_input("Name of the dataset", value=stem, key=f"import-name-{path}")
        chosen = {role: _column(role, known) for role in ("donor", "cell_type", "timepoint")}
    levels = known.levels.get(chosen["cell_type"] or "", ()) if known else ()
    unlabelled = st.multiselect(
        "Values that mean 'no label'",
        list(levels),
        default=[level for level in levels if _NO_LABEL.fullmatch(level)],
        accept_new_options=True,
        key=f"import-unlabelled-{path}-{chosen['cell_type']}",
        help="Cells with these labels pretrain but are never finetuned on or scored; 'nan' is no value.",
    )
    # A map without counts has no genes to choose and nothing to filter by.
    more: dict[str, Any] = _more() if known is None or known.has_counts else {}
    try:
        more |= {key: picker.checked(more[key], key) for key in ("cells", "genes", "aliases") if key in more}
        problem = name_problem(name)
    except SGMError as error:
        problem = str(error)
    if problem:
        st.warning(escape(problem))
    if permit.button("launch", "Import", type="primary", icon=":material/download:", disabled=bool(problem)):
        parameters = {"path": str(path), "name": name, "unlabelled": unlabelled}
        parameters |= {key: value for key, value in {**chosen, **more}.items() if value not in ("", None)}
        run = create_run("import", name, parameters, title=run_title("import", name, parameters))
        launch(run)
        st.session_state[_STARTED] = run.id
        st.rerun()


def _more() -> dict[str, Any]:
    with st.expander("More"), st.grid(4, min_column_width=200, gap="medium"):
        return {
            "min_genes": st.number_input(
                "Least genes per cell", value=200, min_value=0, key="import-min-genes"
            ),
            "min_cells": st.number_input(
                "Least cells per gene", value=3, min_value=0, key="import-min-cells"
            ),
            "layer": st.text_input("Layer of the counts", key="import-layer", placeholder="found by testing"),
            "cells": st.text_input(
                "Table of cells", key="import-cells", placeholder="path of a CSV, optional"
            ),
            "genes": st.text_input("Gene list", key="import-genes", placeholder="path of a TSV, optional"),
            "aliases": st.text_input(
                "Alias table", key="import-aliases", placeholder="path or name, optional"
            ),
        }


def _column(role: str, known: picker.Peek | None) -> str | None:
    label = {"donor": "Donor", "cell_type": "Cell type", "timepoint": "Timepoint (optional)"}[role]
    if known is None or not known.columns:
        return st.text_input(f"{label}: column", key=f"import-{role}") or None
    options = list(known.columns)
    lowered = {name.lower(): name for name in reversed(options)}
    suggested = known.roles[role] or next((lowered[name] for name in _GUESSES[role] if name in lowered), None)
    if suggested is None:
        suggested = next((name for name in options if _GUESSES[role][0] in name.lower()), None)
    return st.selectbox(
        f"{label}: column",
        options,
        index=options.index(suggested) if suggested in options else None,
        placeholder="Choose a column",
        key=f"import-{role}-{hash(known.columns)}",
    )


def name_problem(name: str) -> str | None:
    """Say why a new dataset can't have this name; None where it can."""
    try:
        home.check_name(name, "dataset name")
    except SGMError as error:
        return str(error)
    if (home.folder("datasets") / name).exists():
        return f"A dataset named {name} exists already: choose another name."
    return None


def follow(run: Run) -> None:
    """Show the progress of an import, started elsewhere, in the form of the page Datasets."""
    st.session_state[_STARTED] = run.id
    st.session_state["view"] = "Import"


def _open(dataset: str) -> None:
    del st.session_state[_STARTED]
    st.session_state["view"] = "Quality"
    state.choose(dataset=dataset)


def _watch(run_id: str) -> None:
    try:
        run = open_run(run_id)
    except SGMError:
        del st.session_state[_STARTED]
        return
    if run.state in ACTIVE:
        st.fragment(_progress, run_every=1)(run_id)
    else:
        _progress(run_id)


def _progress(run_id: str) -> None:
    with frame.guard():
        run = open_run(run_id)
        with st.container(border=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{escape(run.title)}**", width="content")
                frame.run_badge(run)
            run_facts.progress_bar(run)
            if run.state in ACTIVE:
                st.session_state["import-live"] = True
            elif st.session_state.pop("import-live", False):
                st.rerun()
            if run.state == "done":
                st.button(
                    f"Open {escape(run.dataset_name)}",
                    type="primary",
                    icon=":material/database:",
                    on_click=_open,
                    args=(run.dataset_name,),
                )
            if run.state in ("failed", "lost", "paused"):
                st.error(escape(run.status.get("error") or "The import ended without saying why."))
                with st.expander("Log"):
                    st.code(run.log_tail(100) or "Nothing.", None)
