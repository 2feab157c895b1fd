"""What all questions share: columns of a dataset as codes, and answers that are kept."""

import hashlib
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from pages.components.kept import everything
from sgm_core.cells.dataset import Dataset


def values(dataset: Dataset, column: str) -> pd.Categorical:
    """Return the label of each cell as a categorical; missing where it has none."""
    kept: pd.Series = once(dataset, ("column", column), lambda: _codes(dataset, column))
    return kept.array  # type: ignore[return-value]


def donors(dataset: Dataset) -> pd.Categorical | None:
    """Return the donor of each cell, or None where the dataset has no donors."""
    return None if dataset.donor_column is None else values(dataset, dataset.donor_column)


def levels(dataset: Dataset, column: str) -> list[str]:
    """Return the levels of a column, those of most cells first."""
    return [str(level) for level in pd.Series(values(dataset, column)).value_counts().index]


@st.cache_data(max_entries=32, show_spinner=False)
def _of_donors(path: str, content_hash: str, _dataset: Dataset) -> list[str]:
    donor = donors(_dataset)
    if donor is None:
        return []
    found = []
    for column in _dataset.grouping_columns():
        codes = values(_dataset, column).codes.astype(np.int64)
        pairs = np.unique(donor.codes[codes >= 0].astype(np.int64) * (codes.max() + 1) + codes[codes >= 0])
        if column != _dataset.donor_column and len(pairs) and len(pairs) <= len(donor.categories):
            found.append(column)
    return found


def of_donors(dataset: Dataset) -> list[str]:
    """Return the columns with one level a donor, such as a diagnosis; empty without donors."""
    return _of_donors(str(dataset.path), dataset.content_hash, dataset)


def _codes(dataset: Dataset, column: str) -> pd.Series:
    return pd.Series(pd.Categorical(dataset.labels(column)))


def once(dataset: Dataset, question: tuple[Hashable, ...], make: Callable[[], Any]) -> Any:
    """Return what `make` returns, made once for a question about these cells and shared: don't change it."""
    return everything.get(("question", str(dataset.path), *question), dataset.content_hash, make)


def digest(*sides: np.ndarray) -> str:
    """Return what tells selections (n_cells,) bool from others, as part of a question."""
    found = hashlib.blake2b(digest_size=16)
    for side in sides:
        found.update(np.packbits(side).tobytes())
    return found.hexdigest()
