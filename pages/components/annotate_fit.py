"""The form that fits a model, and the command that does the same."""

import re
import shlex

import streamlit as st

from pages.components import annotate_jobs, frame, permit, state
from pages.components.annotate_model import Advice
from sgm_core import home
from sgm_core.annotation.arms import BASELINE, KEEPABLE
from sgm_core.annotation.recommend import as_compared, called
from sgm_core.annotation.signatures import registered_signatures
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.runs.store import create_run

_BACKBONE = (
    "The folds' backbones are the comparison's; one more is pretrained on all donors, which takes as long as "
    "a fold's did."
)
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
    with st.grid(4, min_column_width=200, gap="medium"):
        data = st.selectbox("Dataset", list(datasets), index=list(datasets).index(first), key="fit-data")
        sides = _sides(advised, data)
        best = next((i for i, side in enumerate(sides) if _advised(side, advised, data)), 0)
        arm, scheme = st.selectbox(
            "Classifier", sides, index=best, key=f"fit-arm-{data}",
            format_func=lambda side: _label(side, advised, data),
            help="Baselines, and the arms of the comparison in view, which keep their backbone.",
        )  # fmt: skip
        name = st.text_input("Name of the model", _free_name(f"{data}-{arm}"), key=f"fit-name-{data}-{arm}")
        alarm = st.number_input(
            "Known cells called unknown (%)", 0.5, 50.0, 5.0, 0.5, key="fit-alarm",
            help="The false-alarm rate at which 'unknown' is said, on donors that were held out.",
        )  # fmt: skip
    with_backbone = scheme != BASELINE and advised is not None
    st.caption(
        f"Trains on all {datasets[data].meta['n_donors']} donors of {escape(data)}. Five donor folds give "
        "calibration, scores and thresholds, so no donor judges what it trained; a classifier without each "
        "class says how well an unknown class is found. Minutes on a laptop, longer for many classes."
        + (f" {_BACKBONE}" if with_backbone else "")
    )
    problem = _problem(name)
    if problem:
        st.warning(escape(problem))
    recommended = advised is not None and _advised((arm, scheme), advised, data)
    why = advised.said.why if recommended and advised is not None else _NO_COMPARISON
    if permit.button(
        "launch", "Fit the model", type="primary", icon=":material/model_training:", disabled=bool(problem)
    ):
        what = {"data": data, "arm": arm, "why": why}
        if with_backbone:
            why = why if recommended else f"chosen by hand from the comparison {advised.run.id}"
            what = as_compared(advised.run.parameters, advised.run.path, arm, scheme, why)
        parameters = {
            **what, "name": name, "false_alarm": alarm / 100, "signatures": registered_signatures(),
        }  # fmt: skip
        annotate_jobs.start(create_run("model", data, parameters))
    if not problem:
        of = [advised.run.id, "--scheme", scheme] if with_backbone else ["--data", data]
        words = ["sgm", "model", "fit", *of, "--arm", arm, "--name", name]
        words += [] if alarm == 5 else ["--false-alarm", f"{alarm / 100:g}"]
        st.caption("Or in a terminal on this machine:")
        st.code(shlex.join(words), "bash", wrap_lines=True)


def _sides(advised: Advice | None, data: str) -> list[tuple[str, str]]:
    """Return what can be fitted, arm and scheme: the baselines, and the arms of the comparison in view."""
    sides = [(arm, BASELINE) for arm in KEEPABLE]
    if advised is None or advised.run.dataset_name != data:
        return sides
    table = advised.said.table
    own = table[table["keepable"] & (table["scheme"] != BASELINE)]
    return [*sides, *zip(own["arm"], own["scheme"], strict=True)]


def _label(side: tuple[str, str], advised: Advice | None, data: str) -> str:
    name = called(*side)
    return name[:1].upper() + name[1:] + (" · recommended" if _advised(side, advised, data) else "")


def _advised(side: tuple[str, str], advised: Advice | None, data: str) -> bool:
    if advised is None or advised.run.dataset_name != data:
        return False
    return (advised.said.arm, advised.said.scheme) == side


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
