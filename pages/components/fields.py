"""Controls made from the fields of a configuration: help, choices, the paper's value beside ours."""

import dataclasses
from typing import Any

import streamlit as st

from pages.components import clone, words
from pages.components.run_facts import CONFIGS, NESTED
from sgm_core.training.config import PRESETS, PretrainConfig

GROUPS = {
    "data": "Data",
    "masking": "Masking",
    "model": "Model",
    "optimisation": "Optimisation",
    "machine": "Machine",
}
# What the arms, or the comparison as a whole, decide.
_DECIDED = {
    "data",
    "run",
    "scheme",
    "fold",
    "n_folds",
    "label",
    "masker",
    "summary",
    "backbone",
    "device",
    "seed",
}
_LABELS = {
    "lr": "Learning rate",
    "lr_new": "Learning rate, new layers",
    "lr_backbone": "Learning rate, backbone",
    "n_genes": "Genes",
    "n_folds": "Folds",
    "umap": "UMAP",
    "amsgrad": "AMSGrad",
    "keys": "Latents attend over",
    "clip": "Gradient clipping",
    "batch_size": "Batch size",
    "subset": "Latents that score a cell",
    "subset_per": "Subset drawn per",
}


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
                if inner.name not in _DECIDED:
                    path = f"{field.name}.{inner.name}"
                    result[path] = Control(kind, path, inner)
        elif field.name != "data":
            result[field.name] = Control(kind, field.name, field)
    return result


def label(control: Control) -> str:
    """Return the field's name in words."""
    name = control.field.name
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def draw(control: Control, options: list[Any] | None = None, **extra: Any) -> Any:
    """Draw the control of one field and return its value.

    Parameters
    ----------
    control
        From `controls`.
    options
        Values to choose from, where they come from the dataset and not from the field.
    extra
        Further arguments of the control.
    """
    metadata, default = control.field.metadata, control.default
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
    choices = options if options is not None else list(metadata["choices"])
    with st.container(gap="xxsmall"):
        value: Any
        if kind.startswith("tuple"):
            options = choices or list(default)
            value = tuple(st.pills(options=options, selection_mode="multi", default=list(default), **common))
        elif choices and optional:
            value = st.selectbox(options=choices, index=None, placeholder=_none(control), **common)
        elif choices:
            index = choices.index(default) if default in choices else 0
            value = st.selectbox(options=choices, index=index, **common)
        elif kind.startswith("bool"):
            value = st.toggle(value=default, **common)
        elif kind.startswith("int"):
            placeholder = _none(control) if optional else None
            value = st.number_input(value=default, min_value=0, step=1, placeholder=placeholder, **common)
        elif kind.startswith("float"):
            step = 0.05 if default >= 0.1 else 10.0 ** -(len(f"{default:.10f}".split("1")[0]) - 1 or 4)
            value = st.number_input(value=default, min_value=0.0, step=step, format="%g", **common)
        else:
            value = st.text_input(value=default, **common)
        paper = metadata["paper"]
        if paper is not None:
            st.caption(f"paper {words.value(paper)}")
    return value


def apply_preset(chosen: Control) -> None:
    """Fill the form's pretraining fields with those of the preset that was just chosen."""
    prefix = chosen.path.removesuffix("preset")
    preset = PRESETS[st.session_state[chosen.key]]
    known = {field.name for field in dataclasses.fields(PretrainConfig)}
    for path, control in controls(chosen.kind).items():
        name = path.removeprefix(prefix)
        if path.startswith(prefix) and name in known - _DECIDED - {"preset"}:
            st.session_state[control.key] = preset.get(name, control.default)


def _none(control: Control) -> str:
    return {"fold": "shared by all", "patience": "no early stopping", "label": "the cell type"}.get(
        control.field.name, "none"
    )


def collect(kind: str, values: dict[str, Any], data: str) -> dict[str, Any]:
    """Return the drawn values as a configuration's fields; nested ones keep what is not default."""
    fields: dict[str, Any] = {}
    for path, control in controls(kind).items():
        value = values.get(path, control.default)
        outer, _, inner = path.partition(".")
        if not inner:
            fields[path] = value
        elif value != control.default:
            fields.setdefault(outer, {})[inner] = value
    if any(field.name == "data" for field in dataclasses.fields(CONFIGS[kind])):
        fields["data"] = data
    return fields
