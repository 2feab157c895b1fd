"""Runs: what is happening, what differed?"""

import pandas as pd
import streamlit as st

from pages.components import (
    clone,
    frame,
    live,
    permit,
    run_facts,
    run_labels,
    run_list,
    run_log,
    run_queue,
    show,
    state,
    words,
)
from pages.components.corpus_view import corpus
from pages.components.reconstruction_view import reconstruction
from sgm_core.escape import escape
from sgm_core.figures.curves import MOST_RUNS
from sgm_core.runs import EXPORTED
from sgm_core.runs import parameters as run_parameters
from sgm_core.runs.carry import export_size, packed_run
from sgm_core.runs.launchers import launcher_of
from sgm_core.runs.resume import resume_run
from sgm_core.runs.run import PAUSE, TRAININGS
from sgm_core.runs.store import ACTIVE, ENDED, Run, cancel_run, open_run, pause_run
from sgm_core.runs.trash import KEPT_DAYS, built_on, delete_run, deleted_runs, restore_run

_LARGEST_EXPORT = 1_000_000_000
_MANY = 100  # runs from which on the list is drawn again less often
_STATES, _READING = "runs-states", "runs-reading"


def actions(run: Run) -> None:
    """Draw the buttons of what can be done with a run."""
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
        "resume", "Resume", icon=":material/play_arrow:", type="primary", help=run.when_resumed.capitalize()
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


def one_run(run: Run, everyone: list[Run]) -> None:
    """Draw what one run is, how it goes and what can be done with it."""
    st.fragment(_head, run_every=2 if run.state in ACTIVE else None)(run.id)
    run_labels.said(run)
    with st.container(horizontal=True, gap="small"):
        actions(run)
        run_queue.move(run)
        run_labels.editor(run, everyone)


def _head(run_id: str) -> None:
    with frame.guard():
        run = open_run(run_id)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(escape(run.title), anchor=False, width="content")
            frame.run_badge(run)
            if run.state not in ACTIVE:
                stamp = words.ago(run.status.get("finished"))
                st.caption(f"{stamp} · {words.size(run_facts.summary(run).bytes)} on disk · {escape(run.id)}")
            elif run.state == "running" and (who := launcher_of(run.status).named(run.status)):
                st.caption(escape(who))
        run_facts.progress_bar(run)
        if run.state == "running" and (facts := run_facts.right_now(run)):
            st.caption(facts)
        if run.state in ("failed", "lost"):
            st.error(escape(run.status.get("error") or "It ended without saying why; the log may tell."))
        elif run.state == "paused" and run.status.get("error"):
            st.info(escape(run.status["error"]))
        elif run.state in ACTIVE and (run.asked(PAUSE) is not None or run.cancel_asked() is not None):
            st.caption("Stops after its step.")


def parameters(runs: list[Run]) -> None:
    if len(runs) > 1:
        named = zip(words.run_names(runs), runs, strict=True)
        columns = {name: run_parameters.complete(run) for name, run in named}
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


def listed() -> None:
    """Draw the headline and the list; drawn again now and then, and nothing else of the page with it."""
    with frame.guard():
        runs = state.runs(kinds=None)
        if not runs:  # somebody has deleted the last one
            st.rerun()
        frame.answer(run_facts.headline(runs))
        found = run_list.filters(runs)
        selected = chosen(runs)
        complete = run_list.table(found, selected)
        states = {run.id: run.state for run in runs}
        before = st.session_state.get(_STATES, states)
        st.session_state[_STATES] = states
        # what is below changes with the state of its runs, and how often this is drawn, too
        if any(before.get(run.id) != run.state for run in selected) or active(before) != active(states):
            st.rerun()
        if complete == st.session_state.get(_READING, False):  # how often this is drawn changes
            st.session_state[_READING] = not complete
            st.rerun()


def active(states: dict[str, str]) -> bool:
    """Say whether a run waits or is under way."""
    return any(each in ACTIVE for each in states.values())


def chosen(runs: list[Run]) -> list[Run]:
    """Return the chosen runs, by default the one in view, or the newest."""
    viewed, ids = st.session_state.get(state.RUN), [run.id for run in runs]
    return run_list.chosen(runs, viewed if viewed in ids else ids[0])


def curves(ids: list[str]) -> None:
    """Draw the curves of runs, and what their masks did."""
    with frame.guard():
        runs = [open_run(run_id) for run_id in ids]
        live.curves_with_controls(runs)
        st.subheader("Are the masks guided at all?", anchor=False)
        live.mask_diagnostics(runs)


def details(runs: list[Run]) -> None:
    """Draw the chosen runs: each part that changes while they train draws itself again."""
    with frame.guard():
        selected = chosen(runs)
        if len(selected) == 1:
            one_run(selected[0], runs)
        trained = [run for run in selected if run.kind in state.RESULT_KINDS]
        run_list.too_many(trained, MOST_RUNS)
        trained = trained[:MOST_RUNS]
        if trained:
            live_ones = any(run.state in ACTIVE for run in trained)
            st.fragment(curves, run_every=4 if live_ones else None)([run.id for run in trained])
            reconstruction(trained)
            corpus(trained)
        parameters(selected[:MOST_RUNS])
        run_log.log(selected[:MOST_RUNS])
        deleted()


frame.page("Runs")
every = state.runs(kinds=None)
if not every:
    frame.empty(
        "No run yet. A run pretrains a backbone, finetunes it, or compares all arms on a dataset.",
        "Start a run",
        "pages/new_run.py",
    )
interval = 2 if any(run.state in ACTIVE for run in every) else 10  # a run may be started elsewhere
interval *= 1 if len(every) <= _MANY else 3
st.fragment(listed, run_every=1 if st.session_state.get(_READING) else interval)()
details(every)
