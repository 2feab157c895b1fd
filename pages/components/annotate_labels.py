"""The labels of an annotation, corrections included, as the cell types of a new dataset."""

import re
import shlex

import streamlit as st

from pages.components import annotate_data, importing, permit, picker, state
from sgm_core import home
from sgm_core.annotation.annotated import UNKNOWN, check_origin
from sgm_core.annotation.kept import Annotation
from sgm_core.cells.dataset import is_dataset, open_dataset
from sgm_core.errors import InputError, SGMError
from sgm_core.escape import escape
from sgm_core.runs.launch import launch
from sgm_core.runs.store import create_run
from sgm_core.runs.titles import run_title

_DONOR = re.compile(r"donor|patient|individual|subject|sample", re.IGNORECASE)
_COLUMN = "cell_type"


def section(annotation: Annotation) -> None:
    """Offer the import of the annotated file with the labels that hold; it runs in a worker."""
    with st.popover("Use as labels", icon=":material/database:"):
        st.markdown(
            "Import the annotated file as a new dataset whose cell types are these labels, corrections "
            "included. Unknown cells pretrain but are never finetuned on or scored."
        )
        try:
            path = _file(annotation)
        except SGMError as error:
            st.caption(escape(error))
            _command(annotation)
            return
        columns = [str(name) for name in annotate_data.obs(*annotate_data.key(annotation)) if name != "cell"]
        if not columns:
            st.caption("The file says nothing about its cells, and an import needs the donor of each.")
            return
        first = next((i for i, name in enumerate(columns) if _DONOR.search(name)), None)
        donor = st.selectbox("Donor: column", columns, index=first, key=f"labels-donor-{annotation.name}")
        name = st.text_input("Name of the dataset", annotation.name, key=f"labels-name-{annotation.name}")
        problem = importing.name_problem(name)
        if problem:
            st.warning(escape(problem))
        if permit.button(
            "launch", "Import with these labels", type="primary", disabled=bool(problem) or donor is None
        ):
            _start(annotation, path, name, str(donor))


def _command(annotation: Annotation) -> None:
    """Show the command that imports any file with the labels, which **Download** has."""
    text = ["sgm", "data", "import", str(annotation.about.get("origin") or annotation.about["data"])]
    text += ["--cells", f"{annotation.name}-labels.csv", "--cell-type", _COLUMN, "--unlabelled", UNKNOWN]
    st.caption("Or download the labels alone, and in a terminal on this machine:")
    st.code(f"{shlex.join(text)} --donor COLUMN --name NAME", "bash", wrap_lines=True)


def _file(annotation: Annotation) -> str:
    """Return the file that was annotated, or that the annotated dataset was imported from.

    Raises
    ------
    SGMError
        If it is gone, has changed or may not be opened.
    """
    origin = check_origin(annotation.about)
    if is_dataset(origin):
        origin = str(open_dataset(origin).meta["source"].get("path") or "")
        if not origin:
            raise InputError("The annotated dataset does not say which file it was imported from.")
    return str(picker.allowed(origin))


def _start(annotation: Annotation, path: str, name: str, donor: str) -> None:
    labels = annotation.path / "labels.csv"
    with home.whole_file(labels) as temporary:
        temporary.write_text(annotation.labels_csv(), newline="")
    parameters = {
        "path": path, "name": name, "donor": donor, "cell_type": _COLUMN, "cells": str(labels),
        "unlabelled": [UNKNOWN],
    }  # fmt: skip
    run = create_run("import", name, parameters, title=run_title("import", name, parameters))
    launch(run)
    importing.follow(run)
    state.go("pages/datasets.py")
