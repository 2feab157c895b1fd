"""Tables of the run in view: read once, shared by all sessions, never changed."""

from pathlib import Path
from typing import NoReturn

import pandas as pd
import streamlit as st

from pages.components import frame, run_facts, state
from pages.components.kept import kept
from sgm_core import tables as run_tables
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.runs.store import ACTIVE, Run

_ENDS = {"failed": "failed", "cancelled": "was cancelled", "lost": "was lost", "paused": "was paused"}


@kept()
def cached(path: str, stamp: int, columns: tuple[str, ...] | None = None, **equal: str | int) -> pd.DataFrame:
    """Return a parquet table, or the rows of it where columns have a value; it is shared: don't change it.

    Parameters
    ----------
    path, stamp
        See `key`.
    columns
        Those to read; all by default.
    equal
        Column and value: ``arm="self-guided", scheme="partial"``. Other rows are not read.
    """
    return run_tables.read(Path(path), list(columns) if columns else None, equal=equal)


def stamp(path: Path) -> int:
    """Return what changes when a file is replaced, as part of a cache's key; 0 when there is none."""
    return run_tables.stamp(path)


def key(run: Run, name: str) -> tuple[str, int]:
    """Return what a cache knows a run's table by: its path, and a stamp that changes when the table does."""
    path = run.table_path(name)
    return str(path), stamp(path)


def exists(run: Run, name: str) -> bool:
    """Say whether a run has a table (yet), without reading it."""
    return bool(key(run, name)[1])


def read(
    run: Run, name: str, columns: tuple[str, ...] | None = None, **equal: str | int
) -> pd.DataFrame | None:
    """Return a run's table, or None if it does not exist (yet). It is shared: don't change it.

    `columns` and `equal` (``arm="self-guided"``) say which part of it, and no other part is read.
    """
    path, when = key(run, name)
    return cached(path, when, columns, **equal) if when else None


def of_dataset(context: frame.Context) -> Run | None:
    """Return the run in view if it was made on the cells in view; else say that it was not."""
    try:
        if context.run is not None:
            context.run.check_dataset()
    except InputError as error:
        st.warning(escape(error), icon=":material/info:")
        return None
    return context.run


def require(context: frame.Context, name: str, what: str) -> tuple[Dataset, Run, pd.DataFrame]:
    """Return dataset, run and one of the run's tables; without them say what to do, and end the page.

    Parameters
    ----------
    context
        What is in view.
    name
        The table.
    what
        What the page shows, for the message: ``scores``, ``mask counts``.
    """
    if context.dataset is None:
        frame.empty(
            "No dataset yet: import one (`sgm app` brings a demo).",
            "Go to datasets",
            "pages/datasets.py",
        )
    frame.need_counts(context.dataset, f"A run, where {what} come from,")
    run = context.run
    if run is None:
        frame.empty(
            f"No run on {escape(context.dataset.name)} yet: {what} come from a run.",
            "Start a run",
            "pages/new_run.py",
        )
    run.check_dataset()
    table = read(run, name)
    if table is not None and len(table):
        return context.dataset, run, table
    lacking(run, what)


def lacking(run: Run, what: str) -> NoReturn:
    """Say that a run has no `what` (yet), and what to do; ends the page."""
    if run.state in ACTIVE:
        _waiting(run, what)
    reason = f" It {_ENDS[run.state]}: {escape(run.status['error'])}." if run.status.get("error") else ""
    if run.state in _ENDS:
        frame.empty(f"This run has no {what}.{reason}", "See its log", "pages/runs.py")
    frame.empty(
        f"This run ({run.kind}) has no {what}: choose another run above, or start a comparison.",
        "Start a comparison",
        "pages/new_run.py",
    )


@st.fragment(run_every=5)
def _watch(run: Run, what: str) -> None:
    with frame.guard():
        st.markdown(f"No {what} yet. {run_facts.progress_words(run) or 'The run is queued'}")
        progress = run.status.get("progress") or {}
        if progress.get("total"):
            st.progress(min(1.0, progress["done"] / progress["total"]))


def _waiting(run: Run, what: str) -> None:
    """Show how far the run is; the page fills when its first results are there."""
    with st.container(border=True):
        _watch(run, what)
        if st.button("Follow the run", type="primary", key="follow-run"):
            state.go("pages/runs.py")
    st.stop()


def still_running(run: Run) -> None:
    """Say so when a run goes on, since what is shown will change."""
    if run.state in ACTIVE:
        words = run_facts.progress_words(run)
        st.caption(
            f":material/hourglass: Still running{f' ({words})' if words else ''}: finished parts are shown."
        )
    elif run.state in _ENDS:
        st.caption(f":material/error: This run {_ENDS[run.state]} before its end: finished parts are shown.")
