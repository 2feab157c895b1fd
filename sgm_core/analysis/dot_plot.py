"""Expression of a few genes over groups of cells: the numbers of a dot plot, the values of violins."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sgm_core.analysis.cell_ranking import balanced_sample
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError

MOST_GROUPS = 40
MOST_VIOLINS = 500


def kept_groups(groups: pd.Series, most: int = MOST_GROUPS) -> list[str]:
    """Return the groups to show: all, or the `most` largest, by name.

    Parameters
    ----------
    groups
        The group of each cell, missing where it has none.
    """
    sizes = groups.value_counts()
    return sorted(map(str, sizes.index[sizes > 0][:most]), key=str.casefold)


def dot_plot(
    dataset: Dataset, genes: Sequence[str], groups: pd.Series, shown: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return mean expression and share of expressing cells, by gene and group, as scanpy's dot plot does.

    Parameters
    ----------
    dataset
        The cells.
    genes
        Symbols.
    groups
        The group of each cell of the dataset, missing where a cell is left out.
    shown
        Groups and their order; by default `kept_groups`.

    Returns
    -------
    DataFrame
        group, gene, n_cells, share (of the group's cells with a count), mean (of ln(1 + 10,000 * count /
        total) over its cells), mean_expressing (over those with a count; 0 where there are none).

    Raises
    ------
    InputError
        If no cell has a group, no gene is given, or a gene is not in the dataset.
    """
    code, levels = _codes(groups, shown)
    if not len(genes):
        raise InputError("no gene is chosen: name at least one")
    matrix = dataset.genes_matrix(list(genes))
    n_cells = np.bincount(code[code >= 0], minlength=len(levels))
    frames = []
    for column, gene in enumerate(genes):
        part = slice(matrix.indptr[column], matrix.indptr[column + 1])
        group, values = code[matrix.indices[part]], matrix.data[part]
        inside = (group >= 0) & (values > 0)
        mine, values = group[inside], values[inside]
        seen = np.bincount(mine, minlength=len(levels))
        total = np.bincount(mine, values, minlength=len(levels))
        frames.append(
            pd.DataFrame(
                {
                    "group": levels,
                    "gene": gene,
                    "n_cells": n_cells,
                    "share": seen / np.maximum(n_cells, 1),
                    "mean": total / np.maximum(n_cells, 1),
                    "mean_expressing": total / np.maximum(seen, 1),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def violin_values(
    dataset: Dataset,
    genes: Sequence[str],
    groups: pd.Series,
    shown: Sequence[str] | None = None,
    most: int = MOST_VIOLINS,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the values of at most `most` cells of each group, drawn evenly over donors.

    Parameters
    ----------
    dataset, genes, groups, shown
        As in `dot_plot`.
    most
        Cells of a group.
    seed
        Of the draw.

    Returns
    -------
    DataFrame
        gene, group, value (ln(1 + 10,000 * count / total)); one row a gene and cell drawn.
    """
    code, levels = _codes(groups, shown)
    donors = dataset.donors() if dataset.has_donors else None
    drawn = [
        balanced_sample(donors, np.flatnonzero(code == number), most, seed) for number in range(len(levels))
    ]
    rows = np.concatenate(drawn)
    names = np.repeat(levels, [len(mine) for mine in drawn])
    values = dataset.genes_matrix(list(genes)).tocsr()[rows].toarray()
    frames = [
        pd.DataFrame({"gene": gene, "group": names, "value": values[:, column]})
        for column, gene in enumerate(genes)
    ]
    return pd.concat(frames, ignore_index=True)


def _codes(groups: pd.Series, shown: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    levels = list(shown) if shown is not None else kept_groups(groups)
    kind = groups if isinstance(groups.dtype, pd.CategoricalDtype) else groups.map(str, na_action="ignore")
    text = pd.Categorical(kind)
    place = {str(level): number for number, level in enumerate(levels)}
    number = np.array([place.get(str(level), -1) for level in text.categories] + [-1])
    found = number[text.codes]
    if not (found >= 0).any():
        raise InputError("no cell has a value of this column: group by another one")
    return found, levels
