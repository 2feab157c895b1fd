"""A value for every cell by the name of its source: ``obs:donor``, ``gene:CD34``, ``score:CD34,SPINK2``.

Maps are coloured by sources, and the steps of a selection name them, so a link or a saved selection says
where each threshold came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from sgm_core.analysis.gene_scores import score_genes
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError, NotFoundError

OBS, GENE, COUNTS, SCORE = "obs", "gene", "counts", "score"
NO_LABEL = "(no label)"
_FEW_NUMBERS = 20


@dataclass(frozen=True)
class Labels:
    """A label for every cell.

    Parameters
    ----------
    codes
        int32 (n_cells,): the place of each cell's label in `levels`, -1 where it has none.
    levels
        The labels, the most frequent first.
    """

    codes: np.ndarray
    levels: tuple[str, ...]

    def among(self, wanted: Sequence[str]) -> np.ndarray:
        """Say which cells have one of the labels `wanted` (`NO_LABEL` for none), bool (n_cells,).

        Raises
        ------
        InputError
            If there is no such label.
        """
        chosen = np.zeros(len(self.levels) + 1, dtype=bool)
        places = {level: place for place, level in enumerate(self.levels)}
        for level in wanted:
            if level not in places and level != NO_LABEL:
                known = ", ".join(map(repr, self.levels[:5]))
                raise InputError(f"no cell is labelled {level!r}; the labels are {known} ...")
            chosen[places.get(level, -1)] = True
        return chosen[self.codes]

    def counts(self) -> np.ndarray:
        """Return the cells of each level, and last those without a label, int64 (levels + 1,)."""
        return np.bincount(
            np.where(self.codes < 0, len(self.levels), self.codes), minlength=len(self.levels) + 1
        )


class CellValues(Protocol):
    """Finds the labels or the numbers of all cells of a dataset by the name of their source."""

    def labels(self, source: str) -> Labels:
        """Return the labels of a source."""
        ...

    def numbers(self, source: str) -> np.ndarray:
        """Return the numbers of a source, float32 (n_cells,), NaN where a cell has none."""
        ...


def is_number(column: pd.Series) -> bool:
    """Say whether a column is a measure; whole numbers of up to 20 values (clusters) are labels."""
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return False
    whole = pd.api.types.is_integer_dtype(column.dtype)
    return not (whole and column.nunique() <= _FEW_NUMBERS)


def encode(labels: pd.Series | np.ndarray) -> Labels:
    """Return labels (n_cells,), None or NaN for none, as codes."""
    codes, found = pd.factorize(np.asarray(labels, dtype=object), use_na_sentinel=True)
    names = np.array([str(level) for level in found], dtype=object)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    order = np.lexsort((names, -counts))
    place = np.empty(len(names) + 1, dtype=np.int32)
    place[order] = np.arange(len(names), dtype=np.int32)
    place[-1] = -1
    return Labels(place[codes], tuple(names[order]))


class DatasetValues:
    """The values that a dataset itself holds: columns of its cells, genes, scores of genes.

    Parameters
    ----------
    dataset
        Where the cells are.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def labels(self, source: str) -> Labels:
        """Return the labels of ``obs:COLUMN``.

        Raises
        ------
        InputError
            If the source has no labels.
        NotFoundError
            If there is no such column.
        """
        kind, name = split_source(source)
        if kind != OBS:
            raise InputError(f"{source!r} has numbers, not labels: select by a range of them")
        return encode(self.dataset.labels(name))

    def numbers(self, source: str) -> np.ndarray:
        """Return the numbers of ``obs:COLUMN``, ``gene:SYMBOL`` (ln(1 + 10,000 count / total)),
        ``counts:SYMBOL`` or ``score:SYMBOL,SYMBOL,...`` (`score_genes`).

        Raises
        ------
        InputError
            If the source has no numbers, or there is no such gene.
        NotFoundError
            If there is no such column.
        """
        kind, name = split_source(source)
        if kind == GENE:
            return self.dataset.gene(name)
        if kind == COUNTS:
            return self.dataset.gene(name, normalised=False)
        if kind == SCORE:
            return score_genes(self.dataset, name.split(",")).values
        if name not in self.dataset.annotations:
            raise NotFoundError(f"dataset {self.dataset.name!r} has no column {name!r}")
        if kind != OBS or not pd.api.types.is_numeric_dtype(self.dataset.annotations[name].dtype):
            raise InputError(f"{source!r} has labels, not numbers: select by the labels")
        return self.dataset.annotations[name].to_numpy(np.float32)


def split_source(source: str) -> tuple[str, str]:
    """Return kind and name of a source; ``gene:HLA-A`` is ('gene', 'HLA-A')."""
    kind, _, name = source.partition(":")
    return kind, name
