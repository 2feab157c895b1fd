"""Runs: what is happening, what differed?"""

import pandas as pd
import streamlit as st

from pages.components import clone, frame, live, permit, run_facts, show, state, words
from pages.components.corpus_view import corpus
from pages.components.reconstruction_view import reconstruction
from sgm_core.escape import escape
from sgm_core.runs import EXPORTED
from sgm_core.runs import parameters as run_parameters
from sgm_core.runs.carry import export_size, packed_run
from sgm_core.runs.launchers import launcher_of
from sgm_core.runs.resume import resume_run
from sgm_core.runs.run import PAUSE, TRAININGS
from sgm_core.runs.store import ACTIVE, ENDED, Run, cancel_run, pause_run
from sgm_core.runs.trash import KEPT_DAYS, built_on, delete_run, deleted_runs, restore_run

_LARGEST_EXPORT = 1_000_000_000
_MARKS = {
    "queued": "○ Queued",
    "running": "▶ Running",
    "paused": "‖ Paused",
    "done": "● Done",
    "failed": "✕ Failed",
    "cancelled": "– Cancelled",
    "lost": "? Lost",
}


def overview(runs: list[Run]) -> pd.DataFrame:
    """Return one row a run."""
    return pd.DataFrame(
        {
            "state": [_MARKS[run.state] for run in runs],
            "title": [run.title for run in runs],
            "dataset": [run.dataset_name for run in runs],
            "best": [run_facts.best(run) or run_facts.progress_words(run) for run in runs],
            "curve": [run_facts.sparkline(run) for run in runs],
            "created": [words.moment(run.config["created"]) for run in runs],
            "took": [words.duration(words.took(run)) if words.took(run) is not None else "" for run in runs],
            "disk": [words.size(n_bytes) for n_bytes in run_facts.sizes(tuple(run.id for run in runs))],
        }
    )


def choose_runs(runs: list[Run], context: frame.Context) -> list[Run]:
    """Draw the table and return the selected runs, by default the one in view."""
    ids = [run.id for run in runs]
    shown = [name for name in st.query_params.get("show", "").split(",") if name in ids]
    fallback = context.run.id if context.run is not None else ids[0]
    # A new run moves the rows, so the table's key changes with them and the selection is found again.
    event = st.dataframe(
        overview(runs),
        key=f"runs-{hash(tuple(ids))}",
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(name) for name in shown or [fallback]]}},
        column_order=["state", "title", "dataset", "best", "curve", "created", "took", "disk"],
        column_config={
            "state": st.column_config.TextColumn("State", width="small", pinned=True),
            "title": st.column_config.TextColumn("Title", width="medium"),
            "dataset": st.column_config.TextColumn("Dataset", width="small"),
            "best": st.column_config.TextColumn("Best, or progress", width="medium"),
            "curve": st.column_config.LineChartColumn("Loss", width="small"),
            "created": st.column_config.DatetimeColumn("Asked for", format="distance"),
            "took": st.column_config.TextColumn("Took", width="small"),
            "disk": st.column_config.TextColumn("Disk", width="small"),
        },
    )
    selected = [runs[row] for row in event["selection"]["rows"] if row < len(runs)]
    wanted = ",".join(run.id for run in selected)
    if selected and [run.id for run in selected] != (shown or [fallback]):
        st.query_params["show"] = wanted
    return selected or [next(run for run in runs if run.id == fallback)]


def actions(run: Run) -> None:
    with st.container(horizontal=True, gap="small"):
        if run.state in ACTIVE and permit.button(
            "cancel", "Cancel", icon=":material/stop_circle:", disabled=run.cancel_asked() is not None
        ):
            cancel_run(run.id)
            st.rerun()
        if (
            run.state in ACTIVE
            and run.kind in TRAININGS
            and permit.button(
                "pause",
                "Pause",
                icon=":material/pause_circle:",
                disabled=run.asked(PAUSE) is not None or run.cancel_asked() is not None,
                help="Stops after its step and keeps a checkpoint: the device is free, and resuming goes on "
                "from there",
            )
        ):
            pause_run(run.id)
            st.rerun()
        if run.state in ENDED and permit.button(
            "resume",
            "Resume",
            icon=":material/play_arrow:",
            type="primary",
            help=run.when_resumed.capitalize(),
        ):
            with frame.guard():
                resume_run(run.id)
                st.rerun()
        compared = run.kind == "compare" and run.table_path("folds").exists()
        if compared and st.button("Open in Compare", icon=":material/balance:"):
            state.go("pages/compare.py", run=run.id)
        searched = run.kind == "sweep" and run.table_path("trials").exists()
        if searched and st.button("Open in Sweep", icon=":material/tune:"):
            st.session_state["sweep"] = run.id
            state.go("pages/sweep.py", dataset=run.dataset_name)
        if run.kind in run_parameters.CONFIGS and st.button(
            "Clone",
            icon=":material/content_copy:",
            help="Opens New run with the same parameters, to change and start",
        ):
            with frame.guard():  # an older run may have what is refused now
                clone.fill_form(run)
                state.go("pages/new_run.py", dataset=run.dataset_name)
        size = export_size(run)
        st.download_button(
            "Export",
            lambda: packed_run(run.id),
            file_name=f"{run.id}.zip",
            mime="application/zip",
            on_click="ignore",
            icon=":material/folder_zip:",
            disabled=size > _LARGEST_EXPORT,  # the browser's way goes through memory
            help=f"The run's folder as one zip file ({words.size(size)}): {EXPORTED}"
            + (f". Too large for here: `sgm runs export {run.id}`" if size > _LARGEST_EXPORT else ""),
        )
        if run.state not in ACTIVE:
            _delete(run)


def _delete(run: Run) -> None:
    with st.popover("Delete", icon=":material/delete:"):
        others = built_on(run.id)
        named = f" {words.count(len(others), 'run')} started from it and will miss it." if others else ""
        st.markdown(
            f"Its {words.size(run.size())} go to the trash, which keeps them for {KEPT_DAYS} days.{named}"
        )
        if permit.button("delete", "Delete this run", type="primary", key=f"delete-{run.id}"):
            with frame.guard():
                delete_run(run.id)
                state.choose(dataset=run.dataset_name)
                st.query_params.pop("show", None)
                st.rerun()


def deleted() -> None:
    """List what is in the trash, each with a button that takes it back."""
    rows = deleted_runs()
    if not rows:
        return
    with st.expander(f"Deleted ({len(rows)})"):
        for row in rows:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(escape(str(row["title"] or row["id"])), width="content")
                st.caption(f"{words.size(int(row['bytes']))} · deleted {words.ago(str(row['deleted']))}")
                if permit.button("restore", "Take back", key=f"restore-{row['id']}-{row['deleted']}"):
                    with frame.guard():
                        restore_run(str(row["id"]))
                        st.rerun()


def one_run(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(escape(run.title), anchor=False, width="content")
        frame.run_badge(run)
        if run.state not in ACTIVE:
            stamp = words.ago(run.status.get("finished"))
            st.caption(f"{stamp} · {words.size(run.size())} on disk · {escape(run.id)}")
        elif run.state == "running" and (who := launcher_of(run.status).named(run.status)):
            st.caption(escape(who))
    run_facts.progress_bar(run)
    if run.state in ("failed", "lost"):
        st.error(escape(run.status.get("error") or "It ended without saying why; the log may tell."))
    elif run.state == "paused" and run.status.get("error"):
        st.info(escape(run.status["error"]))
    elif run.state in ACTIVE and (run.asked(PAUSE) is not None or run.cancel_asked() is not None):
        st.caption("Stops after its step.")
    actions(run)


def parameters(runs: list[Run]) -> None:
    if len(runs) > 1:
        columns = {words.run_label(run): run_parameters.complete(run) for run in runs}
        differing = run_parameters.differences(columns)
        st.subheader("What differed", anchor=False)
        if differing.empty:
            st.markdown("Nothing: these runs have the same parameters.")
        else:
            show.table(differing, "parameters")
        return
    run = runs[0]
    with st.expander("Parameters"):
        if run.kind in run_parameters.CONFIGS:
            differing = run_parameters.differences(
                {"default": run_parameters.with_defaults(run.kind, {}), "here": run.parameters}
            )
            st.markdown("**Other than the defaults**")
            show.table(differing, "parameters")
        rows = run_parameters.flat(run.parameters).items()
        st.markdown("**All**")
        everything = pd.DataFrame(
            [(name, words.value(item)) for name, item in rows], columns=["parameter", "value"]
        )
        show.table(everything, "all-parameters")
        provenance = {
            name: run.config.get(name) for name in ("code_version", "hardware", "dataset_hash", "seed")
        }
        facts = [f"{name.replace('_', ' ')}: {words.value(item)}" for name, item in provenance.items()]
        st.caption(escape(" · ".join([f"ID: {run.id}", *facts])))


def body() -> None:
    with frame.guard():
        runs = state.runs(kinds=None)
        frame.answer(run_facts.headline(runs))
        selected = choose_runs(runs, frame.current())
        if len(runs) > 1:
            st.caption(f"{words.size(sum(run_facts.sizes(tuple(run.id for run in runs))))} on disk in all")
        if len(selected) == 1:
            one_run(selected[0])
        trained = [run for run in selected if run.kind in state.RESULT_KINDS]
        if trained:
            live.curves_with_controls(trained)
            st.subheader("Are the masks guided at all?", anchor=False)
            for run in trained:
                if len(trained) > 1:
                    st.caption(escape(run.title))
                live.mask_diagnostic(run)
            reconstruction(trained)
            corpus(trained)
        parameters(selected)
        for run in selected:
            name = f"Log of {escape(words.run_label(run))}" if len(selected) > 1 else "Log"
            with st.expander(name, expanded=run.state == "failed"):
                st.code(run.log_tail(200) or "Nothing yet.", None, height=260)
                for path in launcher_of(run.status).logs(run):
                    if run.state in ("failed", "lost") and path.stat().st_size:
                        st.caption(f"What its job printed: {escape(str(path))}")
        deleted()
        if not any(run.state in ACTIVE for run in runs) and st.session_state.pop("runs-live", False):
            st.rerun()


frame.page("Runs")
if not state.runs(kinds=None):
    frame.empty(
        "No run yet. A run pretrains a backbone, finetunes it, or compares all arms on a dataset.",
        "Start a run",
        "pages/new_run.py",
    )
if any(run.state in ACTIVE for run in state.runs(kinds=None)):
    st.session_state["runs-live"] = True
    st.fragment(body, run_every=2)()
else:
    st.fragment(body)()
