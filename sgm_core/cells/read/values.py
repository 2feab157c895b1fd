"""Are these values counts? And where in a file are they?"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from sgm_core.cells.read.damage import reading
from sgm_core.errors import InputError

# Counts that went through float arithmetic (a logarithm undone, a division) end this close to whole numbers.
NEARLY, _RELATIVE = 1e-3, 1e-6
_SAMPLE = 200_000
_USUAL = (
    "counts", "raw_counts", "raw_count", "count", "raw", "umi", "umis", "raw_umi", "raw_umis", "umi_counts",
    "umi_count", "matrix",
)  # fmt: skip
# What RNA velocity makes of the counts: each is a part of them, whole numbers though it is.
_PARTS = (
    "spliced",
    "unspliced",
    "ambiguous",
    "spanning",
    "mature",
    "nascent",
    "spliced_counts",
    "unspliced_counts",
)


def native(values: np.ndarray) -> np.ndarray:
    """Return `values` in a type that scipy's sparse matrices take: no float16, no foreign byte order."""
    dtype = values.dtype
    if dtype.kind == "b":
        return values.astype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return values.astype(np.float32 if dtype.itemsize < 4 else np.float64)
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def not_counts(values: np.ndarray) -> str | None:
    """Say why `values` are no counts; None if each is within 0.001 (1e-6 of it if larger) of 0, 1, 2, ..."""
    values = np.asarray(values)
    if values.size == 0 or values.dtype.kind in "ub":
        return None
    if values.dtype.kind not in "if":
        return "values that are no numbers"
    if not np.isfinite(values).all():
        return "NaN or infinite values"
    if values.min() < -NEARLY:
        return f"negative values (down to {_exact(values.min())})"
    if values.dtype.kind == "i":
        return None
    values = native(values)
    broken = values[np.abs(values - np.rint(values)) > np.maximum(NEARLY, _RELATIVE * values)]
    return f"values that are no whole numbers (such as {_exact(broken[0])})" if broken.size else None


def _exact(value: np.generic) -> str:
    """Write a number with enough digits: 1.002 must not read as 1."""
    if not isinstance(value, np.floating):
        return str(value)
    return np.format_float_positional(value, precision=9, fractional=False, trim="-")


def whole(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return values that `not_counts` accepts as whole numbers, and the largest distance that was bridged."""
    if values.dtype.kind != "f":
        return values, 0.0
    rounded = np.rint(values) + 0.0  # -0.0 becomes 0.0
    return rounded, float(np.abs(values - rounded).max(initial=0.0))


def find_counts(
    path: Path, places: Mapping[str, h5py.Dataset], advice: str, chosen: bool = False
) -> tuple[str, list[str]]:
    """Return the one of `places` that holds the counts, and what there is to say about the choice.

    The first matrix outside the layers with whole numbers, then a layer that is called counts or the like,
    then the only layer with whole numbers. Never by guess: a layer that RNA velocity splits off, or one of
    zeros and ones; a main matrix of zeros and ones is taken if there is nothing else.

    Parameters
    ----------
    path
        The file, for the message.
    places
        Where counts may be (layers as ``layers/NAME``), the likeliest first -> the values stored there.
    advice
        What to do if none holds counts.
    chosen
        The user named the only place: it may be a part, or zeros and ones.

    Raises
    ------
    InputError
        If none does, or several layers may; the message says what was looked at and what is there.
    """
    looked: dict[str, str] = {}
    main: list[str] = []
    usual: list[str] = []
    layers: list[str] = []
    binary: list[str] = []
    for where, data in places.items():
        layer = where.removeprefix("layers/").lower() if where.startswith("layers/") else None
        if layer in _PARTS and not chosen:
            looked[where] = f"{where} is a part of the counts (RNA velocity)"
            continue
        with reading(path):
            reason, highest = _look(data)
        if reason:
            looked[where] = f"{where} has {reason}"
        elif highest <= 1 and not chosen:
            looked[where] = f"{where} has zeros and ones only"
            binary += [where] * (layer is None)
        else:
            (main if layer is None else usual if layer in _USUAL else layers).append(where)
        if main:
            break
    found = main or sorted(usual, key=lambda where: _USUAL.index(where.lower().removeprefix("layers/")))
    if not found and len(layers) > 1:
        names = ", ".join(where.removeprefix("layers/") for where in layers)
        raise InputError(
            f"{path.name} has several layers with whole numbers ({names}): say which holds the raw counts, "
            "with --layer"
        )
    found = found or layers or binary
    if not found:
        raise InputError(f"{path.name} has no raw counts: {'; '.join(looked.values())}; {advice}")
    others = [text for where, text in looked.items() if where != found[0]]
    return found[0], [f"the counts were taken from {found[0]}: {'; '.join(others)}"] if others else []


def _look(data: h5py.Dataset) -> tuple[str | None, float]:
    """Return why a dataset holds no counts, judged by a sample, and its highest value (or one above 1)."""
    values = native(sample_values(data))
    reason = not_counts(values)
    if reason:
        return reason, 0
    highest = float(np.rint(values).max(initial=0))
    if highest <= 1:
        # Rare; then the sample does not decide that a matrix is empty or binary.
        for block in _blocks(data):
            highest = max(highest, float(np.nanmax(np.rint(native(block)), initial=0)))
            if highest > 1:
                break
    return (None if highest else "no value above 0"), highest


def _blocks(data: h5py.Dataset) -> Iterator[np.ndarray]:
    step = _rows(data, 10 * _SAMPLE)
    for start in range(0, data.shape[0], step):
        yield data[start : start + step]


def _rows(data: h5py.Dataset, n_values: int) -> int:
    return max(1, n_values // max(1, int(np.prod(data.shape[1:]))))


def sample_values(data: h5py.Dataset) -> np.ndarray:
    """Return values from the start, the middle and the end of a dataset of one or two dimensions."""
    length, n = data.shape[0], _rows(data, _SAMPLE)
    starts = sorted({0, max(0, length // 2 - n // 2), max(0, length - n)})
    return np.concatenate([np.ravel(data[start : start + n]) for start in starts])
