"""What a map of cells can show: its coordinates, and a value for every cell to colour it by."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components import tables
from sgm_core.cells.dataset import Dataset
from sgm_core.figures import cells as figures
from sgm_core.figures.palette import SCHEMES, arm_name, categorical
from sgm_core.runs.store import Run

GENE, PREDICTED, CONFIDENCE, RIGHT = "gene", "predicted", "confidence", "right"
_SPECIAL = {
    GENE: "A gene's expression",
    PREDICTED: "Predicted type",
    CONFIDENCE: "Confidence",
    RIGHT: "Right or wrong",
}
_RIGHT_COLOURS = {"right": ("#0072B2", "circle"), "wrong": ("#D55E00", "diamond")}


@dataclass(frozen=True)
class View:
    """A value for every cell of the dataset, and how to draw it."""

    name: str
    values: np.ndarray
    numeric: bool
    colours: dict[str, tuple[str, str]]


def sources(dataset: Dataset, run: Run | None) -> dict[str, pd.DataFrame]:
    """Return the maps there are by name: the dataset's own, then the run's; columns cell, x, y."""
    found = {}
    for path in sorted((dataset.path / "embeddings").glob("*.parquet")):
        name = {"pca_umap": "Expression (PCA, UMAP)"}.get(path.stem, path.stem)
        found[name] = tables.cached(str(path), tables.stamp(path))
    if run is None:
        return found
    table = tables.read(run, "embedding")
    if table is not None:
        for source in dict.fromkeys(table["source"]):
            arm, _, fold = source.partition("/")
            name = f"{arm_name(arm)}, {fold}" if fold else f"{arm_name(arm)} (run)"
            found[name] = _source(
                str(run.table_path("embedding")), tables.stamp(run.table_path("embedding")), source
            )
    return found


@st.cache_resource(max_entries=32, show_spinner=False)
def _source(path: str, stamp: int, source: str) -> pd.DataFrame:
    table = tables.cached(path, stamp)
    return table.loc[table["source"] == source, ["cell", "x", "y"]].reset_index(drop=True)


def models(run: Run | None) -> list[tuple[str, str]]:
    """Return the (arm, scheme) pairs whose predictions the run holds, the most telling one first."""
    folds = (
        tables.read(run, "folds") if run is not None and tables.read(run, "predictions") is not None else None
    )
    if folds is None:
        return []
    pairs = list(folds[["arm", "scheme"]].drop_duplicates().itertuples(index=False, name=None))
    order = {"self-guided": 0, "partial": 0}
    return sorted(pairs, key=lambda pair: (order.get(pair[0], 1), order.get(pair[1], 1)))


def model_name(model: tuple[str, str]) -> str:
    """Return e.g. 'Self-guided, partial finetune'."""
    return f"{arm_name(model[0])}, {SCHEMES[model[1]].lower()}"


def choices(dataset: Dataset, with_predictions: bool) -> dict[str, str]:
    """Return what cells can be coloured by, with its words."""
    columns = {column: column.replace("_", " ").capitalize() for column in dataset.grouping_columns()}
    every = map(str, dataset.obs.select_dtypes("number").columns)
    numbers = {column: column.replace("_", " ").capitalize() for column in every if column not in columns}
    special = dict(_SPECIAL) if with_predictions else {GENE: _SPECIAL[GENE]}
    return {**columns, **special, **numbers}


@st.cache_resource(max_entries=64, show_spinner=False)
def expression(path: str, content_hash: str, gene: str, _dataset: Dataset) -> np.ndarray:
    """Return one gene's ln(1 + 10,000 * count / total) in every cell, float32 (cells,)."""
    return _dataset.lognorm(genes=[gene]).toarray().ravel()


@st.cache_resource(max_entries=16, show_spinner="Reading predictions")
def predictions(path: str, stamp: int, arm: str, scheme: str, n_cells: int) -> pd.DataFrame:
    """Return predicted, confidence and right for every cell (row); missing where a cell was never tested."""
    columns = ["cell", "seed", "true", "predicted", "confidence"]
    mine = pd.read_parquet(path, columns=columns, filters=[("arm", "==", arm), ("scheme", "==", scheme)])
    mine = mine[mine["seed"] == mine["seed"].min()].drop_duplicates("cell").set_index("cell")
    table = mine.reindex(range(n_cells))
    right = (table["true"] == table["predicted"]).map({True: "right", False: "wrong"})
    return table.assign(right=right.where(table["predicted"].notna(), None))


def view(
    dataset: Dataset,
    run: Run | None,
    choice: str,
    gene: str | None,
    model: tuple[str, str] | None,
    safe: bool,
) -> View:
    """Return the values for a choice of `choices`."""
    if choice == GENE:
        values = expression(str(dataset.path), dataset.content_hash, str(gene), dataset)
        return View(str(gene), values, True, {})
    if choice in (PREDICTED, CONFIDENCE, RIGHT) and run is not None and model is not None:
        path = run.table_path("predictions")
        table = predictions(str(path), tables.stamp(path), *model, dataset.n_cells)
        values = table[choice].to_numpy()
        if choice == CONFIDENCE:
            return View("Confidence", values.astype("float32"), True, {})
        if choice == RIGHT:
            return View("Prediction", values, False, _RIGHT_COLOURS)
        return View("Predicted type", values, False, _colours(dataset, dataset.cell_type_column, safe))
    if choice in dataset.grouping_columns():
        values = dataset.labels(choice).to_numpy()
        return View(choice.replace("_", " "), values, False, _colours(dataset, choice, safe))
    return View(choice.replace("_", " "), dataset.obs[choice].to_numpy("float32"), True, {})


def _colours(dataset: Dataset, column: str, safe: bool) -> dict[str, tuple[str, str]]:
    """Return colour and symbol of each level, the most frequent first; the file's own when it has them."""
    levels = [str(level) for level in dataset.labels(column).value_counts().index]
    return categorical(levels, dataset.meta.get("colors", {}).get(column), safe)


def draw(
    source: pd.DataFrame, name: str, shown: View, rows: np.ndarray, inside: np.ndarray | None
) -> go.Figure:
    """Return the figure of one map.

    Parameters
    ----------
    source
        cell, x, y of all cells of the map.
    name
        The source's name.
    rows
        Rows of `source` to draw.
    inside
        Which cells of the dataset are selected (n_cells,) bool, or None.
    """
    xy = source.iloc[rows]
    cells = xy["cell"].to_numpy()
    mine = shown.values[cells]
    within = None if inside is None else inside[cells]
    title = f"{shown.name[:1].upper()}{shown.name[1:]} · {name}"
    if len(rows) < len(source):
        title += f" · {len(rows):,} of {len(source):,} cells drawn"
    if shown.numeric:
        is_gene = shown.name != "Confidence" and np.nanmin(shown.values, initial=0) >= 0
        return figures.by_number(xy, mine, title, shown.name, is_gene, within)
    dark = st.context.theme.type == "dark"
    every = pd.Series(shown.values[source["cell"].to_numpy()])
    totals = every.where(every.notna(), figures.NO_VALUE).astype(str).value_counts()
    counts = {str(level): int(number) for level, number in totals.items()}
    return figures.by_category(
        xy, pd.Series(mine), shown.colours, title, shown.name, counts, within, dark=dark
    )
