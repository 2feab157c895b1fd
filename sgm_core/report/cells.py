"""A table as text: how numbers are written in a report, whatever its format."""

import math
from numbers import Integral, Real
from typing import Any

import pandas as pd


def text_rows(frame: pd.DataFrame) -> list[list[str]]:
    """Return the cells of a table as plain text, row by row."""
    columns = [[cell(value) for value in frame.iloc[:, place]] for place in range(frame.shape[1])]
    return [list(row) for row in zip(*columns, strict=True)]


def numeric(frame: pd.DataFrame) -> list[bool]:
    """Say of each column whether it holds numbers, which stand at the right."""
    return [
        pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        for dtype in frame.dtypes
    ]


def cell(value: Any) -> str:
    """Return one cell: 12,610, 0.123, 1.2e-08, yes; nothing where there is no value."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        number = float(value)
        if math.isnan(number):
            return ""
        if number and abs(number) < 1e-3:
            return f"{number:.1e}"
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    return str(value)
