"""Tables as CSV that a spreadsheet opens as text, not as formulas, and that reads back as it was.

A cell that begins with ``= + - @``, a tab or a line break runs as a formula when a spreadsheet opens it
(https://owasp.org/www-community/attacks/CSV_Injection). Such text gets an apostrophe in front, which
spreadsheets take for 'this is text'; text that has apostrophes before such a sign gets one more, so that
reading takes off exactly what writing put on. Numbers, and text that is a number, stay as they are.
"""

import re
from typing import Any

import pandas as pd

_SIGNS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # the full-width ones too, which spreadsheets take alike
_RISKY = re.compile(f"'*[{_SIGNS}]")
_QUOTED = re.compile(f"'+[{_SIGNS}]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def protect(value: Any) -> Any:
    """Return `value` as a cell that no spreadsheet runs; anything but text is returned as it is."""
    if isinstance(value, str) and _RISKY.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def restore(value: Any) -> Any:
    """Return what `protect` was given."""
    return value[1:] if isinstance(value, str) and _QUOTED.match(value) else value


def csv_text(frame: pd.DataFrame) -> str:
    """Return `frame` as CSV without its index, every text in it and in its header protected."""
    # With the line ends of RFC 4180 a lone carriage return within a text is quoted too.
    return _each(frame, protect).to_csv(index=False, lineterminator="\r\n")


def restored(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table as `csv_text` was given it, after a CSV reader of any kind has read it."""
    return _each(frame, restore)


def _each(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    """Apply `change` to all text of a table; each distinct text once, since cells repeat their labels."""
    result = frame.copy(deep=False)
    for place, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(dtype) or dtype.kind == "O":
            changed: Any = _changed(frame.iloc[:, place].astype(object), change)
            result.isetitem(place, changed)
    result.columns = pd.Index([change(name) for name in frame.columns])
    return result


def _changed(values: pd.Series, change: Any) -> pd.Series:
    texts = {value for value in values if isinstance(value, str)}
    changed = {text: new for text in texts if (new := change(text)) != text}
    if not changed:
        return values
    return values.map(lambda value: changed.get(value, value) if isinstance(value, str) else value)
