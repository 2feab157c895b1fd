"""Cells: what kinds of cells are there, and what sets these apart?"""

from dataclasses import replace

import streamlit as st
from streamlit.errors import StreamlitAPIException

from pages.components import (
    cell_views,
    cells_background,
    cells_filter,
    cells_gestures,
    cells_panes,
    cells_saved,
    cells_values,
    frame,
    permit,
    questions,
    selection_panel,
    state,
    tables,
)
from pages.components.cell_views import Maps
from pages.components.cells_panes import Pane
from pages.components.cells_selection import Selecting, short_name
from pages.components.cells_values import PageValues
from sgm_core.analysis.cell_values import GENE
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.selections import list_selections
from sgm_core.escape import escape
from sgm_core.runs.launch import launch
from sgm_core.runs.store import ACTIVE, create_run

_LAYOUTS = {"One": 1, "Two": 2, "Four": 4}


def no_map(dataset: Dataset) -> None:
    """Say that there is no map yet, and offer the button that makes one; ends the page."""
    making = [run for run in state.runs(dataset.name, kinds=("umap",)) if run.state in ACTIVE]
    with st.container(border=True):
        if making:
            st.markdown("Making the map: the page shows it as soon as it is there.")
            cells_background.watch(making)
        else:
            cells_background.news()
            st.markdown(
                f"No map of {escape(dataset.name)} yet. A UMAP of its expression (PCA of the 2,000 most "
                "detected genes) is made in the background; a comparison adds maps of its models."
            )
            if permit.button("launch", "Make a map", type="primary", icon=":material/scatter_plot:"):
                parameters = {"data": dataset.name, "seed": 0}
                launch(create_run("umap", dataset.name, parameters, f"Map of {dataset.name}"))
                st.rerun()
    st.stop()


def more(models: list[tuple[str, str]]) -> tuple[tuple[str, str] | None, int]:
    """Draw what is seldom changed: how many maps, and whose predictions."""
    with st.popover("More", icon=":material/tune:"):
        layout = st.segmented_control(
            "Maps side by side", list(_LAYOUTS), default="Two", key="maps", bind="query-params", required=True
        )
        names = {cell_views.model_name(model): model for model in models}
        chosen = (
            st.selectbox("Predictions of", list(names), key="model", bind="query-params") if names else ""
        )
    return names.get(chosen or ""), _LAYOUTS[layout]


def first_colours(dataset: Dataset, options: dict[str, str]) -> list[str]:
    """Return what the maps are coloured by at first: types, right or wrong, a gene, another column."""
    columns = [source for source in options if source.startswith("obs:")]
    right = [source for source in options if source.startswith(f"{cells_values.RIGHT}:")]
    rest = [*right, *columns[1:], *columns[:1]]
    gene = [GENE] if GENE in options else []
    return [columns[0], rest[0], *gene, *rest[1:], *rest][:4]


def panes(
    dataset: Dataset, maps: Maps, values: PageValues, options: dict[str, str], n: int
) -> tuple[list[Pane | None], list]:
    """Draw the controls of each map; returns what each shows, and where it and what is below it go."""
    shown, places = [], []
    colours = first_colours(dataset, options)
    for _ in range(0, n, 2):
        # a row of controls, then a row of maps: what one map asks more moves its neighbour too
        tops, columns = (st.columns(min(2, n), gap="medium") for _ in range(2))
        for controls, column in zip(tops, columns):
            place = len(shown)
            spot = column.container()
            foot = column.container(horizontal=True, vertical_alignment="center", gap="small")
            with controls:
                pane = cells_panes.choose(dataset, maps, options, values, place, colours[place], foot)
            shown.append(pane)
            places.append((spot, foot))
    return shown, places


@st.fragment
def explorer(dataset: Dataset, maps: Maps, context: frame.Context) -> None:
    """Draw the maps and what is selected; a lasso draws this part of the page again, not the whole."""
    with frame.guard():
        answer_line = st.container()
        cells_background.news()
        cells_background.in_progress(dataset)
        values = PageValues(dataset, context.run)
        selecting = Selecting(dataset, maps, values)
        models = cell_views.models(context.run)
        with st.container(horizontal=True, vertical_alignment="top", gap="small"):
            by_hand = st.container(width="stretch")
            saved = list_selections(dataset)
            combine = st.popover(f"Saved ({len(saved)})", icon=":material/bookmarks:")
            model, n_panes = more(models)
        options = cells_panes.options(dataset, cells_values.of_run(context.run, model))
        bar = st.container()
        shown, places = panes(dataset, maps, values, options, n_panes)
        cells_gestures.waiting(selecting, shown)
        with combine:  # after the gestures: what can be combined depends on them
            cells_saved.saved_list(selecting)
        with by_hand:
            choose_cells(selecting, shown, values)
        selected = selecting.selected()
        with answer_line:
            frame.answer(selection_panel.answer(dataset, context.run, model, selected))
            if selecting.problem:
                st.warning(escape(selecting.problem), icon=":material/info:")
        with bar:
            selection_panel.bar(selecting, context.run, model, selected)
        moved = False
        for place, (pane, (spot, foot)) in enumerate(zip(shown, places)):
            if pane is None:
                continue
            with foot:
                cells_panes.download(dataset, maps, values, pane, place)
            with spot, frame.guard():
                event = cells_panes.draw(
                    dataset, maps, values, pane, place, n_panes, selected, context.colour_blind
                )
                moved = cells_gestures.carry_out(selecting, pane, place, event) or moved
        if moved:
            again()
        if not dataset.has_counts:
            st.caption(
                f":material/info: {escape(dataset.name)} has coordinates and labels only. Colours by gene or "
                "gene set, a map of selected cells and genes that differ need a file with counts."
            )
        if selected is not None and selected.any():
            questions.panel(dataset, context.run, model, selected, short_name(selecting.history.steps))
        else:
            st.caption(
                ":material/gesture: Draw around cells on a map, or **select cells by label or value** above, "
                "to see what they are, which genes differ between them and others, and which a model hides."
            )


def choose_cells(selecting: Selecting, shown: list[Pane | None], values: PageValues) -> None:
    """Offer the selection of cells by labels and by values, without drawing."""
    # a key of its own for each state of the selection: the box closes once it has done its work
    place = f"select-{selecting.history.place}"
    with st.expander("Select cells by label or value", icon=":material/filter_alt:", key=place):
        labels, numbers = st.tabs(["Labels", "A value"])
        with labels:
            cells_filter.by_labels(selecting)
        with numbers:
            mine = {p.source: p.words for p in shown if p is not None and values.is_number(p.source)}
            columns = cells_values.columns(selecting.dataset)
            mine |= {source: text for source, text in columns.items() if values.is_number(source)}
            cells_filter.by_value(selecting, mine)


def again() -> None:
    """Draw the maps again with the new selection."""
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:  # the whole page is being drawn, not this part of it
        st.rerun()


context = frame.page("Cells")
if context.dataset is None:
    frame.empty(
        "No dataset yet: import one (`sgm app` brings a demo).", "Go to datasets", "pages/datasets.py"
    )
dataset = context.dataset
context = replace(context, run=tables.of_dataset(context))  # no predictions for other cells
available = cell_views.maps(dataset, context.run)
if not available:
    no_map(dataset)
explorer(dataset, available, context)
