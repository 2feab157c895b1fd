"""Controls made from the fields of a configuration: help, choices, the paper's value beside ours."""

import dataclasses
from typing import Any

import streamlit as st

from pages.components import clone, words
from sgm_core.comparison.config import ARMS, DECIDED
from sgm_core.model.sizes import CELL_TOKEN
from sgm_core.model.strategies import NEED_VALUES
from sgm_core.runs.parameters import CONFIGS, NESTED
from sgm_core.training.backbones import (
    SHAPE_FIELDS,
    backbone_names,
    bundle_kind,
    default_arms,
    is_bundle,
    own_fields,
    recipe_defaults,
)
from sgm_core.training.config import FINETUNE_PRESETS, PRESETS, SCHEMES, FinetuneConfig, PretrainConfig

GROUPS = {
    "data": "Data",
    "masking": "Masking",
    "model": "Model",
    "optimisation": "Optimisation",
    "machine": "Machine",
}
_LABELS = {
    "weights_key": "Weight set",
    "run": "Pretrained model",
    "lr": "Learning rate",
    "lr_new": "Learning rate, new layers",
    "lr_backbone": "Learning rate, backbone",
    "n_genes": "Genes",
    "n_folds": "Folds",
    "umap": "UMAP",
    "amsgrad": "AMSGrad",
    "corpus": "Further datasets to pretrain on",
    "corpus_genes": "Genes of several datasets",
    "keys": "Latents attend over",
    "clip": "Gradient clipping",
    "batch_size": "Batch size",
    "labels": "Labelled cells a class",
    "label_draws": "Draws of the labelled cells",
    "subset": "Latents that score a cell",
    "subset_per": "Subset drawn per",
    "space": "What is searched",
}


SPACE = (
    "pretrain.lr_backbone=1e-4..1e-2:log",
    "pretrain.mask_ratio=0.15..0.6",
    "pretrain.epochs=2..12",
    "pretrain.subset=1,2,4",
    "finetune.lr=1e-4..1e-2:log",
)
"""Fields and ranges that the form of a sweep suggests; others can be typed."""
LABELS = ("10", "30", "100", "all")
"""Numbers of labelled cells a class that the form offers; others can be typed."""
CORPUS = ("corpus", "corpus_genes")
"""Fields for further datasets: shown where there are any, and set by no preset."""


@dataclasses.dataclass(frozen=True)
class Control:
    """One field of a form: where it belongs, and its name in the link."""

    kind: str
    path: str
    field: Any

    @property
    def key(self) -> str:
        """The key of the control."""
        return clone.key(self.kind, self.path)

    @property
    def group(self) -> str:
        """The group of the form that it belongs to."""
        return "finetuning" if self.path.startswith("finetune.") else self.field.metadata["group"]

    @property
    def default(self) -> Any:
        """The value it has untouched."""
        if self.field.default is not dataclasses.MISSING:
            return self.field.default
        return self.field.default_factory()


def controls(kind: str) -> dict[str, Control]:
    """Return the controls of a kind of run by path ('epochs', 'pretrain.epochs')."""
    result = {}
    for field in dataclasses.fields(CONFIGS[kind]):
        if field.name in NESTED:
            for inner in dataclasses.fields(NESTED[field.name]):  # type: ignore[arg-type]
                repeated = field.name == "finetune" and inner.name == "weights_key"
                if inner.name not in DECIDED and not repeated:
                    path = f"{field.name}.{inner.name}"
                    result[path] = Control(kind, path, inner)
        elif field.name != "data":
            result[field.name] = Control(kind, field.name, field)
    return result


def options_of(kind: str, backbone: str) -> dict[str, list[Any]]:
    """Return the choices that depend on which backbone is chosen, and on which there are."""
    arms = [arm for arm in ARMS if arm != "original" or is_bundle(backbone)]
    if is_bundle(backbone) and bundle_kind(backbone) in CELL_TOKEN:  # which predict no values
        arms = [arm for arm in arms if arm.removesuffix("+summary") not in NEED_VALUES]
    return {"backbone": list(backbone_names()), "arms": arms, "schemes": list(SCHEMES)}


def hidden(backbone: str) -> set[str]:
    """Return the names of the fields that say nothing for this backbone."""
    if not is_bundle(backbone):
        return {"weights_key"}
    hidden = {"n_genes", "depth_tokens", *SHAPE_FIELDS}
    # the other released models have one weight set, and know no read depth
    others = {"weights_key", "downsample", "target_depth"}
    return hidden | others if bundle_kind(backbone) in CELL_TOKEN else hidden


def starting_value(control: Control, backbone: str) -> Any:
    """Return the value of an untouched field: its default, or what suits imported weights."""
    if control.path == "arms":
        return default_arms(backbone)
    return _own(control, backbone).get(control.field.name, control.default)


def _own(control: Control, backbone: str) -> dict[str, Any]:
    """Return what a backbone starts from, in the part of the form that `control` belongs to."""
    part = control.path.rpartition(".")[0] or control.kind
    return recipe_defaults(backbone).get(part, {})


def apply_backbone(chosen: Control) -> None:
    """Give the fields that suit one kind of backbone only their value for the one that was just chosen."""
    backbone = st.session_state[chosen.key]
    for path, control in controls(chosen.kind).items():
        if path == "arms":
            st.session_state[control.key] = list(default_arms(backbone))
        elif control.field.name in own_fields(path.rpartition(".")[0] or chosen.kind):
            st.session_state[control.key] = starting_value(control, backbone)


def apply_changes(kind: str, changes: dict[str, Any]) -> None:
    """Fill the form with changed fields, each in every part that has it."""
    all_ = controls(kind)
    if "backbone" in changes:
        st.session_state[all_["backbone"].key] = changes["backbone"]
        apply_backbone(all_["backbone"])
    for control in all_.values():
        if control.field.name in changes:
            st.session_state[control.key] = changes[control.field.name]


def label(control: Control) -> str:
    """Return the field's name in words."""
    name = control.field.name
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def draw(control: Control, options: list[Any] | None = None, backbone: str = "", **extra: Any) -> Any:
    """Draw the control of one field and return its value.

    Parameters
    ----------
    control
        From `controls`.
    options
        Values to choose from, where they come from the dataset and not from the field.
    backbone
        The backbone that is chosen.
    extra
        Further arguments of the control.
    """
    metadata, default = control.field.metadata, starting_value(control, backbone)
    kind = str(getattr(control.field.type, "__name__", control.field.type))
    optional = "None" in kind
    common: dict[str, Any] = {
        "label": label(control),
        "key": control.key,
        "help": metadata["help"],
        "bind": "query-params",
        "persist_state": "session",
        **extra,
    }
    yes: dict[str, Any] = {"format_func": words.value} if True in metadata["choices"] else {}
    choices = options if options is not None else list(metadata["choices"])
    with st.container(gap="xxsmall"):
        value: Any
        if control.path == "labels":
            typed = st.multiselect(
                options=LABELS, default=list(default), accept_new_options=True, select_all=False, **common
            )
            value = tuple(one.strip() for one in typed)
            st.caption(
                "A lab has few labelled cells of its own: Compare shows F1 against their number. "
                "Choose numbers or type them."
            )
        elif control.path == "space":
            typed = st.multiselect(
                options=[
                    *SPACE,
                    *(one for one in st.session_state.get(control.key) or () if one not in SPACE),
                ],
                default=list(default),
                accept_new_options=True,
                select_all=False,
                placeholder="FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=A,B,C",
                **common,
            )
            value = tuple(one.strip() for one in typed)
            st.caption("Choose fields or type them, a range or a list of values each.")
        elif kind.startswith("tuple"):
            options = choices or list(default)
            value = tuple(st.pills(options=options, selection_mode="multi", default=list(default), **common))
        elif choices and optional:
            value = st.selectbox(options=choices, index=None, placeholder=_none(control), **{**yes, **common})
        elif choices:
            index = choices.index(default) if default in choices else 0
            value = st.selectbox(options=choices, index=index, **common)
        elif kind.startswith("bool"):
            value = st.toggle(value=default, **common)
        elif kind.startswith("int"):
            placeholder = _none(control) if optional else None
            value = st.number_input(
                value=default, step=1, placeholder=placeholder, **_ends(metadata), **common
            )
        elif kind.startswith("float"):
            step = 0.05 if default >= 0.1 else 10.0 ** -(len(f"{default:.10f}".split("1")[0]) - 1 or 4)
            value = st.number_input(value=default, step=step, format="%g", **_ends(metadata), **common)
        else:
            value = st.text_input(value=default, **common)
        paper = metadata["paper"]
        if paper is not None:
            st.caption(f"paper {words.value(paper)}")
    return value


def _ends(metadata: Any) -> dict[str, Any]:
    """Return the ends of a number's control; of an end that is open, the configuration says no."""
    return {"min_value": metadata["range"].low, "max_value": metadata["range"].high}


def apply_preset(chosen: Control) -> None:
    """Fill the form's fields, of pretraining or of finetuning, with those of the preset just chosen."""
    prefix = chosen.path.removesuffix("preset")
    finetuning = "finetune" in (chosen.kind, prefix.removesuffix("."))
    presets, kind = (FINETUNE_PRESETS, FinetuneConfig) if finetuning else (PRESETS, PretrainConfig)
    preset = presets[st.session_state[chosen.key]]
    decided = DECIDED if prefix else DECIDED - {"train_cells"}  # a comparison has that field itself
    known = {field.name for field in dataclasses.fields(kind)} - decided - {"preset", *CORPUS}
    for path, control in controls(chosen.kind).items():
        name = path.removeprefix(prefix)
        if path.startswith(prefix) and name in known:
            st.session_state[control.key] = preset.get(name, control.default)


def _none(control: Control) -> str:
    name = control.field.name
    if name in SHAPE_FIELDS:
        return "the backbone's own"
    everyone = "every fold" if control.kind == "finetune" else "shared by all"
    return {
        "fold": everyone,
        "patience": "no early stopping",
        "label": "the cell type",
        "folds": "all others",
    }.get(name, "none")


def collect(kind: str, values: dict[str, Any], data: str) -> dict[str, Any]:
    """Return the drawn values as a configuration's fields; nested ones keep what is not as it would be."""
    fields: dict[str, Any] = {}
    backbone = values.get("backbone") or ""
    for path, control in controls(kind).items():
        value = values.get(path, starting_value(control, backbone))
        outer, _, inner = path.partition(".")
        if not inner:
            fields[path] = value
        else:
            # the presets of the paper are the same whatever the backbone
            as_recipe = values.get(f"{outer}.preset", "sgm") == "sgm"
            if value != (starting_value(control, backbone) if as_recipe else control.default):
                fields.setdefault(outer, {})[inner] = value
    if kind == "finetune" and fields.get("run"):
        fields["backbone"] = ""  # the run has a backbone and a dataset of its own
    else:
        fields["data"] = data
    return fields
