"""Numbers with units, and lists, as they are said in messages."""

from collections.abc import Iterable
from typing import Any


def duration(seconds: float) -> str:
    """Return e.g. '40 s', '12 min', '3.5 h', '12 days'."""
    for unit, length, from_ in (("days", 86400, 2), ("h", 3600, 1.5), ("min", 60, 2)):
        if seconds >= from_ * length:
            number = seconds / length
            return f"{number:,.0f} {unit}" if number >= 10 or unit == "min" else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.2g} s"


def size(n_bytes: float) -> str:
    """Return e.g. '3.2 GB'."""
    for unit, factor, digits in (("TB", 1e12, 1), ("GB", 1e9, 1), ("MB", 1e6, 0)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:,.{digits}f} {unit}"
    return f"{n_bytes / 1e3:,.0f} kB"


def listed(things: Iterable[str], word: str = "and") -> str:
    """Return e.g. 'a', 'a and b', 'a, b and c'."""
    every = list(things)
    return f" {word} ".join(filter(None, [", ".join(every[:-1]), *every[-1:]]))


def count(number: float, noun: str, plural: str | None = None) -> str:
    """Return e.g. '1 donor' or '12,610 cells'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def written(thing: Any) -> str:
    """Return a parameter's value as people write it."""
    if thing is None:
        return "none"
    if isinstance(thing, bool):
        return "yes" if thing else "no"
    if isinstance(thing, float):
        return f"{thing:g}"
    if isinstance(thing, list | tuple):
        return ", ".join(map(written, thing)) or "none"
    if isinstance(thing, dict):
        return ", ".join(f"{name} {written(item)}" for name, item in thing.items()) or "none"
    return str(thing)
