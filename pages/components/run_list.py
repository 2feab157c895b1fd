"""The list of runs: found by words, tags and states; chosen rows are what the page shows below."""

import pandas as pd
import streamlit as st

from pages.components import run_facts, run_queue, words
from sgm_core.escape import escape
from sgm_core.runs.find import find_runs, tags_of
from sgm_core.runs.labels import labels_of
from sgm_core.runs.order import places
from sgm_core.runs.states import LATEST
from sgm_core.runs.store import STATES, Run, latest_run
from sgm_core.runs.summaries import Summary, summaries

SHOW = "show"
_CHOSEN, _NOW, _TOLD = "runs-chosen", "runs-now", "runs-told"
_ROWS = 11  # of a long list that are seen at once
_AT_MOST_S = 0.4  # for what is not in the index yet: the rest comes with the next drawing
_MARKS = {
    "queued": "○ Queued",
    "running": "▶ Running",
    "paused": "‖ Paused",
    "done": "● Done",
    "failed": "✕ Failed",
    "cancelled": "– Cancelled",
    "lost": "? Lost",
}


def filters(runs: list[Run]) -> list[Run]:
    """Draw the controls that find runs, a part of the link, and return those that fit."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            "Find runs",
            key="find",
            bind="query-params",
            placeholder="Title, ID, dataset, tag or note",
            icon=":material/search:",
            label_visibility="collapsed",
            width=300,
        )
        states = st.multiselect(
            "States",
            STATES,
            key="states",
            bind="query-params",
            format_func=str.capitalize,  # the link has it so
            placeholder="Any state",
            label_visibility="collapsed",
            width=200,
        )
        tags = tags_of(runs)
        asked = []
        if tags:
            known = [tag for tag in st.session_state.get("tags", ()) if tag in tags]
            if known != list(st.session_state.get("tags", ())):  # one was taken from its last run
                st.session_state["tags"] = known
            asked = st.multiselect(
                "Tags",
                tags,
                key="tags",
                bind="query-params",
                placeholder="Any tag",
                label_visibility="collapsed",
                width=200,
            )
    found = find_runs(runs, text or "", asked, states)
    if len(found) < len(runs):
        st.caption(f"{len(found):,} of {words.count(len(runs), 'run')}")
    return found


def chosen(runs: list[Run], fallback: str) -> list[Run]:
    """Return the runs that the link names, by default the one with the ID `fallback`; newest first."""
    names = st.query_params.get(SHOW, "").split(",")
    if LATEST in names and (newest := latest_run()) is not None:
        names = [newest.id if name == LATEST else name for name in names]
        st.query_params[SHOW] = ",".join(names)  # a run that starts later must not take its place
    named = [run for run in runs if run.id in names]
    return named or [run for run in runs if run.id == fallback]


def table(runs: list[Run], selected: list[Run]) -> bool:
    """Draw the table of `runs`; returns whether all that it says of them is there.

    What is chosen in it is put into the link, and the whole page is drawn again.
    """
    if st.session_state.pop(_CHOSEN, False):
        st.rerun()
    if not runs:
        st.caption("No run fits.")
        return True
    found = summaries(runs, _AT_MOST_S)
    ids = tuple(run.id for run in runs)
    now = [run.id for run in selected]
    if st.session_state.get(_NOW) != now:  # by a link or the context bar: the table is told anew
        st.session_state[_NOW] = st.session_state[_TOLD] = now
    # A new run moves the rows, so the table's key changes with them and the selection is found again.
    key = f"runs-{hash((ids, *st.session_state[_TOLD]))}"
    frame = overview(runs, found)
    st.dataframe(
        frame,
        key=key,
        hide_index=True,
        height="auto" if len(runs) <= _ROWS else 36 * _ROWS,
        on_select=lambda: _choose(key, ids),
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(name) for name in now if name in ids]}},
        column_order=[name for name in frame if name != "tags" or frame["tags"].map(len).any()],
        column_config={
            "state": st.column_config.TextColumn("State", width="small", pinned=True),
            "title": st.column_config.TextColumn("Title", width="medium"),
            "tags": st.column_config.ListColumn("Tags", width="small"),
            "dataset": st.column_config.TextColumn("Dataset", width="small"),
            "best": st.column_config.TextColumn("Best, or progress", width="medium"),
            "curve": st.column_config.LineChartColumn("Loss", width="small"),
            "created": st.column_config.DatetimeColumn("Asked for", format="distance"),
            "took": st.column_config.TextColumn("Took", width="small"),
            "disk": st.column_config.TextColumn("Disk", width="small"),
        },
    )
    if len(runs) > 1:
        total = words.size(sum(each.bytes for each in found if each))
        st.caption(f"{total} on disk in all" if None not in found else "Reads the runs …")
    return None not in found


def overview(runs: list[Run], found: list[Summary | None]) -> pd.DataFrame:
    """Return one row a run."""
    waiting = places() if any(run.state == "queued" for run in runs) else {}
    return pd.DataFrame([_row(run, each, waiting.get(run.id)) for run, each in zip(runs, found, strict=True)])


def _row(run: Run, found: Summary | None, place: tuple[int, int] | None) -> dict[str, object]:
    status = run.status
    said = run_queue.place_words(run, place) if status["state"] == "queued" else run_facts.progress_words(run)
    best = run_facts.best_words(run, found) if found else ""
    took = words.took(run)
    return {
        "state": _MARKS[status["state"]],
        "title": run.title,
        "tags": list(labels_of(run).tags),
        "dataset": run.dataset_name,
        "best": said or best,
        "curve": list(found.curve) if found else [],
        "created": words.moment(run.config["created"]),
        "took": words.duration(took) if took is not None else "",
        "disk": words.size(found.bytes) if found else "",
    }


def too_many(selected: list[Run], most: int) -> None:
    """Say that not all chosen runs are drawn."""
    if len(selected) > most:
        left_out = ", ".join(escape(run.title) for run in selected[most:][:3])
        more = f" and {len(selected) - most - 3} more" if len(selected) > most + 3 else ""
        st.caption(f"The first {most} of {len(selected)} chosen runs are drawn, not {left_out}{more}.")


def _choose(key: str, ids: tuple[str, ...]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    names = [ids[row] for row in sorted(rows) if row < len(ids)]
    if names:
        st.query_params[SHOW] = ",".join(names)
    else:
        st.query_params.pop(SHOW, None)
    st.session_state[_NOW], st.session_state[_CHOSEN] = names, True
