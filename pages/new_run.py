"""New run: what will run, how long, will it fit?"""

from typing import Any

import streamlit as st

from pages.components import (
    clone,
    cost_view,
    fields,
    frame,
    permit,
    recipe,
    show,
    state,
    weights_note,
    where,
    words,
)
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.resources.store import list_resources
from sgm_core.runs import parameters as run_parameters
from sgm_core.runs.launch import launch
from sgm_core.runs.order import places
from sgm_core.runs.states import HIGHEST
from sgm_core.runs.store import create_run, open_run
from sgm_core.runs.titles import run_title
from sgm_core.training.backbones import backbone_names, is_bundle

_WIDE = ("arms", "schemes", "space")
_LABELS = ("labels", "label_draws")
_VISIBLE = {
    "compare": (
        "backbone",
        "pretrain.weights_key",
        "split",
        "folds",
        "labels",
        "label_draws",
        "arms",
        "schemes",
    ),
    "pretrain": ("backbone", "weights_key", "masker", "mask_ratio", "epochs"),
    "sweep": (
        "backbone",
        "pretrain.weights_key",
        "arm",
        "scheme",
        "trials",
        "sampler",
        "folds",
        "space",
    ),
    "finetune": ("run", "backbone", "weights_key", "scheme", "fold", "epochs", "probe_epochs"),
}
_WHAT = {
    "compare": "Compare all arms",
    "pretrain": "Pretrain one model",
    "finetune": "Finetune a pretrained model",
    "sweep": "Search over settings",
}


def form(kind: str, dataset: Dataset) -> dict[str, Any]:
    """Draw the controls of a kind of run and return their values by path."""
    controls = fields.controls(kind)
    columns = [column for column in dataset.grouping_columns() if column != dataset.donor_column]
    options: dict[str, list[Any]] = {"label": columns}
    values: dict[str, Any] = {}
    with st.grid(4, min_column_width=180, gap="medium"):
        if kind == "finetune":
            backbone = source(controls, dataset, values)
        else:
            backbone = values["backbone"] = choose_backbone(controls["backbone"], list(backbone_names()))
        hidden = fields.hidden(backbone)
        options |= {name: all_ for name, all_ in fields.options_of(kind, backbone).items() if name in _WIDE}
        if kind == "sweep":
            options["arm"] = fields.options_of(kind, backbone)["arms"]
        options |= further_datasets(controls, dataset) | programme_libraries(controls)
        if not any(options.get(path) for path in ("corpus", "pretrain.corpus")):
            hidden |= set(fields.CORPUS)
        if kind == "finetune" and values["run"]:
            hidden |= {"weights_key", "split", "n_folds"}
        shown = {path: one for path, one in controls.items() if one.field.name not in hidden}
        shown = {path: one for path, one in shown.items() if path not in ("run", "backbone", "data")}
        for path in _VISIBLE[kind]:
            if path in shown and path not in (*_WIDE, *_LABELS):
                values[path] = fields.draw(shown[path], options.get(path), backbone)
            if path == "scheme" and kind == "finetune":  # a linear probe has epochs of its own
                shown.pop("epochs" if values[path] == "linear-probe" else "probe_epochs")
    for path in _WIDE:
        if path in _VISIBLE[kind]:
            named = {} if path == "space" else {"format_func": wide_name}
            values[path] = fields.draw(shown[path], options.get(path), backbone, **named)
    if "labels" in shown:
        how_many, draws = st.columns([3, 1], gap="medium")
        with how_many:
            values["labels"] = fields.draw(shown["labels"])
        if set(values["labels"]) - {"all"}:  # all of them are not drawn
            with draws:
                values["label_draws"] = fields.draw(shown["label_draws"])
    weights_note.reminder(backbone)
    rest = {path: control for path, control in shown.items() if path not in _VISIBLE[kind]}
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
                        values[path] = fields.draw(control, options.get(path), backbone, **extra)
        st.button("Back to the defaults", on_click=clone.clear_form, type="tertiary", icon=":material/undo:")
    weights_note.how_to_import()
    return values


def further_datasets(controls: dict[str, fields.Control], dataset: Dataset) -> dict[str, list[Any]]:
    """Return the datasets that may be pretrained on beside the chosen one, by the field's path."""
    names = [one.name for one in state.datasets() if one.has_counts and one.name != dataset.name]
    found: dict[str, list[Any]] = {}
    for path, control in controls.items():
        if control.field.name == "corpus":
            found[path] = names
            if control.key in st.session_state:  # from a run or a link; a dataset may be gone since
                chosen = st.session_state[control.key] or ()
                st.session_state[control.key] = [name for name in chosen if name in names]
    return found


def programme_libraries(controls: dict[str, fields.Control]) -> dict[str, list[Any]]:
    """Return the gene sets that the masker `programmes` can hide, by the field's path."""
    found: dict[str, list[Any]] = {}
    libraries = [one.name for one in list_resources("genesets")]
    for path, control in controls.items():
        if control.field.name == "programmes":
            chosen = st.session_state.get(control.key)  # from a run or a link; the library may be gone since
            found[path] = list(dict.fromkeys([*libraries, *([chosen] if chosen else [])]))
    return found


def choose_backbone(control: fields.Control, names: list[str]) -> str:
    """Draw the selector of the backbone and return its name."""
    return fields.draw(
        control,
        names,
        format_func=weights_note.backbone_label,
        on_change=fields.apply_backbone,
        args=(control,),
    )


def source(controls: dict[str, fields.Control], dataset: Dataset, values: dict[str, Any]) -> str:
    """Draw what a finetuning starts from, a run or imported weights; return the backbone's name."""
    runs = {run.id: run for run in state.runs(dataset.name, ("pretrain",)) if run.state == "done"}
    bundles = [name for name in backbone_names() if is_bundle(name)]
    choices = [*runs, *([""] if bundles else [])]
    values["run"] = fields.draw(
        controls["run"],
        choices,
        format_func=lambda run: words.run_label(runs[run]) if run else "none: imported weights",
    )
    values["backbone"] = "" if values["run"] else choose_backbone(controls["backbone"], bundles)
    return values["backbone"] or str(runs[values["run"]].parameters.get("backbone", "tiny"))


def wide_name(name: str) -> str:
    """Return an arm or a scheme as its control names it."""
    return escape(SCHEMES.get(name) or arm_name(name))


def show_differences(kind: str, parameters: dict[str, Any], dataset: Dataset) -> None:
    """Say what differs from the last run of this kind on this dataset."""
    earlier = state.runs(dataset.name, (kind,))
    if not earlier:
        st.caption(f"The first run of this kind on {escape(dataset.name)}.")
        return
    table = run_parameters.differences(
        {
            words.run_label(earlier[0]): run_parameters.complete(earlier[0]),
            "this run": run_parameters.with_defaults(kind, parameters),
        }
    )
    if table.empty:
        st.caption(f"The same as the last run, {escape(words.run_label(earlier[0]))}.")
        return
    st.markdown("**What differs from the last run**")
    show.table(table, "differences")


def start(kind: str, config: Any, dataset: Dataset, place: where.Where, priority: int) -> str:
    """Queue the run and return its ID."""
    source = getattr(config, "run", "")
    title = run_title(kind, dataset.name, config.to_dict(), open_run(source).title if source else "")
    run = create_run(
        kind, dataset.name, config.to_dict(), title=title, device=config.device, priority=priority
    )
    launch(run, place.launcher, place.processes)
    return run.id


context = frame.page("New run")
if context.dataset is None:
    frame.empty("No dataset yet: a run needs one to work on.", "Import a dataset", "pages/datasets.py")
dataset = context.dataset
frame.need_counts(dataset, "A run")
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
pretrained = any(run.state == "done" for run in state.runs(dataset.name, ("pretrain",)))
if kind == "finetune" and not pretrained and not any(map(is_bundle, backbone_names())):
    st.info(f"No finished pretraining on {escape(dataset.name)} yet: start one first, then finetune it here.")
    st.stop()
values = form(kind, dataset)
with top:
    try:
        config: Any = run_parameters.CONFIGS[kind].from_dict(fields.collect(kind, values, dataset.name))
        if kind == "sweep" and not config.axes:
            st.info("Choose or type at least one field under **What is searched**.", icon=":material/tune:")
            st.stop()
        frame.answer(recipe.sentence(config, dataset))
    except InputError as error:
        frame.refusal(error)
        st.stop()
can_start = False
place = where.draw(kind)
with frame.guard():
    can_start = place.ready and cost_view.show(kind, config, dataset, place.launcher, place.processes)
if can_start:
    with st.container(horizontal=True, vertical_alignment="center"), frame.guard():
        if permit.button("launch", "Start the run", type="primary", icon=":material/play_arrow:"):
            run_id = start(kind, config, dataset, place, st.session_state.get("priority", 0))
            if kind == "sweep":
                st.session_state["sweep"] = run_id
                state.go("pages/sweep.py")
            state.go("pages/runs.py", run=run_id)
        with frame.guard():
            cost_view.offer_to_measure(config, dataset)
        if places():
            st.number_input(
                "Priority",
                -HIGHEST,
                HIGHEST,
                0,
                key="priority",
                width=130,
                help="Other runs wait: higher ones are served sooner, equal ones as they came",
            )
    permit.note("launch")
show_differences(kind, config.to_dict(), dataset)
