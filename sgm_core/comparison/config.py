"""Every choice of a comparison: one object for the page, the command line and JSON.

Every field says in its metadata what it means (`help`), to which group of the form it belongs (`group`),
and what the paper used (`paper`, where the text or the authors' code speaks). Defaults are the `sgm`
preset. Paper: "Improving Classification of Cell Types in AML with Self-guided Masking Technique", AI4D3
2025.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from sgm_core.errors import InputError
from sgm_core.model.sizes import DEFAULT_BACKBONE, usual_backbone
from sgm_core.model.strategies import strategy_names
from sgm_core.training.backbones import check_backbone, default_arms, is_bundle
from sgm_core.training.config.finetune import SCHEMES
from sgm_core.training.config.settings import (
    NESTED,
    SEEDS,
    Range,
    Settings,
    backbone_field,
    option,
    split_field,
    train_cells_field,
)

ARMS: dict[str, dict[str, Any]] = {
    "original": {},
    "no-pretraining": {},
    "uniform": {"masker": "uniform", "summary": "none"},
    "uniform+summary": {"masker": "uniform", "summary": "both"},
    "expression+summary": {"masker": "expression", "summary": "both"},
    "self-guided": {"masker": "self-guided", "summary": "both"},
}
ARMS |= {
    f"{name}+summary": {"masker": name, "summary": "both"}
    for name in strategy_names()
    if name not in ("uniform", "expression", "self-guided")
}
"""What each arm changes in `PretrainConfig`. The first two train nothing: `original` is imported weights as
they are, `no-pretraining` random ones."""
PRIMARY = ("self-guided", "uniform+summary")
"""The comparison that was chosen before any result: arms that differ in the masks alone."""
N_VARIABLE = 1500
"""Genes of the baseline `hvg-logistic`."""
KEPT_BYTES = 1_000_000_000
"""Most bytes that a baseline keeps of what it reads of test cells, and of validation cells, for it names them
several times."""
SEEDED = PRIMARY
"""Arms that run with every seed: what is said of masking and of genes has to come back with another one."""
_LABELS = re.compile("all|[2-9]|[1-9][0-9]{1,8}")  # each number in one way, so that none is there twice

DECIDED = frozenset(
    ("data", "run", "backbone", "masker", "summary", "scheme", "fold", "split", "n_folds", "label", "device")
) | {"seed", "train_cells"}
"""Fields of pretraining and finetuning that the arms, or the comparison as a whole, decide."""


@dataclass(frozen=True)
class CompareConfig(Settings):
    """The paper's Table 1 for one dataset: every arm and scheme over donor folds, with baselines."""

    data: str = option("", "data", "Name of the dataset")
    backbone: str = backbone_field(
        DEFAULT_BACKBONE,
        "A size that is trained from scratch, or the name of imported weights",
    )
    split: str = split_field()
    folds: int = option(5, "data", "Number of donor folds (cross-validation)", range=Range(2, 1000))
    label: str | None = option(None, "data", "Label column; none = the cell type column")
    train_cells: int | None = train_cells_field("; the baselines and the probe get as many, drawn once")
    arms: tuple[str, ...] = option(
        default_arms(DEFAULT_BACKBONE), "data", "Arms to compare; none given = the usual ones of the backbone"
    )
    schemes: tuple[str, ...] = option(("linear-probe", "partial"), "data", "Finetuning schemes to compare")
    pretrain: dict[str, Any] = field(
        default_factory=dict,
        metadata=NESTED | {"help": "Fields of PretrainConfig that differ from the defaults"},
    )
    finetune: dict[str, Any] = field(
        default_factory=dict,
        metadata=NESTED | {"help": "Fields of FinetuneConfig that differ from the defaults"},
    )
    labels: tuple[str, ...] = option(
        ("all",),
        "data",
        "Labelled cells a class that arms and baselines learn from: numbers from 2 up beside all of them, "
        "which is always scored; pretraining reads all training cells without their labels",
    )
    label_draws: int = option(
        3,
        "data",
        "Seeded draws of the labelled cells at each number of labels, the same in every arm",
        range=Range(1, 100),
    )
    umap: bool = option(True, "data", "Finish with a UMAP of the pooled embeddings")
    device: str = option("auto", "machine", "auto, cpu, cuda or cuda:N")
    seed: int = option(0, "machine", "First seed of every random choice", range=Range(0, SEEDS))
    seeds: int = option(
        3,
        "machine",
        "Seeds of the primary comparison's arms (self-guided, uniform+summary), each a model of its own; "
        "a preference for genes is a finding only if it comes back with another seed",
        range=Range(1, 100),
    )
    seeded: str = option(
        "primary",
        "machine",
        "Which arms run with every seed: those of the primary comparison, or all",
        choices=("primary", "all"),
    )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; where it names no arms, they are the usual ones of its backbone.

        Numbers of labels come as text in ascending order, all of them last.
        """
        preset = (values.get("pretrain") or {}).get("preset", "sgm")
        own: dict[str, Any] = {"backbone": values.get("backbone", usual_backbone(preset))}
        if "arms" not in values:
            own["arms"] = default_arms(str(own["backbone"]))
        if isinstance(values.get("labels"), list | tuple):
            own["labels"] = tuple(str(one) for one in values["labels"])  # JSON may have numbers
        config = super().from_dict({**values, **own})
        ordered = sorted({*config.labels, "all"}, key=lambda one: math.inf if one == "all" else int(one))
        return replace(config, labels=tuple(ordered))

    @property
    def few_labels(self) -> list[int]:
        """The numbers of labelled cells a class beside all of them, ascending."""
        return sorted(int(one) for one in self.labels if one != "all")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_backbone(self.backbone)
        for name, known in (("arms", tuple(ARMS)), ("schemes", SCHEMES)):
            chosen = getattr(self, name)
            if not chosen:
                raise InputError(f"{name} is empty: choose at least one of {', '.join(known)}")
            for one in chosen:
                if one not in known:
                    raise InputError(f"unknown {name[:-1]} {one!r}: the {name} are {', '.join(known)}")
                if chosen.count(one) > 1:
                    raise InputError(f"{name} has {one!r} twice: name each once")
        if not self.labels:
            raise InputError("labels is empty: give all, or numbers of labelled cells a class from 2 up")
        for one in self.labels:
            if not (isinstance(one, str) and _LABELS.fullmatch(one)):
                raise InputError(f"labels has {one!r}: give all, or a whole number from 2 up, such as 10")
            if self.labels.count(one) > 1:
                raise InputError(f"labels has {one!r} twice: name each once")
        if "original" in self.arms and not is_bundle(self.backbone):
            raise InputError(
                f"the arm 'original' is imported weights as they are, and {self.backbone!r} is trained "
                "from scratch: leave it out (no-pretraining is its untrained counterpart) or choose imported "
                "weights"
            )
        from sgm_core.comparison.arms import settings  # which needs this class

        for part in ("pretrain", "finetune"):
            for name in sorted(DECIDED & set(getattr(self, part))):
                raise InputError(f"{part}.{name} can't be set: a comparison's own fields decide it")
        for arm in self.arms:
            settings(self, arm)
