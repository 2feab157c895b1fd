"""The steps of a selection as a short text that a link can carry."""

import base64
import json
import zlib
from decimal import Decimal
from typing import Any

from sgm_core.analysis.selection_steps import Steps, from_json, to_json
from sgm_core.errors import InputError

LONGEST = 1800
"""Characters of a link's part that every browser and mail program leaves whole."""
_MOST_BYTES = 200_000
_MOST_DIGITS = 60

_DAMAGE = (ValueError, TypeError, KeyError, OverflowError, RecursionError, zlib.error, InputError)
"""What a changed text may end in: numbers beyond every float, lists in lists in lists, among others."""


def to_link(steps: Steps) -> str | None:
    """Return steps as text of letters, digits, ``-`` and ``_``; None if it would be longer than `LONGEST`."""
    content = [_shorter(item) for item in to_json(steps)]
    packed = zlib.compress(json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(), 9)
    text = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return text if len(text) <= LONGEST else None


def from_link(text: str) -> Steps:
    """Read what `to_link` wrote.

    Raises
    ------
    InputError
        If the text is cut or changed.
    """
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        reader = zlib.decompressobj()
        content = reader.decompress(packed, _MOST_BYTES)
        if not reader.eof:
            raise ValueError("it is cut")
        return from_json([_longer(item) for item in json.loads(content)])
    except _DAMAGE as error:
        raise InputError(
            f"the selection in the link can't be read ({error}): copy the whole link, or select again"
        ) from error


def _shorter(item: dict[str, Any]) -> dict[str, Any]:
    """Write corners as the steps from each to the next, in whole units of the last digit."""
    if item["step"] != "polygon":
        return item
    digits = max(-int(Decimal(repr(v)).as_tuple().exponent) for corner in item["corners"] for v in corner)
    whole = [(round(x * 10**digits), round(y * 10**digits)) for x, y in item["corners"]]
    before = [(0, 0), *whole[:-1]]
    moves = [move for (x, y), (x0, y0) in zip(whole, before) for move in (x - x0, y - y0)]
    return {**item, "corners": moves, "digits": digits}


def _longer(item: dict[str, Any]) -> dict[str, Any]:
    if item["step"] != "polygon":
        return item
    digits, moves = int(item["digits"]), [int(move) for move in item["corners"]]
    if abs(digits) > _MOST_DIGITS:  # a power of ten that would keep the program busy for hours
        raise ValueError(f"corners of {digits} digits")
    corners, x, y = [], 0, 0
    for dx, dy in zip(moves[::2], moves[1::2]):
        x, y = x + dx, y + dy
        corners.append((round(x / 10**digits, digits), round(y / 10**digits, digits)))
    return {key: value for key, value in {**item, "corners": corners}.items() if key != "digits"}
