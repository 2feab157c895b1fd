"""What every configuration is made of: fields that explain themselves, JSON in and out, checks.

Whatever a single field can be is said in its metadata, by `option`, and checked here, once for the page, the
command line and JSON; what fields must be together is checked in `__post_init__` of their class.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Self

from sgm_core.errors import InputError
from sgm_core.model.sizes import SIZES

SEEDS = 2**32 - 1
"""The largest seed."""
BY_SIZE = 0
"""Value of the field `train_cells` that lets the number of cells decide."""
ALL_UP_TO, BEYOND = 50_000, 16_000
"""With `BY_SIZE`, all cells of a dataset of up to so many, and so many an epoch of a larger one, by time
(`benchmarks/results/train_cells.md` has what is known of scores)."""


@dataclass(frozen=True)
class Range:
    """The values of a numeric field: from `low` to `high`, without an end that is open."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return bool(above and below)  # NaN is in no range

    def __str__(self) -> str:
        low = f"{'above' if self.open_low else 'at least'} {_number(self.low)}"
        high = f"{'below' if self.open_high else 'at most'} {_number(self.high)}"
        return f"{low} and {high}"


def option(
    default: Any,
    group: str,
    help: str,
    paper: Any = None,
    choices: tuple[Any, ...] = (),
    range: Range | None = None,
) -> Any:
    """Return a dataclass field that explains itself.

    Parameters
    ----------
    default : its value where none is given
    group : the group of the form that it belongs to
    help : what it means
    paper : what the paper used
    choices : the values that it can take
    range : the values that a number can take; every number has one
    """
    metadata = {"group": group, "help": help, "paper": paper, "choices": choices, "range": range}
    return field(default=default, metadata=metadata)


NESTED = {"group": "model", "paper": None, "choices": (), "range": None}
"""Metadata of a field that holds fields of another configuration, but for its help."""


def backbone_field(default: str, help: str) -> Any:
    """Return the field that names a size or imported weights."""
    # the sizes are always there; imported bundles come on top, so the choices are suggestions
    metadata = {
        "group": "model",
        "help": help,
        "paper": None,
        "choices": tuple(SIZES),
        "open": True,
        "range": None,
    }
    return field(default=default, metadata=metadata)


SPLITS = {
    "cv": "cross-validation: every donor is tested once",
    "holdout": "one hold-out of 80 / 10 / 10 % of the donors (the paper)",
    "authors": "the same hold-out, scored by five draws of its test cells with replacement (the authors' "
    "'folds', which are no donor folds and give no interval over donors)",
}
"""Ways to split the donors."""


def train_cells_field(more: str = "") -> Any:
    """Return the field for the training cells of an epoch; `more` ends its explanation."""
    return option(
        BY_SIZE,
        "data",
        "Training cells an epoch, drawn anew for each and balanced over classes and donors; none = all of "
        f"them, 0 = all in a dataset of up to {ALL_UP_TO:,} cells and {BEYOND:,} in a larger one{more}",
        range=Range(0, 1_000_000_000),
    )


def checkpoint_field() -> Any:
    """Return the field for how often a training's state is kept."""
    return option(
        5.0,
        "machine",
        "Minutes between two checkpoints, from which a stopped run goes on as if it had never stopped; "
        "0 = after every update. It changes no number",
        range=Range(0.0, 1440.0),
    )


def split_field(more: str = "") -> Any:
    """Return the field that says how the donors are split."""
    meanings = "; ".join(f"{name} = {meaning}" for name, meaning in SPLITS.items())
    return option("cv", "data", f"How the donors are split: {meanings}{more}", "authors", tuple(SPLITS))


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
        return cls(**{name: convert(name, value, known[name].type) for name, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            check_field(f, getattr(self, f.name))


def check_field(f: Any, value: Any) -> None:
    """Check the value of one field.

    Raises
    ------
    InputError
        If it is not of the field's choices, or no number of the field's range.
    """
    kind = str(getattr(f.type, "__name__", f.type))
    if value is None and "None" in kind:
        return
    choices, span = f.metadata.get("choices"), f.metadata.get("range")
    if choices and value not in choices and not f.metadata.get("open"):
        raise InputError(f"{f.name} is {value!r}: choose one of {', '.join(map(str, choices))}")
    if f.name == "device" and not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(value)):
        raise InputError(f"device is {value!r}: choose auto, cpu, cuda or cuda:N")
    if kind.startswith("bool") and not isinstance(value, bool):
        raise InputError(f"{f.name} is {value!r}: a value of type {kind} is needed")
    if span is None:
        return
    number = Integral if kind.startswith("int") else Real
    if not isinstance(value, number) or isinstance(value, bool):
        raise InputError(f"{f.name} is {value!r}: a value of type {kind} is needed")
    if value not in span:
        raise InputError(f"{f.name} is {_number(value)}: it must be {span}")


def convert(name: str, value: Any, kind: Any) -> Any:
    """Convert text from the command line (and JSON's ints for floats) to the field's type."""
    kind = str(getattr(kind, "__name__", kind))
    if value is None or (isinstance(value, str) and value.lower() in ("none", "null") and "None" in kind):
        if "None" in kind:
            return None
        raise InputError(f"{name} needs a value")
    try:
        if isinstance(value, bool) and not kind.startswith("bool"):
            raise ValueError
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
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{name} is {value!r}: a value of type {kind} is needed") from error


def fold_count(split: str, n_folds: int) -> int:
    """Return how many folds a run trains for: one where the split is no cross-validation."""
    return n_folds if split == "cv" else 1


def check_fold(fold: int | None, split: str, n_folds: int) -> None:
    """Check that a split has the fold that is asked for."""
    n = fold_count(split, n_folds)
    if fold is not None and fold >= n:
        here = f"with {n} folds it is 0 to {n - 1}" if n > 1 else f"the split {split!r} has fold 0 alone"
        raise InputError(f"fold is {fold}: {here}")


def _number(value: Any) -> str:
    """Return a number as people write it: 15000, 0.3, nan."""
    whole = isinstance(value, Integral) or (math.isfinite(value) and float(value).is_integer())
    return f"{int(value)}" if whole and abs(value) < 1e15 else f"{value:g}"
