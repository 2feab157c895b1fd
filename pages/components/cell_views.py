"""The maps of a dataset and of a run, and whose predictions there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pages.components import tables
from pages.components.kept import kept
from sgm_core import tables as run_tables
from sgm_core.cells.dataset import Dataset
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.runs.store import Run

_OWN_MAPS = {"pca_umap": "Expression (PCA, UMAP)", "umap": "UMAP", "tsne": "t-SNE", "pca": "PCA"}


@dataclass(frozen=True)
class Place:
    """Where a map lies: a file, and the part of it if it holds several maps."""

    path: Path
    source: str | None = None

    @property
    def token(self) -> str:
        """What changes when the map does."""
        return f"{self.path}|{self.source}|{tables.stamp(self.path)}"


class Maps(Mapping[str, pd.DataFrame]):
    """Maps by name (columns cell, x, y), each read when it is first looked at."""

    def __init__(self, places: dict[str, Place]) -> None:
        self.places = places

    def __getitem__(self, name: str) -> pd.DataFrame:
        place = self.places[name]
        return _read(str(place.path), place.token, place.source)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def maps(dataset: Dataset, run: Run | None) -> Maps:
    """Return the maps there are by name: the dataset's own, then the run's."""
    places = {_OWN_MAPS.get(name, name): Place(path) for name, path in dataset.maps().items()}
    if run is not None and tables.exists(run, "embedding"):
        for source in _sources(*tables.key(run, "embedding")):
            arm, _, fold = source.partition("/")
            name = f"{arm_name(arm)}, {fold}" if fold else f"{arm_name(arm)} (run)"
            places[name] = Place(run.table_path("embedding"), source)
    return Maps(places)


@kept()
def _sources(path: str, stamp: int) -> list[str]:
    column = run_tables.read(Path(path), ["source"], categories=True)["source"]
    return [str(name) for name in column.unique()]


@kept("Reading the map")
def _read(path: str, token: str, source: str | None) -> pd.DataFrame:
    equal = {} if source is None else {"source": source}
    table = run_tables.read(Path(path), ["cell", "x", "y"], equal=equal)
    placed = np.isfinite(table["x"].to_numpy()) & np.isfinite(table["y"].to_numpy())
    table = table[placed].astype({"cell": "int64", "x": "float32", "y": "float32"})
    return table.reset_index(drop=True)


def models(run: Run | None) -> list[tuple[str, str]]:
    """Return the (arm, scheme) pairs whose predictions the run holds, the most telling one first."""
    folds = tables.read(run, "folds") if run is not None and tables.exists(run, "predictions") else None
    if folds is None:
        return []
    pairs = list(folds[["arm", "scheme"]].drop_duplicates().itertuples(index=False, name=None))
    order = {"self-guided": 0, "partial": 0}
    return sorted(pairs, key=lambda pair: (order.get(pair[0], 1), order.get(pair[1], 1)))


def model_name(model: tuple[str, str]) -> str:
    """Return e.g. 'Self-guided, partial finetune'."""
    return f"{arm_name(model[0])}, {SCHEMES[model[1]].lower()}"


def predictions(run: Run, model: tuple[str, str], n_cells: int) -> pd.DataFrame:
    """Return predicted, confidence and right for every cell (row); missing where a cell was never tested."""
    return _predictions(*tables.key(run, "predictions"), *model, n_cells)


@kept("Reading predictions")
def _predictions(path: str, stamp: int, arm: str, scheme: str, n_cells: int) -> pd.DataFrame:
    columns = ["cell", "seed", "true", "predicted", "confidence"]
    mine = run_tables.read(Path(path), columns, equal={"arm": arm, "scheme": scheme})
    mine = mine[mine["seed"] == mine["seed"].min()].drop_duplicates("cell").set_index("cell")
    table = mine[["true", "predicted", "confidence"]].reindex(range(n_cells))
    right = (table["true"] == table["predicted"]).map({True: "right", False: "wrong"})
    return table.assign(right=right.where(table["predicted"].notna(), None))
