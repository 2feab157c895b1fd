"""What cells can be coloured by and selected by: columns, genes, gene sets, and what a run says of them."""

from pathlib import Path

import numpy as np
import streamlit as st

from pages.components import cell_views, tables, words
from pages.components.kept import everything, kept
from sgm_core import tables as run_tables
from sgm_core.analysis.cell_masks import masked_share, masking_rates
from sgm_core.analysis.cell_values import DatasetValues, Labels, encode, is_number, split_source
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.runs.store import Run

PREDICTED, CONFIDENCE, RIGHT, MASKED = "predicted", "confidence", "right", "masked"
_OF_RUN = {
    PREDICTED: "Predicted type",
    CONFIDENCE: "Confidence",
    RIGHT: "Right or wrong",
    MASKED: "How often its genes were masked",
}


class PageValues:
    """Labels and numbers of all cells by the name of their source, read once and shared by all sessions.

    Besides what a dataset holds there are ``predicted:RUN/ARM/SCHEME``, ``confidence:...``, ``right:...`` and
    ``masked:RUN/ARM``.

    Parameters
    ----------
    dataset
        Where the cells are.
    run
        The run in view, made on the same cells.
    """

    def __init__(self, dataset: Dataset, run: Run | None) -> None:
        self.dataset, self.run = dataset, run

    def is_number(self, source: str) -> bool:
        """Say whether a source has numbers, else it has labels."""
        kind, name = split_source(source)
        if kind == "obs":
            return name in numeric_columns(self.dataset)
        return kind not in (PREDICTED, RIGHT)

    def labels(self, source: str) -> Labels:
        """Return the labels of a source."""
        where = ("labels", str(self.dataset.path), source)
        codes, levels = everything.get(where, self.stamp(source), lambda: self._find_labels(source))
        return Labels(codes, levels)

    def numbers(self, source: str) -> np.ndarray:
        """Return the numbers of a source, float32 (n_cells,)."""
        where = ("numbers", str(self.dataset.path), source)

        def find() -> np.ndarray:
            with st.spinner("Reading the values"):
                return self._find_numbers(source)

        return everything.get(where, self.stamp(source), find)

    def _find_labels(self, source: str) -> tuple[np.ndarray, tuple[str, ...]]:
        kind, name = split_source(source)
        if kind in (PREDICTED, RIGHT):
            table = cell_views.predictions(*self._model(name), self.dataset.n_cells)
            found = encode(table[kind].to_numpy())
        else:
            found = DatasetValues(self.dataset).labels(source)
        return found.codes, found.levels

    def _find_numbers(self, source: str) -> np.ndarray:
        kind, name = split_source(source)
        if kind == CONFIDENCE:
            table = cell_views.predictions(*self._model(name), self.dataset.n_cells)
            return table["confidence"].to_numpy("float32")
        if kind == MASKED:
            run, (arm, _) = self._model(name)
            masks = tables.read(run, "masks", by="all", arm=arm)
            if masks is None:
                raise InputError(f"run {run.id} has counted no masks (yet)")
            return masked_share(self.dataset, masking_rates(masks, arm))
        return DatasetValues(self.dataset).numbers(source)

    def _model(self, name: str) -> tuple[Run, tuple[str, str]]:
        run_id, _, model = name.partition("/")
        if self.run is None or self.run.id != run_id:
            raise InputError(f"the selection needs run {run_id}: choose it above, or clear the selection")
        arm, _, scheme = model.partition("/")
        return self.run, (arm, scheme)

    def stamp(self, source: str) -> str:
        """Return what changes when the values of a source may."""
        kind, _ = split_source(source)
        stamp = self.dataset.content_hash
        if kind in _OF_RUN and self.run is not None:
            table = "masks" if kind == MASKED else "predictions"
            stamp += f"|{tables.key(self.run, table)[1]}"
        return stamp


def numeric_columns(dataset: Dataset) -> list[str]:
    """Return the columns of cells that are measures."""
    return everything.get(
        ("numeric columns", str(dataset.path)),
        dataset.content_hash,
        lambda: [str(name) for name, values in dataset.obs.items() if is_number(values)],
    )


def grouping_columns(dataset: Dataset) -> list[str]:
    """Return the columns of 2 to 40 labels, those with a role first."""
    where = ("grouping columns", str(dataset.path))
    return everything.get(where, dataset.content_hash, dataset.grouping_columns)


def label_columns(dataset: Dataset) -> list[str]:
    """Return the columns of cells that are labels: those to group by first."""
    first = grouping_columns(dataset)
    known = {"cell", *first, *numeric_columns(dataset)}
    return [*first, *(str(name) for name in dataset.obs.columns if name not in known)]


def of_run(run: Run | None, model: tuple[str, str] | None) -> dict[str, str]:
    """Return the sources that a run's model brings, with their words."""
    if run is None or model is None:
        return {}
    arm, scheme = model
    found = {f"{kind}:{run.id}/{arm}/{scheme}": _OF_RUN[kind] for kind in (PREDICTED, CONFIDENCE, RIGHT)}
    if tables.exists(run, "masks") and arm in _masked_arms(*tables.key(run, "masks")):
        found[f"{MASKED}:{run.id}/{arm}"] = _OF_RUN[MASKED]
    return found


@kept()
def _masked_arms(path: str, stamp: int) -> list[str]:
    return list(run_tables.read(Path(path), ["arm"], categories=True, equal={"by": "all"})["arm"].unique())


def columns(dataset: Dataset) -> dict[str, str]:
    """Return the sources that the columns of the cells are, with their words."""
    names = [*label_columns(dataset), *numeric_columns(dataset)]
    return {f"obs:{name}": words.plain_column(name) for name in names}
