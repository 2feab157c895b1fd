"""What every configuration is made of: fields that explain themselves, JSON in and out, checks."""

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Self

from sgm_core.errors import InputError
from sgm_core.model.sizes import SIZES


def option(default: Any, group: str, help: str, paper: Any = None, choices: tuple[Any, ...] = ()) -> Any:
    """Return a dataclass field with its default, its group of the form, its help and what the paper used."""
    return field(default=default, metadata={"group": group, "help": help, "paper": paper, "choices": choices})


def backbone_field(default: str, help: str) -> Any:
    """Return the field that names a size or imported weights."""
    # the sizes are always there; imported bundles come on top, so the choices are suggestions
    metadata = {"group": "model", "help": help, "paper": None, "choices": tuple(SIZES), "open": True}
    return field(default=default, metadata=metadata)


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
            if choices and value not in choices and not f.metadata.get("open"):
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


def check_counts(config: Any, *names: str) -> None:
    """Refuse fields that are 0 and can't be."""
    for name in names:
        if getattr(config, name) == 0:
            raise InputError(f"{name} is 0: at least 1 is needed")
