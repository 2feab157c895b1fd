"""Home: where am I, what next?"""

import streamlit as st

from pages.components import (
    device,
    frame,
    live,
    quality_view,
    run_facts,
    scores,
    show,
    state,
    tables,
    tour,
    words,
)
from sgm_core.escape import escape
from sgm_core.figures.palette import SCHEMES
from sgm_core.runs.store import ACTIVE, Run


def dataset_card(context: frame.Context) -> None:
    dataset = context.dataset
    st.caption("Dataset")
    if dataset is None:
        st.markdown("**None yet.** Import a file of counts with donors and cell types.")
        st.page_link("pages/datasets.py", label="Import a dataset", icon=":material/upload_file:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escape(dataset.name)}**", width="content")
        if dataset.simulated:
            frame.simulated_badge()
    if not dataset.has_counts:
        st.markdown(quality_view.headline(dataset))
        st.page_link("pages/cells.py", label="Look at its cells", icon=":material/scatter_plot:")
        return
    st.markdown(f"{quality_view.headline(dataset)} {words.count(dataset.n_genes, 'gene')}.")
    st.page_link("pages/datasets.py", label="Is it fit for the job?", icon=":material/database:")


@st.fragment(run_every=2)
def live_run_card(run_id: str) -> None:
    with frame.guard():
        run_card(next((run for run in state.runs(kinds=None) if run.id == run_id), None))


def run_card(run: Run | None) -> None:
    st.caption("Newest run")
    if run is None:
        st.markdown("**None yet.** A run trains, finetunes or compares on a dataset.")
        st.page_link("pages/new_run.py", label="Start a run", icon=":material/add_circle:")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escape(run.title)}**", width="content")
        frame.run_badge(run)
    run_facts.progress_bar(run)
    best = run_facts.best(run)
    if best and run.kind == "pretrain":
        st.markdown(f"Best {escape(best)}")
    elif run.state in ("failed", "lost", "paused") and run.status.get("error"):
        st.markdown(escape(run.status["error"]))
    evidence(run)
    st.page_link("pages/runs.py", label="All runs", icon=":material/monitoring:")


def evidence(run: Run) -> None:
    """Draw what a run found so far: the scores of its arms, or before there are any, how its loss falls.

    The losses of a comparison's arms and folds lie on each other and say nothing about which arm is better.
    """
    if run.kind in ("compare", "finetune") and (key := scores.key(run))[1]:
        scheme = scores.main_scheme(*key)
        fig = scores.standing(*key, scores.schemes_of(run), scheme)
        title = f"Macro F1 of each arm, {SCHEMES[scheme].lower()}"
        simulated = any(d.name == run.dataset_name and d.simulated for d in state.datasets())
        show.figure(fig, "home-scores", tables.cached(*key), alt=title, simulated=simulated)
    elif run.kind in ("pretrain", "finetune") and run_facts.summary(run).curve:
        live.curve([run], "home-curve", height=240)


def next_step(context: frame.Context, newest: Run | None) -> tuple[str, str, str]:
    """Return sentence, button and page of what to do next."""
    if context.dataset is None:
        return ("Import your first dataset.", "Import a dataset", "pages/datasets.py")
    if not context.dataset.has_counts:
        return (f"See the map of {escape(context.dataset.name)}.", "Look at its cells", "pages/cells.py")
    if newest is None:
        return (
            f"Ask whether guided masking helps on {escape(context.dataset.name)}.",
            "Start a comparison",
            "pages/new_run.py",
        )
    if newest.state in ACTIVE:
        return ("Watch the run that is under way.", "Open Runs", "pages/runs.py")
    if newest.state in ("failed", "lost", "paused"):
        happened = {"failed": "failed", "lost": "was lost", "paused": "is paused"}[newest.state]
        return (f"The newest run {happened}: see why, then resume it.", "Open Runs", "pages/runs.py")
    if context.run is not None and context.run.kind == "compare" and context.run.state == "done":
        return ("See whether guided masking helped.", "Open Compare", "pages/compare.py")
    return ("Compare the arms over donor folds.", "Start a comparison", "pages/new_run.py")


def headline(all_runs: list[Run]) -> str:
    datasets = words.count(len(state.datasets()), "dataset")
    return f"{datasets}, {run_facts.headline(all_runs)}" if all_runs else f"{datasets}, no run yet."


context = frame.page("Home")
all_runs = state.runs(kinds=None)
newest = all_runs[0] if all_runs else None
frame.answer(headline(all_runs))
columns = st.columns([1, 1.6, 1], gap="medium")
with columns[0], st.container(border=True, height="stretch"):
    dataset_card(context)
with columns[1], st.container(border=True, height="stretch"):
    if newest is not None and newest.state in ACTIVE:
        live_run_card(newest.id)
    else:
        run_card(newest)
with columns[2], st.container(border=True, height="stretch"):
    sentence, label, target = next_step(context, newest)
    st.caption("Next step")
    st.markdown(f"**{sentence}**")
    if st.button(label, type="primary"):
        state.go(target)
if tour.subject() is not None:
    st.subheader("A tour of the demo (simulated)", anchor=False)
    for number, step in enumerate(tour.STEPS, 1):
        st.markdown(f"{number}. {step.title}")
    tour.start_button()
st.caption(f"Computes on: {escape(device.device_line())}")
