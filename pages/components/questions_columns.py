"""Columns of a dataset as codes, made once and shared by all questions."""

import pandas as pd
import streamlit as st

from sgm_core.cells.dataset import Dataset


def values(dataset: Dataset, column: str) -> pd.Categorical:
    """Return the label of each cell as a categorical; missing where it has none."""
    return _values(str(dataset.path), dataset.content_hash, column, dataset)


@st.cache_resource(max_entries=48, show_spinner=False)
def _values(path: str, content_hash: str, column: str, _dataset: Dataset) -> pd.Categorical:
    return pd.Categorical(_dataset.labels(column))


def donors(dataset: Dataset) -> pd.Categorical | None:
    """Return the donor of each cell, or None where the dataset has no donors."""
    return None if dataset.donor_column is None else values(dataset, dataset.donor_column)


def levels(dataset: Dataset, column: str) -> list[str]:
    """Return the levels of a column, those of most cells first."""
    return [str(level) for level in pd.Series(values(dataset, column)).value_counts().index]
