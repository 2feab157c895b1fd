"""What the page Annotate reads: kept annotations, and their cells as maps and filters take them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pages.components import tables
from pages.components.cell_views import Maps, Place
from pages.components.cells_values import PageValues
from pages.components.kept import kept
from sgm_core.annotation.kept import Annotation
from sgm_core.annotation.own_maps import own_maps
from sgm_core.annotation.store import Model, open_model
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import SGMError

PREDICTED, NOW, BEST, SECOND, REASON = (
    "Predicted type", "Label with corrections", "Likeliest class", "Second choice", "Why unknown",
)  # fmt: skip
CONFIDENCE = "Confidence"
PLACEMENT = "Placement on the reference"
OWN_UMAP = "UMAP of these cells, in the model's space"
_MAP_NAMES = {"umap": "UMAP", "pca_umap": "Expression (PCA, UMAP)", "tsne": "t-SNE", "pca": "PCA"}


def model_of(annotation: Annotation) -> Model | None:
    """Return the model that named the cells; None where it is gone or another has its name now."""
    about = annotation.about
    try:
        model = open_model(str(about["model"]))
    except SGMError:
        return None
    return model if model.hash == about["model_hash"] else None


def key(annotation: Annotation) -> tuple[str, int]:
    """Return what a cache knows an annotation's predictions by: its folder, and a stamp."""
    return str(annotation.path), tables.stamp(annotation.path / "predictions.parquet")


def corrections_stamp(annotation: Annotation) -> tuple[str, ...]:
    """Return what changes with each correction and each undo."""
    return tuple(sorted(file.name for file in (annotation.path / "corrections").glob("[0-9]*.*")))


@kept("Reading the annotation")
def predictions(path: str, stamp: int) -> pd.DataFrame:
    """Return what a model says of each cell; it is shared: don't change it."""
    return Annotation(Path(path)).predictions()


@kept()
def obs(path: str, stamp: int) -> pd.DataFrame:
    """Return the cells' own columns; shared: don't change it."""
    return Annotation(Path(path)).obs()


@kept()
def labels(path: str, stamp: tuple[int, tuple[str, ...]]) -> pd.DataFrame:
    """Return the labels that hold, with who gave them; shared: don't change it."""
    return Annotation(Path(path)).labels()


def labels_now(annotation: Annotation) -> pd.DataFrame:
    """Return cell, cell_type, source and when of every cell, corrections included."""
    path, stamp = key(annotation)
    return labels(path, (stamp, corrections_stamp(annotation)))  # type: ignore[no-any-return]


@kept("Reading the maps")
def _own_maps(path: str, stamp: int) -> dict[str, pd.DataFrame]:
    found = own_maps(Annotation(Path(path)).about)
    return {
        _MAP_NAMES.get(name, name): table.astype({"cell": "int64", "x": "float32", "y": "float32"})
        for name, table in found.items()
    }


@kept()
def _placed(path: str, stamp: int, prefix: str) -> pd.DataFrame:
    """Return the cells that a map of the predictions has: cell (row number), x, y."""
    said, columns = predictions(path, stamp), [f"{prefix}_x", f"{prefix}_y"]
    if not set(columns) <= set(said):
        return pd.DataFrame(columns=["cell", "x", "y"])
    table = said[columns].set_axis(["x", "y"], axis=1).astype("float32")
    table.insert(0, "cell", np.arange(len(table), dtype="int64"))
    return table[np.isfinite(table["x"]) & np.isfinite(table["y"])].reset_index(drop=True)


class AnnotationMaps(Maps):
    """The maps of an annotation by name: its placement on the reference, then the query's own.

    Parameters
    ----------
    annotation
        The annotation.
    """

    def __init__(self, annotation: Annotation) -> None:
        self.annotation = annotation
        path, stamp = key(annotation)
        self._tables: dict[str, pd.DataFrame] = {}
        for name, prefix in ((PLACEMENT, "map"), (OWN_UMAP, "umap")):
            if len(placed := _placed(path, stamp, prefix)):
                self._tables[name] = placed
        self._tables |= _own_maps(path, stamp)
        file = annotation.path / "predictions.parquet"
        super().__init__({name: Place(file, name) for name in self._tables})

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    @property
    def own(self) -> list[str]:
        """The names of the query's own maps."""
        return [name for name in self._tables if name != PLACEMENT]


@dataclass(frozen=True)
class AnnotatedCells(Dataset):
    """An annotation as what maps, filters and selections take: a dataset without counts."""

    frame: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)

    @cached_property
    def obs(self) -> pd.DataFrame:
        """One row a cell: its name, what the model says of it, its own columns."""
        return self.frame

    @cached_property
    def annotations(self) -> pd.DataFrame:
        """The columns of `obs` but the cells' names."""
        return self.frame.drop(columns="cell")

    def maps(self) -> dict[str, Path]:
        """Return no maps: `AnnotationMaps` has them."""
        return {}


@kept()
def _frame(path: str, stamp: tuple[int, tuple[str, ...]]) -> pd.DataFrame:
    said, own = predictions(path, stamp[0]), obs(path, stamp[0])
    frame = pd.DataFrame({"cell": own["cell"]})
    frame[NOW] = labels(path, stamp)["cell_type"].astype(object)
    columns = {PREDICTED: "cell_type", BEST: "best", SECOND: "second", REASON: "reason"}
    for name, column in columns.items():
        values = said[column].astype(object)
        frame[name] = values.where(values != "", None)
    frame[CONFIDENCE] = said["confidence"].to_numpy("float32")
    return frame.join(own[[name for name in own if name not in frame]])


def cells_of(annotation: Annotation, simulated: bool) -> AnnotatedCells:
    """Return the cells of an annotation as a dataset without counts.

    Parameters
    ----------
    simulated
        Whether the model that named them was trained on simulated cells.
    """
    path, stamp = key(annotation)
    about = annotation.about
    meta: dict[str, Any] = {
        "n_cells": int(about["n_cells"]), "n_genes": 0, "unlabelled": [], "simulated": simulated,
        "content_hash": f"{stamp:x}{about['model_hash']}",
        "roles": {"donor": None, "cell_type": NOW, "timepoint": None},
    }  # fmt: skip
    frame = _frame(path, (stamp, corrections_stamp(annotation)))
    return AnnotatedCells(annotation.path, annotation.name, meta, frame)


class AnnotationValues(PageValues):
    """The labels and numbers of an annotation's cells; a correction changes them."""

    def __init__(self, cells: AnnotatedCells, annotation: Annotation) -> None:
        super().__init__(cells, None)
        self.annotation = annotation

    def stamp(self, source: str) -> str:
        """Return what changes when the values of a source may."""
        corrected = "".join(corrections_stamp(self.annotation)) if source == f"obs:{NOW}" else ""
        return f"{self.dataset.content_hash}|{corrected}"
