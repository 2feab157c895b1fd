"""What a run will take, on New run: counted at once, measured on request, refused if it can't fit."""

from typing import Any

import streamlit as st

from pages.components import fields, frame, words
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.estimate import fit
from sgm_core.estimate.measured import kept, worth_again
from sgm_core.estimate.run import estimate_run
from sgm_core.runs import measure
from sgm_core.training.config import Settings


def show(kind: str, config: Settings, dataset: Dataset) -> bool:
    """Show the estimate of a run; return whether it can start."""
    guess = estimate_run(config, dataset, kept(config, dataset))
    time, memory = words.duration(guess["seconds"]), words.size(guess["memory_bytes"])
    st.markdown(f"Takes about **{time}** and **{memory}** of memory: {escape(guess['basis'])}.")
    _numbers(guess)
    reason = fit.problem(guess)
    if reason is not None:
        _refuse(kind, config, dataset, guess, reason)
        return False
    for warning in fit.warnings(guess):
        st.warning(escape(f"{warning[0].upper()}{warning[1:]}."), icon=":material/memory:")
    return True


def _numbers(guess: dict[str, Any]) -> None:
    tokens, host = guess["tokens"], guess["machine"]
    longest = f"95 % have at most {tokens['p95']:,.0f}, the longest {tokens['longest']:,}"
    several = guess.get("processes", 1)
    processes = f", in {several} processes" if several > 1 else ""
    free = f"of {words.size(host['total'])}, {words.size(host['free'])} free now{processes}"
    cells = f"{guess['cells']:,} cells at {_rate(guess['cells_per_s'])}"
    disk = f", {words.size(guess['disk_bytes'])} of disk" if guess["disk_bytes"] else ""
    with st.grid(4, min_column_width=180, gap="medium"):
        _number("Tokens per cell", f"{tokens['mean']:,.0f}", longest)
        _number("GPU memory" if "GPU" in host["what"] else "Memory", words.size(guess["memory_bytes"]), free)
        if "encode_seconds" in guess and guess["seconds_per_epoch"] < guess["encode_seconds"]:
            _number("One pass over the cells", words.duration(guess["encode_seconds"]), cells)
        else:
            _number("One epoch", words.duration(guess["seconds_per_epoch"]), cells)
        _number("In all", words.duration(guess["seconds"]), _what(guess) + disk)


def _number(label: str, value: str, detail: str) -> None:
    with st.container(gap="xxsmall"):
        st.metric(label, value)
        st.caption(detail)


def _what(guess: dict[str, Any]) -> str:
    epochs = words.count(guess["epochs"], "epoch")
    if "pretrainings" in guess:
        return f"{words.count(guess['pretrainings'], 'pretraining')} of {epochs}, with finetuning"
    folds = guess.get("folds", 1)
    return epochs if folds == 1 else f"{epochs} in each of {folds} folds"


def _rate(cells_per_s: float) -> str:
    if cells_per_s >= 1:
        return f"{cells_per_s:,.0f} cells/s"
    return f"{words.duration(1 / cells_per_s)} a cell"


def _refuse(kind: str, config: Settings, dataset: Dataset, guess: dict[str, Any], reason: str) -> None:
    """Say why a run can't start and what would fit."""
    changes = fit.suggestion(config, dataset, guess)
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
    if st.button(
        "Measure again" if earlier else "Measure with 3 steps",
        icon=":material/speed:",
        help="Runs three real steps with your cells, in a process of its own; takes seconds to minutes.",
    ):
        measure.begin(config, dataset)
        st.rerun()


@st.fragment(run_every=1.5)
def _wait(config: Settings, dataset: Dataset) -> None:
    with frame.guard():
        if measure.measuring(config, dataset).state != "running":
            st.rerun()
        st.markdown(":material/hourglass_top: Measures three steps; the numbers above follow.")
