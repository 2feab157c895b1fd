"""What a run will take, on New run: by a formula at once, measured on request, refused if it can't fit."""

import sys

import streamlit as st

from pages.components import fields, frame, permit, words
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.estimate import fit
from sgm_core.estimate.measured import kept, worth_again
from sgm_core.estimate.run import Estimate
from sgm_core.runs import measure
from sgm_core.runs.launchers import LAUNCHERS
from sgm_core.runs.launchers.slurm_settings import more_memory
from sgm_core.runs.room import estimate_where
from sgm_core.training.config import Settings


def show(
    kind: str, config: Settings, dataset: Dataset, launcher: str = "local", processes: int | None = None
) -> bool:
    """Show the estimate of a run where it is to be carried out; return whether it can start."""
    estimate = estimate_where(config, dataset, launcher, processes, kept(config, dataset))
    jobs = launcher == "slurm"
    time, memory = words.duration(estimate.seconds), words.size(estimate.memory_bytes)
    if jobs and kind == "compare":
        basis = f"all its tasks, one after the other at this machine's speed; {estimate.basis}"
        st.markdown(f"Takes about **{time}** of jobs and **{memory}** of memory in each: {escape(basis)}.")
    else:
        st.markdown(f"Takes about **{time}** and **{memory}** of memory: {escape(estimate.basis)}.")
    _numbers(estimate)
    reason = fit.problem(estimate)
    if reason is not None and jobs:
        st.error(f"This run would not fit: {escape(f'{reason}; {more_memory()}')}.", icon=":material/block:")
        return False
    if reason is not None:
        _refuse(kind, config, dataset, estimate, reason, LAUNCHERS[launcher].processes(processes))
        return False
    for warning in fit.warnings(estimate):
        st.warning(escape(f"{warning[0].upper()}{warning[1:]}."), icon=":material/memory:")
    return True


def _numbers(estimate: Estimate) -> None:
    tokens, host = estimate.tokens, estimate.machine
    longest = f"95 % have at most {tokens.p95:,.0f}, the longest {tokens.longest:,}"
    several = estimate.processes
    processes = f", in {several} processes" if several > 1 else ""
    free = f"of {words.size(host.total)}, {words.size(host.free)} free now{processes}"
    if host.whose != "this machine":
        free = f"of {words.size(host.total)} that {host.whose} has" if host.total < sys.maxsize else ""
    cells = f"{estimate.cells:,} cells at {_rate(estimate.cells_per_s)}"
    disk = f", {words.size(estimate.disk_bytes)} of disk" if estimate.disk_bytes else ""
    with st.grid(4, min_column_width=180, gap="medium"):
        _number("Tokens per cell", f"{tokens.mean:,.0f}", longest)
        _number("GPU memory" if "GPU" in host.what else "Memory", words.size(estimate.memory_bytes), free)
        if estimate.seconds_per_epoch < estimate.encode_seconds:
            _number("One pass over the cells", words.duration(estimate.encode_seconds), cells)
        else:
            _number("One epoch", words.duration(estimate.seconds_per_epoch), cells)
        _number("In all", words.duration(estimate.seconds), _what(estimate) + disk)


def _number(label: str, value: str, detail: str) -> None:
    with st.container(gap="xxsmall"):
        st.metric(label, value)
        if detail:
            st.caption(detail)


def _what(estimate: Estimate) -> str:
    epochs = words.count(estimate.epochs, "epoch")
    if estimate.pretrainings is not None:
        return f"{words.count(estimate.pretrainings, 'pretraining')} of {epochs}, with finetuning"
    folds = estimate.folds
    return epochs if folds == 1 else f"{epochs} in each of {folds} folds"


def _rate(cells_per_s: float) -> str:
    if cells_per_s >= 1:
        return f"{cells_per_s:,.0f} cells/s"
    return f"{words.duration(1 / cells_per_s)} a cell"


def _refuse(
    kind: str, config: Settings, dataset: Dataset, estimate: Estimate, reason: str, processes: int | None
) -> None:
    """Say why a run can't start and what would fit."""
    changes = fit.suggestion(config, dataset, estimate, processes)
    if changes is None:
        remedy = "Nothing smaller fits either."
    else:
        named = [f"{name.replace('_', ' ')} **{escape(words.value(new))}**" for name, new in changes.items()]
        listed = ", ".join(named)
        remedy = f"This would fit: {listed}."
    st.error(f"This run would not fit: {escape(reason)}. {remedy}", icon=":material/block:")
    if changes is not None:
        st.button(
            "Change the form to what would fit",
            on_click=fields.apply_changes,
            args=(kind, changes),
            icon=":material/build:",
        )


def offer_to_measure(config: Settings, dataset: Dataset) -> None:
    """Offer to measure a run that was not measured yet; while that goes on, wait for it."""
    state, earlier = measure.measuring(config, dataset), kept(config, dataset)
    if state.state == "done" and not (earlier and worth_again(earlier)):
        return
    if state.state == "running":
        _wait(config, dataset)
        return
    if state.state == "failed":
        st.caption(f":material/warning: Measuring failed: {escape(state.error)}")
    if permit.button(
        "measure",
        "Measure again" if earlier else "Measure with 3 steps",
        icon=":material/speed:",
        help="Runs three real steps with your cells, in a process of its own; takes seconds to minutes.",
    ):
        measure.start_measuring(config, dataset)
        st.rerun()


@st.fragment(run_every=1.5)
def _wait(config: Settings, dataset: Dataset) -> None:
    with frame.guard():
        if measure.measuring(config, dataset).state != "running":
            st.rerun()
        st.markdown(":material/hourglass_top: Measures three steps; the numbers above follow.")
