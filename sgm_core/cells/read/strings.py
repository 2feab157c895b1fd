"""Text as files hold it: bytes in UTF-8, or in what Windows and R wrote before it."""

from collections.abc import Iterable

import h5py
import numpy as np


def read_strings(data: h5py.Dataset) -> tuple[np.ndarray, bool]:
    """Return an HDF5 dataset as text (objects), and whether some of it was not UTF-8.

    Numbers become their text. See `decode` for what is not UTF-8.
    """
    values = np.ravel(data[...])
    if values.dtype.kind in "SO":
        return decode(values.tolist())
    return values.astype(str).astype(object), False


def decode(values: Iterable[bytes | str]) -> tuple[np.ndarray, bool]:
    """Return texts from bytes, and whether some were not UTF-8.

    Those are read as Windows-1252, which holds what latin-1 prints; its five unused bytes become U+FFFD.
    """
    texts: list[str] = []
    foreign = False
    for value in values:
        if isinstance(value, bytes):
            try:
                texts.append(value.decode())
            except UnicodeDecodeError:
                texts.append(value.decode("cp1252", errors="replace"))
                foreign = True
        else:
            texts.append(value)
    return np.array(texts, dtype=object), foreign


def foreign_text(place: str) -> str:
    """Say that `place` held text in another encoding."""
    return f"{place} is not UTF-8 throughout: what is not was read as Windows-1252 (latin-1)"
