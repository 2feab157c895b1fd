"""Every choice of a sweep: one object for the page, the command line and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from sgm_core.comparison.arms import settings
from sgm_core.comparison.config import ARMS, CompareConfig
from sgm_core.errors import InputError
from sgm_core.model.sizes import DEFAULT_BACKBONE
from sgm_core.sweeps.space import Axis, combinations, grid, parse_space
from sgm_core.training.config import SCHEMES, FinetuneConfig, PretrainConfig
from sgm_core.training.config.settings import (
    NESTED,
    SEEDS,
    Range,
    Settings,
    backbone_field,
    check_fold,
    option,
    train_cells_field,
)

SAMPLERS = {
    "tpe": "tree-structured Parzen estimator: tries what resembles the best so far",
    "random": "evenly over the space",
    "grid": "every combination, in random order",
}
PRUNERS = {
    "median": "a trial ends early whose mean over the folds so far is below the median of the others",
    "none": "every trial is scored on all folds",
}


@dataclass(frozen=True)
class SweepConfig(Settings):
    """A search over settings for one dataset, backbone, arm and scheme; the default setting is trial 0."""

    data: str = option("", "data", "Name of the dataset")
    backbone: str = backbone_field(
        DEFAULT_BACKBONE, "A size that is trained from scratch, or the name of imported weights"
    )
    arm: str = option("self-guided", "data", "Whose settings are searched", choices=tuple(ARMS))
    scheme: str = option("linear-probe", "data", "How a trial names cells", choices=SCHEMES)
    space: tuple[str, ...] = option(
        (),
        "data",
        "What is searched, a field each: pretrain.lr_backbone=1e-5..1e-3:log, R=1,2,4, finetune.epochs=2..8",
    )
    trials: int = option(
        20, "data", "Settings that are tried, the default one among them", range=Range(2, 10_000)
    )
    sampler: str = option(
        "tpe",
        "data",
        "Who chooses the next setting; " + "; ".join(f"{name}: {what}" for name, what in SAMPLERS.items()),
        choices=tuple(SAMPLERS),
    )
    pruner: str = option(
        "median",
        "data",
        "; ".join(f"{name}: {what}" for name, what in PRUNERS.items()),
        choices=tuple(PRUNERS),
    )
    split: str = option(
        "cv",
        "data",
        "Where the donors come from that are held back: cv = one of `n_folds` folds, holdout = the paper's "
        "one split, which leaves one set of validation donors",
        choices=("cv", "holdout"),
    )
    n_folds: int = option(5, "data", "Number of donor folds of the split cv", range=Range(2, 1000))
    fold: int = option(
        0,
        "data",
        "The fold whose test donors are held back: neither their labels nor their cells are looked at",
        range=Range(0, 999),
    )
    folds: int | None = option(
        None,
        "data",
        "How many of the other folds validate a trial, each in turn while the rest trains; none = all",
        range=Range(1, 999),
    )
    label: str | None = option(None, "data", "Label column; none = the cell type column")
    train_cells: int | None = train_cells_field()
    pretrain: dict[str, Any] = field(
        default_factory=dict,
        metadata=NESTED | {"help": "Fields of PretrainConfig that every trial has other than the defaults"},
    )
    finetune: dict[str, Any] = field(
        default_factory=dict,
        metadata=NESTED | {"help": "Fields of FinetuneConfig that every trial has other than the defaults"},
    )
    device: str = option("auto", "machine", "auto, cpu, cuda or cuda:N")
    seed: int = option(0, "machine", "Seed of the search and of every training", range=Range(0, SEEDS))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; fields of the space get their full names."""
        config = super().from_dict(values)
        # what was checked is not checked again: many settings are tried for it
        object.__setattr__(config, "space", tuple(map(str, config.axes)))
        return config

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fold(self.fold, self.split, self.n_folds)
        most = self.n_folds - 1 if self.split == "cv" else 1
        if self.folds is not None and self.folds > most:
            raise InputError(f"folds is {self.folds}: beside the fold that is held back there is {most}")
        for axis in self.axes:
            if axis.part == "pretrain" and not ARMS[self.arm]:
                raise InputError(
                    f"space {axis.path} does nothing: the arm {self.arm!r} is not pretrained; search fields "
                    "of finetuning, or another arm"
                )
        if self.sampler == "grid":
            grid(self.axes)
        self.comparison()
        for one in combinations(self.axes):
            try:
                self.comparison(one)
            except InputError as error:
                setting = ", ".join(f"{path}={value}" for path, value in one.items())
                raise InputError(
                    f"the space has settings that can't be, such as {setting}: {error}"
                ) from error

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The space; empty where none is given (yet)."""
        return parse_space(self.space)

    def require_space(self) -> None:
        """Refuse a sweep without a space.

        Raises
        ------
        InputError
            If there is none.
        """
        if not self.axes:
            raise InputError(
                "space is empty: name at least one field to search, such as lr_backbone=1e-4..1e-2:log"
            )

    @property
    def n_trials(self) -> int:
        """Trials that there will be: a grid has no more than its combinations, and the default setting."""
        return min(self.trials, 1 + len(grid(self.axes))) if self.sampler == "grid" else self.trials

    @property
    def n_scored(self) -> int:
        """Folds that a trial is scored on."""
        return self.folds or (self.n_folds - 1 if self.split == "cv" else 1)

    @property
    def pretrains_once(self) -> bool:
        """Whether all trials have the same pretraining: only finetuning is searched."""
        return bool(ARMS[self.arm]) and all(axis.part == "finetune" for axis in self.axes)

    def comparison(self, setting: Mapping[str, Any] | None = None, **more: Any) -> CompareConfig:
        """Return the comparison of this one arm under a setting.

        Parameters
        ----------
        setting : values of the space by path; none = the default setting
        more : fields of the comparison

        Raises
        ------
        InputError
            If the values don't fit each other.
        """
        parts: dict[str, dict[str, Any]] = {"pretrain": dict(self.pretrain), "finetune": dict(self.finetune)}
        for path, value in (setting or {}).items():
            part, _, name = path.partition(".")
            parts[part][name] = value
        same = ("data", "backbone", "split", "label", "train_cells", "device", "seed")
        own = {name: getattr(self, name) for name in same}
        own |= {"arms": (self.arm,), "schemes": (self.scheme,), "folds": self.n_folds, "seeds": 1}
        return CompareConfig.from_dict({**own, "umap": False, **parts, **more})

    def recipes(
        self, setting: Mapping[str, Any] | None = None, fold: int = 0
    ) -> tuple[PretrainConfig, FinetuneConfig]:
        """Return what a trial trains by, its pretraining and its finetuning (see `comparison`)."""
        pretraining, finetuning = settings(self.comparison(setting), self.arm, fold)
        compat = finetuning.compat if self.scheme == "official" else "corrected"
        return pretraining, replace(finetuning, scheme=self.scheme, compat=compat)

    def default_setting(self) -> dict[str, Any]:
        """Return the values that the fields of the space have by default, by path."""
        both = dict(zip(("pretrain", "finetune"), self.recipes(), strict=True))
        return {axis.path: getattr(both[axis.part], axis.name) for axis in self.axes}
