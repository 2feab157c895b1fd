"""Every choice of a finetuning: one object for the page, the command line and JSON.

Every field says in its metadata what it means (`help`), to which group of the form it belongs (`group`),
and what the paper used (`paper`, where the text or the authors' code speaks). Defaults are the `sgm`
preset. Paper: "Improving Classification of Cell Types in AML with Self-guided Masking Technique", AI4D3
2025.
"""

from dataclasses import dataclass
from typing import Any

from sgm_core.errors import InputError
from sgm_core.training.backbones import POOLS, recipe_defaults
from sgm_core.training.config.settings import (
    SEEDS,
    Range,
    Settings,
    check_fold,
    checkpoint_field,
    option,
    split_field,
    train_cells_field,
)

SCHEMES = ("linear-probe", "partial", "last-block", "official")
"""The paper's two first, and of all the probe, for it leaves the weights as they are."""


_PAPER: dict[str, Any] = {
    "preset": "paper",
    "train_cells": None,
    "epochs": 10,
    "probe_epochs": 10,
    "batch_size": 1,
    "probe_batch_size": 8,
    "accumulation": 5,
    "lr": 1e-4,
    "weight_decay": 5e-4,
    "choose_decay": False,
    "amsgrad": True,
    "schedule": "constant",
    "patience": 5,
    "clip": 1.0,
    "head": "mlp",
    "head_hidden": 256,
    "pool": "max",
    "dropout": 0.0,
    "class_weights": True,
    "class_weighting": "authors",
    "keep_summary": True,
    "trained_block": "last",
}
FINETUNE_PRESETS: dict[str, dict[str, Any]] = {
    "sgm": {},
    "paper": _PAPER,
    # where their code departs from the text: the block, and clipping once before training, without effect
    "authors": {**_PAPER, "preset": "authors", "trained_block": "second-to-last", "clip": 0.0},
}
"""Fields of `FinetuneConfig` that each preset sets; all others keep their defaults.

`paper` is the text, and where the text is silent (pooling, class weights, amsgrad, epochs) the authors' code.
Not copied: there a batch's loss is divided by the sum of its weights, so that in a batch of one cell the
class weights cancel, and the penalty on the cross-attention stays in the loss.
"""


@dataclass(frozen=True)
class FinetuneConfig(Settings):
    """A classifier on a pretraining run, or on imported weights as they are (`backbone` and `data`)."""

    run: str = option("", "data", "ID of the pretraining run; none = imported weights")
    preset: str = option(
        "sgm",
        "optimisation",
        "sgm: what measured best here; paper: the paper's recipe",
        choices=tuple(FINETUNE_PRESETS),
    )
    backbone: str = option("", "data", "Imported weights to finetune as they are, in place of a run")
    data: str = option("", "data", "Name of the dataset, with `backbone`; a run has its own")
    weights_key: str = option(
        "gene", "model", "Which weight set, with `backbone`", "gene", ("cell", "gene", "rde")
    )
    split: str = split_field("; with `backbone`, a run has its own")
    n_folds: int = option(
        5, "data", "Number of donor folds, with `backbone`; a run has its own", range=Range(2, 1000)
    )
    scheme: str = option(
        "linear-probe",
        "model",
        "linear-probe: the head only; partial: token and position embeddings, last block and head (the "
        "paper); last-block: last block and head, several times faster; official: scFoundation's own recipe, "
        "second-to-last block and head on the genes without S and T",
        choices=SCHEMES,
    )
    fold: int | None = option(
        None,
        "data",
        "Fold to train and test on; none = the run's own fold, or all folds of shared pretraining",
        range=Range(0, 999),
    )
    label: str | None = option(None, "data", "Label column; none = the cell type column")
    train_cells: int | None = train_cells_field()
    epochs: int = option(
        5,
        "optimisation",
        "Passes over the labelled training cells (partial finetuning)",
        10,
        range=Range(1, 10_000),
    )
    probe_epochs: int = option(
        60,
        "optimisation",
        "Passes of a probe with the head `mlp` over the cached vectors",
        10,
        range=Range(1, 100_000),
    )
    batch_size: int = option(
        32, "optimisation", "Cells a step (the probe has 256); imported weights: 4", 1, range=Range(1, 65_536)
    )
    probe_batch_size: int = option(
        256, "optimisation", "Cells a step of the linear probe", 8, range=Range(2, 65_536)
    )
    accumulation: int = option(
        1,
        "optimisation",
        "Steps whose gradients are averaged for an update; imported weights: 2",
        5,
        range=Range(1, 65_536),
    )
    lr: float = option(
        1e-3,
        "optimisation",
        "Learning rate; imported weights: 1e-4",
        1e-4,
        range=Range(0.0, 1.0, open_low=True),
    )
    weight_decay: float = option(1e-4, "optimisation", "Weight decay", 5e-4, range=Range(0.0, 1.0))
    choose_decay: bool = option(
        True,
        "optimisation",
        "The weight decay of a probe with the head `mlp` is chosen by macro F1 on the validation donors, "
        "among 0, 0.0001, 0.001, 0.01 and `weight_decay`; false = `weight_decay`",
        False,
    )
    amsgrad: bool = option(False, "optimisation", "Adam's amsgrad variant (authors' code)", True)
    schedule: str = option(
        "cosine",
        "optimisation",
        "Learning rate over the run: constant, or warm-up of 5 % and cosine decay",
        "constant",
        ("constant", "cosine"),
    )
    patience: int | None = option(
        None,
        "optimisation",
        "Stop after this many epochs without improvement on the validation donors; none = all epochs run. "
        "Either way they never train, and the epoch of the best macro F1 on them is kept",
        5,
        range=Range(1, 10_000),
    )
    clip: float = option(
        1.0, "optimisation", "Largest gradient norm; 0 = no clipping", 1.0, range=Range(0.0, 1000.0)
    )
    head: str = option(
        "linear",
        "model",
        "linear: logistic regression on the standardised vector, its penalty chosen by the validation "
        "donors; training a part of the model starts from it. mlp: the paper's head with one hidden layer",
        "mlp",
        ("linear", "mlp"),
    )
    head_hidden: int = option(
        256, "model", "Width of the hidden layer of the head `mlp`", 256, range=Range(1, 65_536)
    )
    class_weights: bool = option(
        True, "optimisation", "Weight the loss by class, by the rule `class_weighting`", True
    )
    class_weighting: str = option(
        "sqrt",
        "optimisation",
        "sqrt: by the square root of the inverse class frequency; authors: by the inverse class frequency "
        "where a class is more than 50 times rarer than the most frequent one, flat below that",
        "authors",
        ("sqrt", "authors"),
    )
    pool: str | None = option(
        None,
        "model",
        "Parts of a cell's vector that the head reads; none = the backbone's own (`official` has the max)",
        "max",
        POOLS,
    )
    trained_block: str = option(
        "last",
        "model",
        "The encoder block that `partial` and `last-block` train: the last one (the paper's text), or the "
        "second-to-last (the authors' code), which needs a backbone of two blocks or more",
        "last",
        ("last", "second-to-last"),
    )
    dropout: float = option(
        0.2,
        "model",
        "Dropout on the pooled vector and the head's hidden layer",
        0.0,
        range=Range(0.0, 1.0, open_high=True),
    )
    keep_summary: bool = option(
        True, "model", "The summary path stays in the classifier's forward pass", True
    )
    compat: str = option(
        "corrected",
        "model",
        "official: the released code's padded pooling, where a prediction depends on the cells beside it "
        "(the scheme `official` alone)",
        choices=("corrected", "official"),
    )
    max_tokens: int = option(
        15000,
        "machine",
        "Refuse cells with more tokens; a run that was pretrained with more may keep them",
        range=Range(1, 1_000_000),
    )
    cache: bool = option(
        True,
        "machine",
        "Keep what enters the trained block on disk (last-block, official), so that every cell goes through "
        "the frozen blocks once",
    )
    device: str = option("auto", "machine", "auto, cpu, cuda or cuda:N")
    precision: str = option("fp32", "machine", "Number format of the forward pass", "fp32", ("fp32", "bf16"))
    seed: int = option(0, "machine", "Seed of every random choice", range=Range(0, SEEDS))
    checkpoint_minutes: float = checkpoint_field()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.run:
            check_fold(self.fold, self.split, self.n_folds)
        if self.run and self.backbone:
            raise InputError(
                f"run is {self.run!r} and backbone is {self.backbone!r}: give one, a pretraining run or "
                "imported weights"
            )
        if self.compat == "official" and self.scheme != "official":
            raise InputError(
                f"compat=official belongs to the scheme 'official', not to {self.scheme!r}: "
                "choose --scheme official or leave compat at corrected"
            )


def finetune_config(backbone: str = "", preset: str = "sgm", **values: Any) -> FinetuneConfig:
    """Return a preset with the fields `values` changed; `sgm` takes the backbone's `recipe_defaults`.

    Parameters
    ----------
    backbone : the backbone that is finetuned: with ``run`` among the values, that run's; without, imported
        weights
    preset : a name of `FINETUNE_PRESETS`
    values : fields of `FinetuneConfig`

    Raises
    ------
    InputError
        If the preset or a field is unknown or a value does not fit its field.
    """
    if preset not in FINETUNE_PRESETS:
        raise InputError(f"unknown preset {preset!r}: choose one of {', '.join(FINETUNE_PRESETS)}")
    own = FINETUNE_PRESETS[preset]
    if preset == "sgm" and backbone:
        own = {**own, **recipe_defaults(backbone).get("finetune", {})}
    given = {} if values.get("run") else {"backbone": backbone}
    return FinetuneConfig.from_dict({**own, **given, **values})
