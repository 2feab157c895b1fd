"""Numbers with units, and lists, as they are said in messages."""

from collections.abc import Iterable


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
