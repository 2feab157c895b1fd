"""Typed configuration: one object for the page, the command line and JSON.

Every field says in its metadata what it means (`help`), to which group of the form it belongs (`group`),
and what the paper used (`paper`, where the text or the authors' code speaks). Defaults are the `sgm`
preset. Paper: "Improving Classification of Cell Types in AML with Self-guided Masking Technique", AI4D3
2025.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sgm_core.errors import InputError

MASKERS = ("uniform", "expression", "self-guided")
ARMS: dict[str, dict[str, Any]] = {
    "no-pretraining": {},
    "uniform": {"masker": "uniform", "summary": "none"},
    "uniform+summary": {"masker": "uniform", "summary": "both"},
    "expression+summary": {"masker": "expression", "summary": "both"},
    "self-guided": {"masker": "self-guided", "summary": "both"},
}
SCHEMES = ("linear-probe", "partial")
BACKBONES = ("tiny", "small")


def _field(default: Any, group: str, help: str, paper: Any = None, choices: tuple[Any, ...] = ()) -> Any:
    return field(default=default, metadata={"group": group, "help": help, "paper": paper, "choices": choices})


class Settings:
    """What every configuration shares: JSON in and out, and checks that name the field."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; an unknown field or a value of the wrong type is an `InputError`."""
        known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise InputError(
                f"unknown field {unknown[0]!r} in {cls.__name__}: the fields are {', '.join(known)}"
            )
        return cls(**{name: _convert(name, value, known[name].type) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            choices = f.metadata.get("choices")
            value = getattr(self, f.name)
            if choices and value not in choices:
                raise InputError(f"{f.name} is {value!r}: choose one of {', '.join(map(str, choices))}")
            if isinstance(value, float | int) and not isinstance(value, bool) and value < 0:
                raise InputError(f"{f.name} is {value}: it can't be negative")


def _convert(name: str, value: Any, kind: Any) -> Any:
    """Convert text from the command line (and JSON's ints for floats) to the field's type."""
    kind = str(getattr(kind, "__name__", kind))
    if value is None or (isinstance(value, str) and value.lower() in ("none", "null") and "None" in kind):
        if "None" in kind:
            return None
        raise InputError(f"{name} needs a value")
    try:
        if kind.startswith("bool"):
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        if kind.startswith("int"):
            if isinstance(value, float) and not value.is_integer():
                raise ValueError
            return int(value)
        if kind.startswith("float"):
            return float(value)
        if kind.startswith("tuple"):
            return tuple(value.split(",")) if isinstance(value, str) else tuple(value)
        if kind.startswith("dict"):
            return dict(value)
        return str(value)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name} is {value!r}: a value of type {kind} is needed") from error


@dataclass(frozen=True)
class PretrainConfig(Settings):
    """Masked pretraining of one backbone on one dataset."""

    data: str = _field("", "data", "Name of the dataset")
    backbone: str = _field("tiny", "model", "Size of the scFoundation architecture", choices=BACKBONES)
    masker: str = _field("self-guided", "masking", "Who chooses the hidden genes", "self-guided", MASKERS)
    preset: str = _field(
        "sgm",
        "masking",
        "sgm: what measured best here; paper: the text; authors: their code with its named faults",
        choices=("sgm", "paper", "authors"),
    )
    fold: int | None = _field(
        None, "data", "Hide the test donors of this fold; none = shared pretraining on all donors"
    )
    n_folds: int = _field(5, "data", "Number of donor folds that `fold` counts in")
    label: str | None = _field(
        None, "data", "Label column used to stratify the folds; none = the cell type column"
    )
    n_genes: int = _field(
        2000, "model", "Number of most informative genes, chosen on the training donors", 16000
    )
    # masking
    mask_ratio: float = _field(
        0.3,
        "masking",
        "Share of the eligible positions (of the non-zero ones under `strata`) that is hidden",
        0.3,
    )
    zero_ratio: float = _field(0.03, "masking", "Share of the zeros that is hidden under the basis `strata`")
    mask_basis: str = _field(
        "strata",
        "masking",
        "all: one draw over all positions; strata: zeros and non-zeros apart",
        "all",
        ("all", "strata"),
    )
    latents: int = _field(8, "masking", "Trainable latent vectors N", 128)
    latent_width: int = _field(64, "masking", "Width of a latent D_z", 256)
    latent_heads: int = _field(2, "masking", "Heads of the latents' cross-attention", 8)
    subset: int = _field(2, "masking", "Size of the random subset R of latents that score a cell", 38)
    subset_per: str = _field(
        "cell", "masking", "Draw R for every cell or once a batch (authors' code)", "batch", ("cell", "batch")
    )
    keys: str = _field(
        "value+gene", "masking", "What the latents attend over", "value", ("value", "value+gene")
    )
    temperature: float = _field(
        1.0, "masking", "Importance is raised to 1 / temperature before the draw", 1.0
    )
    summary: str = _field(
        "both",
        "masking",
        "Where the latents' mean output is added to the tokens",
        "both",
        ("none", "encoder", "decoder", "both"),
    )
    summary_sees: str = _field(
        "masked",
        "masking",
        "masked: the mask token stands at hidden genes; all: the unmasked cell (leaks; authors' code)",
        "all",
        ("masked", "all"),
    )
    penalty: str = _field(
        "overlap",
        "masking",
        "overlap between latents' attention maps, or the norm of the attention output (authors' code)",
        "output-norm",
        ("none", "overlap", "output-norm"),
    )
    penalty_weight: float = _field(1e-3, "masking", "Weight of the penalty, lambda_attn", 1e-5)
    validation_masks: str = _field(
        "fixed",
        "masking",
        "Masks for the validation loss: drawn once, or again every epoch",
        "redrawn",
        ("fixed", "redrawn"),
    )
    # optimisation
    schedule: str = _field(
        "cosine",
        "optimisation",
        "Learning rate over the run: constant, or warm-up of 5 % and cosine decay",
        "constant",
        ("constant", "cosine"),
    )
    epochs: int = _field(3, "optimisation", "Passes over the training cells", 10)
    patience: int | None = _field(
        None,
        "optimisation",
        "Stop after this many epochs without improvement of the validation loss; none = fixed epochs",
        5,
    )
    batch_size: int = _field(32, "optimisation", "Cells a step", 1)
    accumulation: int = _field(1, "optimisation", "Steps whose gradients are added up before an update", 5)
    lr_new: float = _field(1e-3, "optimisation", "Learning rate of the new layers (latents, adapters)", 1e-4)
    lr_backbone: float = _field(1e-3, "optimisation", "Learning rate of the backbone", 1e-5)
    weight_decay: float = _field(0.0, "optimisation", "Weight decay", 5e-4)
    amsgrad: bool = _field(False, "optimisation", "Adam's amsgrad variant (authors' code)", True)
    clip: float = _field(1.0, "optimisation", "Largest gradient norm; 0 = no clipping", 1.0)
    # machine
    device: str = _field("auto", "machine", "auto, cpu, cuda or cuda:N")
    precision: str = _field("fp32", "machine", "Number format of the forward pass", "fp32", ("fp32", "bf16"))
    seed: int = _field(0, "machine", "Seed of every random choice")


_PAPER: dict[str, Any] = {
    "preset": "paper",
    "mask_basis": "all",
    "mask_ratio": 0.3,
    "latents": 128,
    "latent_width": 256,
    "latent_heads": 8,
    "subset": 38,
    "keys": "value+gene",
    "penalty": "output-norm",
    "penalty_weight": 1e-5,
    "schedule": "constant",
    "epochs": 10,
    "patience": 5,
    "batch_size": 1,
    "accumulation": 5,
    "lr_new": 1e-4,
    "lr_backbone": 1e-5,
    "weight_decay": 5e-4,
    "amsgrad": True,
    "clip": 1.0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "sgm": {"preset": "sgm"},
    "paper": _PAPER,
    # the named faults of the authors' code: keys without gene identity, R once per batch, a summary of the
    # unmasked cell, a tenth of the masks, no clipping in effect, one learning rate, validation masks redrawn
    "authors": {
        **_PAPER,
        "preset": "authors",
        "mask_ratio": 0.024,
        "keys": "value",
        "subset_per": "batch",
        "summary_sees": "all",
        "lr_new": 1e-5,
        "clip": 0.0,
        "validation_masks": "redrawn",
    },
}
"""Fields of `PretrainConfig` that each preset sets; all others keep their defaults."""


def pretrain_config(preset: str = "sgm", **values: Any) -> PretrainConfig:
    """Return a preset with the fields `values` changed.

    Raises
    ------
    InputError
        If the preset or a field is unknown, or a value does not fit its field.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    return PretrainConfig.from_dict({**PRESETS[preset], **values})


@dataclass(frozen=True)
class FinetuneConfig(Settings):
    """A classifier on a pretrained run (or on an untrained backbone)."""

    run: str = _field("", "data", "ID of the pretraining run")
    scheme: str = _field(
        "linear-probe",
        "model",
        "linear-probe: the head only; partial: embeddings, last block and head",
        choices=SCHEMES,
    )
    fold: int | None = _field(
        None,
        "data",
        "Fold to train and test on; none = the run's own fold, or all folds of shared pretraining",
    )
    label: str | None = _field(None, "data", "Label column; none = the cell type column")
    epochs: int = _field(
        5, "optimisation", "Passes over the labelled training cells (partial finetuning)", 10
    )
    probe_epochs: int = _field(
        60, "optimisation", "Passes of the linear probe's head over the cached vectors", 10
    )
    batch_size: int = _field(32, "optimisation", "Cells a step", 1)
    lr: float = _field(1e-3, "optimisation", "Learning rate", 1e-4)
    weight_decay: float = _field(1e-4, "optimisation", "Weight decay", 5e-4)
    clip: float = _field(1.0, "optimisation", "Largest gradient norm; 0 = no clipping", 1.0)
    head_hidden: int = _field(256, "model", "Width of the head's hidden layer", 256)
    class_weights: bool = _field(True, "optimisation", "Weight the loss by the inverse class frequency", True)
    dropout: float = _field(0.2, "model", "Dropout on the pooled vector and the head's hidden layer", 0.0)
    keep_summary: bool = _field(
        True, "model", "The summary path stays in the classifier's forward pass", True
    )
    device: str = _field("auto", "machine", "auto, cpu, cuda or cuda:N")
    precision: str = _field("fp32", "machine", "Number format of the forward pass", "fp32", ("fp32", "bf16"))
    seed: int = _field(0, "machine", "Seed of every random choice")


@dataclass(frozen=True)
class CompareConfig(Settings):
    """The paper's Table 1 for one dataset: every arm and scheme over donor folds, with baselines."""

    data: str = _field("", "data", "Name of the dataset")
    backbone: str = _field("tiny", "model", "Size of the scFoundation architecture", choices=BACKBONES)
    folds: int = _field(5, "data", "Number of donor folds")
    label: str | None = _field(None, "data", "Label column; none = the cell type column")
    arms: tuple[str, ...] = _field(tuple(ARMS), "data", "Arms to compare")
    schemes: tuple[str, ...] = _field(SCHEMES, "data", "Finetuning schemes to compare")
    pretrain: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "group": "model",
            "help": "Fields of PretrainConfig that differ from the defaults",
            "paper": None,
            "choices": (),
        },
    )
    finetune: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "group": "model",
            "help": "Fields of FinetuneConfig that differ from the defaults",
            "paper": None,
            "choices": (),
        },
    )
    umap: bool = _field(True, "data", "Finish with a UMAP of the pooled embeddings")
    device: str = _field("auto", "machine", "auto, cpu, cuda or cuda:N")
    seed: int = _field(0, "machine", "Seed of every random choice")

    def __post_init__(self) -> None:
        super().__post_init__()
        for arm in self.arms:
            if arm not in ARMS:
                raise InputError(f"unknown arm {arm!r}: the arms are {', '.join(ARMS)}")
