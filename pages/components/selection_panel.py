"""What a selection of cells holds, counted over all cells, whatever was drawn."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from pages.components import cell_views, show, tables, words
from sgm_core.analysis.composition import composition
from sgm_core.analysis.selection import points_in_box, points_in_polygon
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures import composition as figures
from sgm_core.runs.store import Run
from sgm_core.spreadsheet import csv_text


def mask(event: Any, source: pd.DataFrame, n_cells: int) -> np.ndarray | None:
    """Return which cells of the dataset lie in the drawn lassos and boxes (n_cells,) bool; None without any.

    Parameters
    ----------
    event
        The chart's selection state: ``selection.lasso`` and ``selection.box``, each with lists x and y.
    source
        cell, x, y of all cells of the map, drawn or not.
    """
    selection = event["selection"] if event else {}
    lassos, boxes = selection.get("lasso") or [], selection.get("box") or []
    lassos = [lasso for lasso in lassos if len(lasso["x"]) >= 3]
    if not lassos and not boxes:
        return None
    x, y = source["x"].to_numpy(), source["y"].to_numpy()
    inside = np.zeros(len(source), dtype=bool)
    for lasso in lassos:
        inside |= points_in_polygon(x, y, np.column_stack([lasso["x"], lasso["y"]]))
    for box in boxes:
        inside |= points_in_box(x, y, tuple(box["x"][:2]), tuple(box["y"][:2]))
    result = np.zeros(n_cells, dtype=bool)
    result[source["cell"].to_numpy()[inside]] = True
    return result


def answer(
    dataset: Dataset, run: Run | None, model: tuple[str, str] | None, selected: np.ndarray | None
) -> str:
    """Say in one sentence what is on the map, or in the selection."""
    labels = dataset.labels()
    table = _predicted(dataset, run, model)
    if selected is None:
        text = f"{words.count(dataset.n_cells, 'cell')} of {words.count(labels.nunique(), 'type')}, "
        text += words.count(dataset.donors().nunique(), "donor")
        if table is None or model is None:
            return f"{text}."
        tested = table["right"].notna()
        right = (table.loc[tested, "right"] == "right").mean()
        name = escape(cell_views.model_name(model))
        return f"{text}; {name} names {right:.1%} of {tested.sum():,} test cells right."
    if not selected.any():
        return "No cell lies in both selections: double-click a map to clear one."
    text = f"{words.count(int(selected.sum()), 'cell')} selected ({selected.mean():.1%})"
    inside = labels[selected].dropna()
    if len(inside):
        shares = inside.value_counts(normalize=True)
        text += f": {shares.iloc[0]:.0%} {escape(shares.index[0])}"
    donors = dataset.donors()[selected].nunique()
    text += f", from {words.count(donors, 'donor')}"
    if table is not None and table.loc[selected, "right"].notna().any():
        tested = table.loc[selected, "right"].dropna()
        text += f"; {(tested == 'right').mean():.1%} of the tested named right"
    return f"{text}."


def panel(dataset: Dataset, run: Run | None, model: tuple[str, str] | None, selected: np.ndarray) -> None:
    """Show the composition of the selection by cell type, donor, timepoint."""
    if not selected.any():
        return
    columns = dataset.grouping_columns()
    st.subheader("Selected cells", anchor=False)
    by = st.segmented_control(
        "Composition by", columns, default=columns[0], format_func=words.column,
        key="composition", bind="query-params", required=True,
    )  # fmt: skip
    table = composition(dataset.labels(by).to_numpy(), selected).table
    left, right = st.columns(2, gap="medium")
    title = f"Selected cells by {by.replace('_', ' ')}"
    with left:
        fig = figures.composition(table, title)
        show.figure(fig, "composition", table, alt=title, simulated=dataset.simulated)
    with right:
        shown = table[table["n_selected"] > 0]
        config = {
            "label": by.replace("_", " ").capitalize(),
            "n_selected": st.column_config.NumberColumn("Selected", format="localized"),
            "share_selected": st.column_config.NumberColumn("Share", format="percent"),
            "n_rest": st.column_config.NumberColumn("Others", format="localized"),
            "share_rest": st.column_config.NumberColumn("Share of others", format="percent"),
            "ratio": st.column_config.NumberColumn(
                "Ratio", format="%.2f", help="Share here / share elsewhere"
            ),
        }
        show.table(shown, f"selected-by-{by}", column_config=config, height=min(420, 38 + 35 * len(shown)))
        st.download_button(
            "These cells as CSV", lambda: _cells(dataset, run, model, selected), "selected-cells.csv",
            mime="text/csv", key="selected-cells", on_click="ignore", icon=":material/download:",
        )  # fmt: skip


def _cells(dataset: Dataset, run: Run | None, model: tuple[str, str] | None, selected: np.ndarray) -> bytes:
    rows = dataset.obs[selected]
    table = _predicted(dataset, run, model)
    if table is not None:
        rows = rows.join(table.loc[selected, ["predicted", "confidence"]])
    return csv_text(rows).encode()


def _predicted(dataset: Dataset, run: Run | None, model: tuple[str, str] | None) -> pd.DataFrame | None:
    if run is None or model is None:
        return None
    path = run.table_path("predictions")
    return cell_views.predictions(str(path), tables.stamp(path), *model, dataset.n_cells)
