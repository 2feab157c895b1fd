"""Colours that a file has for the levels of a column, checked: ``#rrggbb`` each."""

import re
from collections.abc import Sequence

_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{4}|[0-9a-f]{6}|[0-9a-f]{8})", re.IGNORECASE)


def hex_colour(given: str) -> str | None:
    """Return a colour as ``#rrggbb``, opacity left out: from #rgb, #rrggbbaa or a name; None if it is none.

    The names are those of matplotlib, which scanpy writes.
    """
    text = given.strip()
    if match := _HEX.fullmatch(text):
        digits = match[1].lower()
        if len(digits) < 6:
            digits = "".join(2 * digit for digit in digits)
        return f"#{digits[:6]}"
    from matplotlib.colors import to_hex

    try:
        # A number is a grey to matplotlib; in a file it is a mistake.
        return None if re.fullmatch(r"[\d.]*", text) else str(to_hex(text))
    except ValueError:
        return None


def level_colours(column: str, levels: Sequence[str], given: Sequence[str]) -> tuple[dict[str, str], str]:
    """Match colours with the levels of a column, by order.

    Parameters
    ----------
    column
        Its name, for the note.
    levels
        The categories in the file's order.
    given
        The colours of ``uns["<column>_colors"]``.

    Returns
    -------
    colours
        ``#rrggbb`` by level; empty where they don't fit.
    note
        Why they were left out; empty where they were taken.
    """
    if len(given) != len(levels):
        return {}, (
            f"the file's colours of column {column!r} were left out: there are {len(given)} for "
            f"{len(levels)} levels"
        )
    found = [hex_colour(str(colour)) for colour in given]
    if None in found:
        wrong = given[found.index(None)]
        return {}, f"the file's colours of column {column!r} were left out: {wrong!r} is no colour"
    return {level: str(colour) for level, colour in zip(levels, found, strict=True)}, ""
