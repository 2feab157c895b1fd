"""Annotated cells to take along: CSV and h5ad with the corrections, and the labels alone."""

import hashlib
from pathlib import Path

import numpy as np
import streamlit as st

from pages.components import annotate_data, annotate_jobs, permit, picker, words
from sgm_core import home
from sgm_core.annotation.annotated import check_origin
from sgm_core.annotation.corrected import corrected_csv, corrected_h5ad
from sgm_core.annotation.kept import Annotation
from sgm_core.annotation.output import check_h5ad
from sgm_core.cells.dataset import Dataset, is_dataset, open_dataset
from sgm_core.cells.export import exported, stored_values
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.runs.store import create_run

_MOST_BYTES = 300_000_000
"""Size of an h5ad that is made while the browser waits, and fits its memory."""
_BYTES_A_VALUE = 2.5


def section(annotation: Annotation) -> None:
    """Offer the files, and say what an h5ad needs where it can't be had."""
    with st.popover("Download", icon=":material/download:"):
        made = annotation.corrections()
        n = words.count(len(made), "correction")
        st.markdown(f"With {n} by hand; each cell says whether the model or a person named it.")
        _button("CSV: cells, predictions, labels", f"{annotation.name}.csv", "text/csv",
                lambda: _made(annotation, "csv"))  # fmt: skip
        try:
            size = _size(annotation)
        except SGMError as error:
            st.caption(f"h5ad: {escape(error)}")
        else:
            if size <= _MOST_BYTES:
                _button(f"h5ad, about {words.size(size)}", f"{annotation.name}.h5ad",
                        "application/x-hdf5", lambda: _made(annotation, "h5ad"))  # fmt: skip
            else:
                _on_disk(annotation, size)
        _button("Labels alone (CSV)", f"{annotation.name}-labels.csv", "text/csv",
                lambda: annotation.labels_csv().encode())  # fmt: skip


def _on_disk(annotation: Annotation, size: float) -> None:
    """Offer to write an h5ad that is too large for a browser on this machine, and say where it lies."""
    stamp = hashlib.sha256(repr(annotate_data.corrections_stamp(annotation)).encode()).hexdigest()[:8]
    name = f"{annotation.name[:50]}-{stamp}"
    path = exported(name)
    if path.exists():
        st.markdown(f"h5ad with these corrections, {words.size(path.stat().st_size)}, on this machine:")
        st.code(str(path), None, wrap_lines=True)
        return
    st.caption(
        f"An h5ad takes about {words.size(size)}, too much for a browser: it is written on the server."
    )
    if permit.button("launch", "Write the h5ad", key="write-annotated", icon=":material/data_array:"):
        dataset = str(
            annotation.about["model"]
        )  # annotations are of any cells: a run of theirs has no dataset
        annotate_jobs.start(create_run("annotate", dataset, {"name": annotation.name, "file": name}))


def _button(label: str, name: str, mime: str, make) -> None:
    st.download_button(
        label, make, name, mime=mime, key=f"take-{label.split()[0].strip(':,').lower()}", on_click="ignore",
        icon=":material/download:",
    )  # fmt: skip


def _size(annotation: Annotation) -> float:
    """Return about how many bytes the h5ad takes.

    Raises
    ------
    SGMError
        If there can be none.
    """
    origin = check_origin(annotation.about)
    if is_dataset(origin):
        return _BYTES_A_VALUE * _stored(open_dataset(origin))
    picker.checked(origin, "path")
    check_h5ad(origin)
    return Path(origin).stat().st_size


def _stored(dataset: Dataset) -> int:
    return stored_values(dataset, np.arange(dataset.n_cells))


def _made(annotation: Annotation, kind: str) -> bytes:
    with home.scratch(home.folder("exports") / "annotated") as folder:
        if kind == "csv":
            return corrected_csv(annotation, folder / "cells.csv").read_bytes()
        return corrected_h5ad(annotation, folder / "cells.h5ad").read_bytes()
