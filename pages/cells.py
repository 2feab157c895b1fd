"""Cells: what kinds of cells are there, and what sets these apart?"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.components import cell_views, frame, selection_panel, show, state, tables
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures.cells import subsample
from sgm_core.figures.palette import arm_name
from sgm_core.runs.launch import launch
from sgm_core.runs.store import ACTIVE, Run, create_run

_KEYS = ("source", "colour", "gene"), ("source2", "colour2", "gene2")
_FIRST_GENES = ("CD34", "MPO", "LYZ")


def no_map(dataset: Dataset) -> None:
    """Say that there is no map yet, and offer the button that makes one; ends the page."""
    making = [run for run in state.runs(dataset.name, kinds=("umap",)) if run.state in ACTIVE]
    with st.container(border=True):
        if making:
            wait_for_map(making[0])
        else:
            st.markdown(
                f"No map of {escape(dataset.name)} yet. A UMAP of its expression (PCA of the 2,000 most "
                "detected genes) is made in the background; a comparison adds maps of its models."
            )
            if st.button("Make a map", type="primary", icon=":material/scatter_plot:"):
                parameters = {"data": dataset.name, "seed": 0}
                launch(create_run("umap", dataset.name, parameters, f"Map of {dataset.name}"))
                st.rerun()
    st.stop()


@st.fragment(run_every=2)
def wait_for_map(run: Run) -> None:
    with frame.guard():
        if run.state not in ACTIVE:
            st.rerun()
        done = run.status.get("progress") or {}
        st.markdown(f"Making the map: {escape(done.get('what') or 'waiting for its turn')} …")
        st.progress(min(1.0, done.get("done", 0) / (done.get("total") or 1)))


def choose(
    half: DeltaGenerator, maps: list[str], options: dict[str, str], keys: tuple[str, str, str], first: int
) -> tuple[str, str, str | None]:
    """Draw one map's controls; returns the map, what to colour by, and the gene if that is one."""
    with half, st.container(horizontal=True):
        guided = [i for i, name in enumerate(maps) if name.startswith(arm_name("self-guided"))]
        place = (guided or [len(maps) - 1])[0]
        source = st.selectbox("Map", maps, index=place, key=keys[0], bind="query-params")
        colour = st.selectbox(
            "Colour by",
            list(options),
            first,
            format_func=options.__getitem__,
            key=keys[1],
            bind="query-params",
        )
        gene = None
        if colour == cell_views.GENE:
            genes = list(dataset.genes)
            start = next((genes.index(gene) for gene in _FIRST_GENES if gene in genes), 0)
            gene = st.selectbox("Gene", genes, start, key=keys[2], bind="query-params")
    return source, colour, gene


def more(models: list[tuple[str, str]]) -> tuple[tuple[str, str] | None, bool]:
    """Draw what is seldom changed: whose predictions, and whether the right map follows the left."""
    with st.popover("More", icon=":material/tune:"):
        names = {cell_views.model_name(model): model for model in models}
        chosen = (
            st.selectbox("Predictions of", list(names), key="model", bind="query-params") if names else ""
        )
        linked = st.toggle("The right map dims what is not selected", True, key="linked", bind="query-params")
    return names.get(chosen or ""), linked


def values_of(table: pd.DataFrame, shown: cell_views.View) -> Callable[[], pd.DataFrame]:
    """Return what makes the CSV of a map: every cell of it, drawn or not."""
    return lambda: table.assign(**{shown.name: shown.values[table["cell"].to_numpy()]})


@st.fragment
def explorer(dataset: Dataset, maps: dict[str, pd.DataFrame], context: frame.Context) -> None:
    """Draw both maps and what is selected; a lasso draws this part of the page again, not the whole."""
    with frame.guard():
        answer_line = st.container()
        models = cell_views.models(context.run)
        options = cell_views.choices(dataset, bool(models))
        second = list(options).index(cell_views.RIGHT) if models else min(1, len(options) - 1)
        halves = st.columns(2, gap="medium")
        chosen = [
            choose(half, list(maps), options, keys, first)
            for half, keys, first in zip(halves, _KEYS, (0, second))
        ]
        model, linked = more(models)
        selected: np.ndarray | None = None
        for half, side, (source, colour, gene) in zip(halves, ("left", "right"), chosen):
            shown = cell_views.view(dataset, context.run, colour, gene, model, context.colour_blind)
            table = maps[source]
            inside = selected if linked else None
            fig = cell_views.draw(table, source, shown, subsample(len(table)), inside)
            with half:
                event = show.figure(
                    fig,
                    f"cells-{side}",
                    values_of(table, shown),
                    alt=f"Map of cells coloured by {shown.name}",
                    simulated=dataset.simulated,
                    on_select="rerun",
                    selection_mode=("lasso", "box"),
                )
            mine = selection_panel.mask(event, table, dataset.n_cells)
            if mine is not None:
                selected = mine if selected is None else selected & mine
        with answer_line:
            frame.answer(selection_panel.answer(dataset, context.run, model, selected))
        if selected is not None:
            selection_panel.panel(dataset, context.run, model, selected)
        else:
            st.caption(
                ":material/gesture: Draw a lasso or a box around cells to see what they are. A "
                "selection on the left map dims all other cells on the right; one on the right narrows it. A "
                "double click clears it."
            )


context = frame.page("Cells")
if context.dataset is None:
    frame.empty("No dataset yet: import one, or start with the demo.", "Go to datasets", "pages/datasets.py")
dataset = context.dataset
context = replace(context, run=tables.of_dataset(context))  # no predictions for other cells
available = cell_views.sources(dataset, context.run)
if not available:
    no_map(dataset)
explorer(dataset, available, context)
