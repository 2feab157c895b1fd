"""New run: what will run, how long, will it fit?"""

from typing import Any

import streamlit as st

from pages.components import clone, fields, frame, recipe, run_facts, show, state, words
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.runs.launch import launch
from sgm_core.runs.store import create_run
from sgm_core.training.config import CompareConfig, FinetuneConfig
from sgm_core.training.estimate import estimate, estimate_compare

_VISIBLE = {
    "compare": ("backbone", "folds", "arms", "schemes"),
    "pretrain": ("backbone", "masker", "mask_ratio", "epochs"),
    "finetune": ("run", "scheme", "fold", "epochs"),
}
_WIDE = ("arms", "schemes")
_WHAT = {
    "compare": "Compare all arms",
    "pretrain": "Pretrain one model",
    "finetune": "Finetune a pretrained model",
}


def form(kind: str, dataset: Dataset) -> dict[str, Any]:
    """Draw the controls of a kind of run and return their values by path."""
    controls = fields.controls(kind)
    options = {
        "label": [column for column in dataset.grouping_columns() if column != dataset.donor_column],
        "run": [run.id for run in state.runs(dataset.name, ("pretrain",)) if run.state == "done"],
    }
    values: dict[str, Any] = {}
    with st.grid(4, min_column_width=180, gap="medium"):
        for path in _VISIBLE[kind]:
            if path not in _WIDE:
                values[path] = fields.draw(controls[path], options.get(path))
    for path in _WIDE:
        if path in _VISIBLE[kind]:
            values[path] = fields.draw(controls[path])
    rest = {path: control for path, control in controls.items() if path not in _VISIBLE[kind]}
    groups = [
        group for group in (*fields.GROUPS, "finetuning") if any(c.group == group for c in rest.values())
    ]
    with st.expander("More"):
        names = [fields.GROUPS.get(group, "Finetuning") for group in groups]
        for tab, group in zip(st.tabs(names), groups, strict=True):
            with tab, st.grid(4, min_column_width=200, gap="medium"):
                for path, control in rest.items():
                    if control.group == group:
                        preset = {"on_change": fields.apply_preset, "args": (control,)}
                        extra = preset if control.field.name == "preset" else {}
                        values[path] = fields.draw(control, options.get(path), **extra)
        st.button("Back to the defaults", on_click=clone.clear_form, type="tertiary", icon=":material/undo:")
    return values


def show_estimate(config: Any, dataset: Dataset) -> None:
    """Say how long it takes and what memory it needs; a finetuning is short and has no estimate."""
    if isinstance(config, FinetuneConfig):
        return
    guess = estimate_compare if isinstance(config, CompareConfig) else estimate
    expected = guess(config, dataset)
    time, memory = words.duration(expected["seconds"]), words.size(expected["memory_bytes"])
    st.markdown(f"Takes about **{time}** and **{memory}** of memory: {expected['basis']}.")


def show_differences(kind: str, parameters: dict[str, Any], dataset: Dataset) -> None:
    """Say what differs from the last run of this kind on this dataset."""
    earlier = state.runs(dataset.name, (kind,))
    if not earlier:
        st.caption(f"The first run of this kind on {dataset.name}.")
        return
    table = run_facts.differences(
        {earlier[0].id: run_facts.complete(earlier[0]), "this run": run_facts.with_defaults(kind, parameters)}
    )
    if table.empty:
        st.caption(f"The same as the last run, {earlier[0].id}.")
        return
    st.markdown("**What differs from the last run**")
    show.table(table, "differences")


def start(kind: str, config: Any, dataset: Dataset) -> str:
    """Queue the run and return its ID."""
    what = {"compare": "Compare the arms", "pretrain": "Pretrain", "finetune": "Finetune"}[kind]
    detail = getattr(config, "masker", "") or getattr(config, "scheme", "")
    title = " ".join(filter(None, [what, getattr(config, "backbone", ""), detail, "on", dataset.name]))
    run = create_run(kind, dataset.name, config.to_dict(), title=title, device=config.device)
    launch(run)
    return run.id


context = frame.page("New run")
if context.dataset is None:
    frame.empty("No dataset yet: a run needs one to work on.", "Import a dataset", "pages/datasets.py")
dataset = context.dataset
top = st.container()
kind = st.segmented_control(
    "What to run",
    list(_WHAT),
    format_func=_WHAT.__getitem__,
    default="compare",
    key=clone.KIND,
    bind="query-params",
    required=True,
    label_visibility="collapsed",
)
if kind == "finetune" and not any(run.state == "done" for run in state.runs(dataset.name, ("pretrain",))):
    st.info(f"No finished pretraining on {dataset.name} yet: start one first, then finetune it here.")
    st.stop()
values = form(kind, dataset)
with top:
    try:
        config: Any = run_facts.CONFIGS[kind].from_dict(fields.collect(kind, values, dataset.name))
        if kind == "compare" and not (config.arms and config.schemes):
            raise InputError("Choose at least one arm and one scheme.")
        frame.answer(recipe.sentence(config, dataset))
    except InputError as error:
        st.error(str(error), icon=":material/info:")
        st.stop()
show_estimate(config, dataset)
if st.button("Start the run", type="primary", icon=":material/play_arrow:"):
    state.go("pages/runs.py", run=start(kind, config, dataset))
show_differences(kind, config.to_dict(), dataset)
