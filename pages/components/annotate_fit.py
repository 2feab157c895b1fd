"""The form that fits a model, and the command that does the same."""

import re
import shlex

import streamlit as st

from pages.components import annotate_jobs, frame, state
from pages.components.annotate_model import Advice
from sgm_core import home
from sgm_core.annotation.arms import KEEPABLE
from sgm_core.annotation.signatures import registered_signatures
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.figures.palette import arm_name
from sgm_core.runs.store import create_run

_NO_COMPARISON = "no comparison was given, so nothing says that another arm is not better"


def form(advised: Advice | None) -> None:
    """Draw the fields, what the fit does, the button that starts it in a worker, and the command."""
    datasets = {d.name: d for d in state.datasets() if d.has_counts and d.has_donors}
    if not datasets:
        frame.empty(
            "No dataset with counts, donors and cell types yet: a model is fitted on one.",
            "Import a dataset",
            "pages/datasets.py",
        )
    current = state.current_dataset()
    first = current.name if current is not None and current.name in datasets else next(iter(datasets))
    arms = list(KEEPABLE)
    best = advised.said.arm if advised is not None and advised.said.arm in arms else arms[0]
    with st.grid(4, min_column_width=200, gap="medium"):
        data = st.selectbox("Dataset", list(datasets), index=list(datasets).index(first), key="fit-data")
        arm = st.selectbox(
            "Classifier", arms, index=arms.index(best), key="fit-arm",
            format_func=lambda each: _label(each, advised, data),
            help="Baselines of Compare; a finetuned backbone can't be kept as a model yet.",
        )  # fmt: skip
        name = st.text_input("Name of the model", _free_name(f"{data}-{arm}"), key=f"fit-name-{data}-{arm}")
        alarm = st.number_input(
            "Known cells called unknown (%)", 0.5, 50.0, 5.0, 0.5, key="fit-alarm",
            help="The false-alarm rate at which 'unknown' is said, on donors that were held out.",
        )  # fmt: skip
    st.caption(
        f"Trains on all {datasets[data].meta['n_donors']} donors of {escape(data)}. Five donor folds give "
        "calibration, scores and thresholds, so no donor judges what it trained; a classifier without each "
        "class says how well an unknown class is found. Minutes on a laptop, longer for many classes."
    )
    problem = _problem(name)
    if problem:
        st.warning(escape(problem))
    why = advised.said.why if _advised(arm, advised, data) and advised is not None else _NO_COMPARISON
    if st.button("Fit the model", type="primary", icon=":material/model_training:", disabled=bool(problem)):
        parameters = {
            "data": data, "name": name, "arm": arm, "false_alarm": alarm / 100, "why": why,
            "signatures": registered_signatures(),
        }  # fmt: skip
        annotate_jobs.start(create_run("model", data, parameters))
    if not problem:
        words = ["sgm", "model", "fit", "--data", data, "--arm", arm, "--name", name]
        words += [] if alarm == 5 else ["--false-alarm", f"{alarm / 100:g}"]
        st.caption("Or in a terminal on this machine:")
        st.code(shlex.join(words), "bash", wrap_lines=True)


def _label(arm: str, advised: Advice | None, data: str) -> str:
    return arm_name(arm) + (" · recommended" if _advised(arm, advised, data) else "")


def _advised(arm: str, advised: Advice | None, data: str) -> bool:
    return advised is not None and advised.run.dataset_name == data and advised.said.arm == arm


def _free_name(base: str) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", base).strip("-._")[:50] or "model"
    return next(name for i in range(1, 1000) if not _taken(name := base if i == 1 else f"{base}-{i}"))


def _taken(name: str) -> bool:
    return (home.folder("models") / name).exists()


def _problem(name: str) -> str | None:
    try:
        home.check_name(name, "model name")
    except SGMError as error:
        return str(error)
    return f"A model named {name} exists already: choose another name." if _taken(name) else None
