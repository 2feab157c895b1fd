"""Columns as bytes: 4 bytes length, a JSON header, padding to 4 bytes, then the arrays, little-endian."""

import json
import math
from functools import lru_cache
from typing import Any

import numpy as np

from sgm_core.errors import InputError

STEPS = 65_535
"""Coordinates are sent in this many steps of the map's bounding box."""


def pack(header: dict[str, Any], *arrays: np.ndarray) -> bytes:
    """Return header and arrays as one run of bytes."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(4 + len(text)) % 4)
    return b"".join([len(text).to_bytes(4, "little"), text, *(array.tobytes() for array in arrays)])


def stride(n: int) -> int:
    """Return the step s, coprime to n, near n times the golden ratio.

    0, s, 2s, ... modulo n is every row once.

    In this order any first part of the rows is an even sample of all, so cells of the last donor don't cover
    those of the first, and a moving map may draw a part.
    """
    step = max(1, round(n * (math.sqrt(5) - 1) / 2))
    while math.gcd(step, n) != 1:
        step += 1
    return step


@lru_cache(maxsize=4)
def drawing_order(n: int) -> np.ndarray:
    """Return the rows in the order in which they are drawn, int64 (n,), read-only; kept for a few sizes."""
    order = np.arange(n, dtype=np.int64) * stride(n) % max(1, n)
    order.flags.writeable = False
    return order


def ends(values: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest value, half a unit around them where all are equal."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def quantise(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return coordinates as steps of their range, uint16; off by at most half a step."""
    return np.rint((values.astype(np.float64) - low) * (STEPS / (high - low))).astype("<u2")


def pack_points(x: np.ndarray, y: np.ndarray, cell: np.ndarray, token: str) -> bytes:
    """Return the coordinates of a map's points, 4 bytes a point; 8 where the cells are not rows 0 to n - 1.

    Raises
    ------
    InputError
        If the columns differ in length, or a coordinate is not finite.
    """
    x, y, cell = np.asarray(x), np.asarray(y), np.asarray(cell)
    if not (x.ndim == 1 and x.shape == y.shape == cell.shape):
        raise InputError(
            f"a map's x, y and cell must be columns of one length, not {x.shape}, {y.shape} and {cell.shape}"
        )
    n = len(x)
    if not n:
        raise InputError("the map holds no cells: choose another map")
    broken = ~(np.isfinite(x) & np.isfinite(y))
    if broken.any():
        raise InputError(
            f"{broken.sum():,} of the map's {n:,} cells have no finite coordinates, the first in row "
            f"{int(broken.argmax())}: leave them out of the map"
        )
    order = drawing_order(n)
    (x0, x1), (y0, y1) = ends(x), ends(y)
    places = np.empty((n, 2), dtype="<u2")
    places[:, 0], places[:, 1] = quantise(x, x0, x1)[order], quantise(y, y0, y1)[order]
    plain = bool(cell[0] == 0 and cell[-1] == n - 1 and (np.diff(cell) == 1).all())
    header = {"token": token, "n": n, "x": [x0, x1], "y": [y0, y1], "stride": stride(n), "cells": not plain}
    return pack(header, places) if plain else pack(header, places, cell[order].astype("<u4"))


def pack_codes(codes: np.ndarray, token: str) -> bytes:
    """Return one code a point, in drawing order, 1 or 2 bytes each."""
    ordered = codes[drawing_order(len(codes))].astype(codes.dtype.newbyteorder("<"), copy=False)
    return pack({"token": token, "n": len(codes), "bytes": codes.dtype.itemsize}, ordered)


def pack_bits(selected: np.ndarray) -> np.ndarray:
    """Return a bit a point, in drawing order, eight to a byte, the first in the lowest bit."""
    return np.packbits(selected[drawing_order(len(selected))], bitorder="little")
