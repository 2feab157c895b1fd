"""Columns that describe cells: text as it was written, and numbers where nothing is lost."""

import re
import unicodedata
from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd

from sgm_core.cells.text_file import tidy_text

MISSING = ("", "nan", "none", "na", "n/a", "#n/a", "<na>", "null")
"""What stands for 'no value', in lower case."""
_FLOAT = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]\d\d)?")
_WHOLE = re.compile(r"-?(0|[1-9]\d*)\.0")
_SHOWN = 3


def tidy(value: object) -> str:
    """Return a value as text: one blank between words, none around, nothing invisible, composed letters.

    Texts that look the same become the same: 'AML1 ' is 'AML1'.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return unicodedata.normalize("NFC", " ".join(tidy_text(text).split()))


def as_text(values: pd.Series) -> pd.Series:
    """Return a column as tidy text, None where it has no value; whole numbers without '.0' (1.0 is '1')."""
    numbers = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    if numbers and pd.api.types.is_float_dtype(values.dtype):
        whole = values.dropna()
        if np.isfinite(whole.astype(float)).all() and (whole % 1 == 0).all() and (whole.abs() < 2**53).all():
            values = values.astype("Float64").astype("Int64")
    codes, levels = pd.factorize(values.astype(object), use_na_sentinel=True)
    texts = np.array([*map(tidy, levels), None], dtype=object)
    return pd.Series(texts[codes], index=values.index, name=values.name, dtype=object)


def differing_in_blanks(values: pd.Series) -> list[str]:
    """Return the texts that several different values of a column become when blanks are taken off."""
    levels = [level for level in pd.unique(values.dropna().astype(object)) if isinstance(level, str)]
    seen: dict[str, int] = {}
    for level in levels:
        seen[tidy(level)] = seen.get(tidy(level), 0) + 1
    return [text for text, number in seen.items() if number > 1]


def differing_in_case(values: pd.Series) -> list[tuple[str, str]]:
    """Return pairs of texts of a column that differ in upper and lower case only."""
    seen: dict[str, str] = {}
    pairs = []
    for level in values.dropna().unique():
        other = seen.setdefault(str(level).casefold(), str(level))
        if other != level:
            pairs.append((other, str(level)))
    return pairs


def type_columns(table: pd.DataFrame, text: Collection[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Give types to columns that were read as text, where that loses nothing.

    A column whose every value is a number as programs write it becomes numbers; '001', '1E5' and 'TRUE' stay
    text. Missing values ('', NA, nan, ...) become None or NaN. Whole numbers that all end in '.0' (what a
    missing value makes of them) lose that.

    Parameters
    ----------
    table
        Columns of str.
    text
        Columns that stay text whatever they hold: those with a role.

    Returns
    -------
    table
        The same columns.
    notes
        What was changed.
    """
    columns: dict[str, pd.Series] = {}
    notes = []
    for name in map(str, table.columns):
        values = table[name]
        codes, levels = pd.factorize(values.astype(object), use_na_sentinel=True)
        texts = [str(level).strip() for level in levels]
        kept = [None if level.lower() in MISSING else level for level in texts]
        filled = [level for level in kept if level is not None]
        if filled and all(map(_WHOLE.fullmatch, filled)):
            if name in text:
                notes.append(f"column {name}: {filled[0]!r} and the like are read as {filled[0][:-2]!r}")
            kept = [None if level is None else level.removesuffix(".0") for level in kept]
            filled = [level for level in kept if level is not None]
        if name not in text and filled and all(map(_FLOAT.fullmatch, filled)):
            whole = all("." not in level and "e" not in level and len(level) < 16 for level in filled)
            numbers = np.array([np.nan if level is None else float(level) for level in kept] + [np.nan])
            column = pd.Series(numbers[codes], index=values.index)
            columns[name] = column.astype(np.int64) if whole and column.notna().all() else column
        else:
            columns[name] = pd.Series(np.array([*kept, None], dtype=object)[codes], index=values.index)
    return pd.DataFrame(columns, index=table.index), notes


def name_some(names: Iterable[str], shown: int = _SHOWN) -> str:
    """Return the first names, quoted, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - shown:,} more" if len(listed) > shown else ""
    return ", ".join(repr(name) for name in listed[:shown]) + more
