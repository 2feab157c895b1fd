"""What a sweep searches: fields of pretraining and finetuning, each with a range or a list of values."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sgm_core.comparison.config import DECIDED
from sgm_core.errors import InputError
from sgm_core.training.config import FinetuneConfig, PretrainConfig
from sgm_core.training.config.settings import check_field, convert

PARTS: dict[str, type[PretrainConfig] | type[FinetuneConfig]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
}
LETTERS = {"N": "pretrain.latents", "R": "pretrain.subset", "D_z": "pretrain.latent_width"}
"""Names of the paper for fields."""
_ALONE = {"preset", "corpus", "corpus_genes", "compat", "programmes", "run"}
"""Fields that set others, or name what is not a setting of a training."""
_HOW = "write FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=A,B,C"
_MOST_CHECKED = 256
_MOST_VALUES = 100


@dataclass(frozen=True)
class Axis:
    """One field and the values that it is tried with.

    Parameters
    ----------
    path : ``pretrain.subset``, ``finetune.lr``
    values : the values of a list; empty for a range
    low, high : the ends of a range, both among its values
    log : a range is drawn evenly in the logarithm
    """

    path: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @property
    def part(self) -> str:
        """``pretrain`` or ``finetune``."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """The field's name in its part."""
        return self.path.partition(".")[2]

    @property
    def whole(self) -> bool:
        """Whether a range is one of whole numbers."""
        return isinstance(self.low, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that stand for all of them where rules are checked."""
        return self.values or (self.low, self.high)

    def every(self) -> tuple[Any, ...]:
        """Return all its values.

        Raises
        ------
        InputError
            If it is a range of decimal numbers, or has more than 100.
        """
        if self.values:
            return self.values
        if not self.whole or self.log:
            raise InputError(
                f"space {self}: a grid needs a list or a plain range of whole numbers; give values, such as "
                f"{self.path}={self.low:g},{self.high:g}, or another sampler"
            )
        if self.high - self.low >= _MOST_VALUES:
            raise InputError(f"space {self} has more than {_MOST_VALUES} values: a grid needs fewer")
        return tuple(range(int(self.low), int(self.high) + 1))

    def __contains__(self, value: Any) -> bool:
        if self.values:
            return any(value == one and type(value) is type(one) for one in self.values)
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.values:
            return f"{self.path}={','.join(map(_text, self.values))}"
        return f"{self.path}={self.low!r}..{self.high!r}{':log' if self.log else ''}"


def parse_space(texts: Sequence[str]) -> tuple[Axis, ...]:
    """Read what ``--space`` was given.

    Raises
    ------
    InputError
        If a field is unknown, can't be searched or is there twice, or a value does not fit it.
    """
    axes = tuple(_axis(text) for text in texts)
    for number, axis in enumerate(axes):
        if axis.path in {other.path for other in axes[:number]}:
            raise InputError(f"space has {axis.path} twice: name each field once")
    return axes


def combinations(axes: Sequence[Axis], most: int = _MOST_CHECKED) -> Iterator[dict[str, Any]]:
    """Yield the combinations of ends by path: all, or `most` of them that spread over all."""
    total = math.prod(len(axis.ends) for axis in axes)
    step = max(1, math.ceil(total / most))
    while step > 1 and math.gcd(step, total) != 1:  # so that every value of every field is visited
        step += 1
    for ends in itertools.islice(itertools.product(*(axis.ends for axis in axes)), 0, None, step):
        yield dict(zip((axis.path for axis in axes), ends, strict=True))


def grid(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Return every combination of the values, by path."""
    every = [axis.every() for axis in axes]
    if math.prod(map(len, every)) > 10_000:
        raise InputError("the grid has over 10,000 settings: take fewer values, or the sampler tpe or random")
    return [dict(zip((axis.path for axis in axes), one, strict=True)) for one in itertools.product(*every)]


def _axis(text: str) -> Axis:
    name, sign, rest = text.strip().partition("=")
    if not sign or not name or not rest:
        raise InputError(f"space {text!r} can't be read: {_HOW}")
    path = _path(LETTERS.get(name, name))
    part, _, own = path.partition(".")
    field = next(field for field in dataclasses.fields(PARTS[part]) if field.name == own)
    if ".." in rest:
        return _range(path, rest, field)
    values = tuple(convert(path, value.strip(), field.type) for value in rest.split(","))
    for value in values:
        check_field(field, value)
        if values.count(value) > 1:
            raise InputError(f"space {path} has {_text(value)} twice: name each value once")
    if len(values) < 2:
        raise InputError(f"space {text!r} has one value: to fix a field, use --set {path}={rest}")
    return Axis(path, values)


def _range(path: str, text: str, field: Any) -> Axis:
    ends, _, how = text.partition(":")
    low_text, _, high_text = ends.partition("..")
    kind = str(getattr(field.type, "__name__", field.type)).partition(" ")[0]
    if kind not in ("int", "float"):
        raise InputError(f"space {path}: a range needs a field of numbers; give a list, {path}=A,B")
    if how not in ("", "log"):
        raise InputError(f"space {path}={text} can't be read: {_HOW}")
    low, high = (convert(path, end.strip(), kind) for end in (low_text, high_text))
    for end in (low, high):
        check_field(field, end)
    if not low < high:
        raise InputError(f"space {path}: a range goes up, and {low_text} is not below {high_text}")
    if how and not low > 0:
        raise InputError(f"space {path}: a logarithmic range starts above 0, and this one at {low_text}")
    return Axis(path, (), low, high, bool(how))


def _path(name: str) -> str:
    """Return a field's name with its part."""
    fields = {
        part: {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        for part, kind in PARTS.items()
    }
    part, dot, own = name.partition(".")
    if not dot:
        parts = [part for part, names in fields.items() if name in names and name not in DECIDED]
        if len(parts) > 1:
            raise InputError(f"space {name!r} is a field of both: write pretrain.{name} or finetune.{name}")
        part, own = (parts or ["pretrain"])[0], name
    if part not in fields or own not in fields[part]:
        raise InputError(
            f"space has no field {name!r}: take one of pretraining or finetuning, such as pretrain.epochs "
            "(`sgm pretrain --help`; the page New run explains each)"
        )
    kind = next(f for f in dataclasses.fields(PARTS[part]) if f.name == own)  # type: ignore[arg-type]
    if own in DECIDED or own in _ALONE or kind.metadata["group"] == "machine":
        raise InputError(f"space {part}.{own} can't be searched: it is no setting of the training itself")
    return f"{part}.{own}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)
