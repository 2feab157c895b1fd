"""What is made of a selection in the background: a map of its cells, and a file of them."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

from pages.components import cell_views, frame, permit, state, words
from pages.components.cells_selection import Selecting, short_name
from sgm_core import home
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.export import export_csv, export_h5ad, exported, stored_values
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.runs.launch import launch
from sgm_core.runs.store import ACTIVE, Run, cancel_run, create_run

_DOWNLOAD_VALUES = 25_000_000
"""Non-zero counts up to which a file is made while the browser waits (about 4 s) and fits its memory."""
_BYTES_A_VALUE = 2.5
_FEWEST = 30
_ENDED = "cells-ended"


def map_form(selecting: Selecting, selected: np.ndarray) -> None:
    """Offer neighbours and UMAP of the selected cells alone."""
    dataset, n = selecting.dataset, int(selected.sum())
    st.markdown(f"PCA, neighbours and UMAP of these {words.count(n, 'cell')} alone, made in the background.")
    if n < _FEWEST:
        st.caption(f"Select at least {_FEWEST} cells.")
        return
    taken = set(dataset.maps())
    base = short_name(selecting.history.steps)
    name = next(
        each for each in (base, *(f"{base}-{i}" for i in range(2, len(taken) + 3))) if each not in taken
    )
    chosen = st.text_input("Name of the map", name, key=f"map-name-{name}", max_chars=64).strip()
    if permit.button("launch", "Make the map", type="primary", key="make-subset-map"):
        try:
            if home.check_name(chosen, "name of a map") in taken:
                raise frame.SGMError(f"a map {chosen!r} exists already: choose another name")
            start_map(dataset, np.flatnonzero(selected), chosen)
        except SGMError as error:
            st.error(escape(error))
        else:
            st.rerun()


def start_map(dataset: Dataset, rows: np.ndarray, name: str) -> Run:
    """Start the run that maps some cells; the map is then the dataset's, under `name`."""
    parameters = {"data": dataset.name, "cells": "cells.npy", "name": name, "seed": 0}
    run = create_run("umap", dataset.name, parameters, f"Map {name} of {dataset.name}")
    _keep_rows(run.path / "cells.npy", rows)
    launch(run)
    return run


def export_form(
    dataset: Dataset, run: Run | None, model: tuple[str, str] | None, selected: np.ndarray
) -> None:
    """Offer the selected cells as a table and, where there are counts, as an h5ad."""
    rows = np.flatnonzero(selected)
    st.download_button(
        f"Table of {words.count(len(rows), 'cell')} (CSV)", partial(_csv, dataset, run, model, rows),
        f"{dataset.name}-cells.csv", mime="text/csv", key="selected-cells", on_click="ignore",
        icon=":material/table:",
    )  # fmt: skip
    if not dataset.has_counts:
        st.caption(f"{escape(dataset.name)} has no counts, so there is no h5ad of it.")
        return
    n_values = stored_values(dataset, rows)
    size = words.size(_BYTES_A_VALUE * n_values)
    if n_values <= _DOWNLOAD_VALUES:
        st.download_button(
            f"Counts and labels (h5ad, about {size})", partial(_h5ad, dataset, rows),
            f"{dataset.name}-{len(rows)}-cells.h5ad", mime="application/x-hdf5", key="selected-h5ad",
            on_click="ignore", icon=":material/data_array:",
        )  # fmt: skip
        return
    st.markdown(f"An h5ad of these cells takes about {size}: it is written on the server.")
    name = f"{dataset.name}-{hashlib.sha256(rows.tobytes()).hexdigest()[:8]}"
    path = exported(name)
    if path.exists():
        st.success(f"Written: {escape(path)} ({words.size(path.stat().st_size)})")
    elif permit.button("launch", "Write the h5ad", key="write-h5ad", icon=":material/data_array:"):
        parameters = {"data": dataset.name, "rows": "rows.npy", "name": name}
        job = create_run("export", dataset.name, parameters, f"h5ad of {len(rows):,} cells of {dataset.name}")
        _keep_rows(job.path / "rows.npy", rows)
        launch(job)
        st.rerun()


def _keep_rows(path: Path, rows: np.ndarray) -> None:
    with home.whole_file(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, rows.astype(np.int64))


def _csv(dataset: Dataset, run: Run | None, model: tuple[str, str] | None, rows: np.ndarray) -> bytes:
    more = None
    if run is not None and model is not None:
        more = cell_views.predictions(run, model, dataset.n_cells)[["predicted", "confidence"]]
    with home.scratch(home.folder("exports") / "cells") as folder:
        return export_csv(dataset, rows, folder / "cells.csv", more).read_bytes()


def _h5ad(dataset: Dataset, rows: np.ndarray) -> bytes:
    with home.scratch(home.folder("exports") / "cells") as folder:
        return export_h5ad(dataset, rows, folder / "cells.h5ad").read_bytes()


def in_progress(dataset: Dataset) -> None:
    """Show the maps and files that are being made of this dataset's cells."""
    jobs = [run for run in state.runs(dataset.name, kinds=("umap", "export")) if run.state in ACTIVE]
    if jobs:
        watch(jobs)


@st.fragment(run_every=2)
def watch(jobs: list[Run]) -> None:
    """Draw the progress of runs until the first of them ends; then the page is drawn again."""
    with frame.guard():
        for run in jobs:
            status = run.status
            if status["state"] not in ACTIVE:
                st.session_state[_ENDED] = (run.title, status["state"], status.get("error"))
                st.rerun()
            done = status.get("progress") or {}
            what = done.get("what") or "waiting for its turn"
            with st.container(horizontal=True, vertical_alignment="center"):
                share = min(1.0, done.get("done", 0) / (done.get("total") or 1))
                st.progress(share, f"{escape(run.title)}: {escape(what)} …", width="stretch")
                if permit.button("cancel", "Cancel", key=f"cancel-{run.id}", type="tertiary"):
                    cancel_run(run.id)
                    st.rerun()


def news(failures: bool = True) -> None:
    """Say how background work ended since the page was last drawn.

    Parameters
    ----------
    failures
        Whether to say so of what failed; a page that shows the log of that says it itself.
    """
    title, ended, error = st.session_state.pop(_ENDED, ("", "", None))
    if ended == "done":
        st.toast(f"{escape(title)}: ready", icon=":material/check_circle:")
    elif ended == "failed" and failures:
        st.error(escape(f"{title}: {error}"), icon=":material/error:")
