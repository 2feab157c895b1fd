"""Which genes are higher in the selected cells than in others: asked once, computed by a run, kept."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components import (
    asked,
    frame,
    permit,
    questions_genes,
    questions_handover,
    questions_sides,
    show,
    tables,
    words,
)
from sgm_core import home
from sgm_core.analysis.differential import (
    FACTS,
    METHODS,
    TABLE,
    answer,
    check_sides,
    no_test,
    plan,
)
from sgm_core.analysis.pseudobulk import MIN_CELLS
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures import differential as figures
from sgm_core.figures.palette import FAMILIES
from sgm_core.runs.differential import create_differential, differential_id, existing
from sgm_core.runs.launch import launch
from sgm_core.runs.store import ACTIVE, Run
from sgm_core.spreadsheet import csv_text

_SHOWN = 500
_MOST_GENES = 1000
_COLUMNS = {
    "gene": st.column_config.TextColumn("Gene", pinned=True),
    "log2_fold_change": st.column_config.NumberColumn("log2 fold change", format="%.2f", help="A over B"),
    "q_value": st.column_config.NumberColumn("Adjusted p", format="%.1e", help="Benjamini-Hochberg"),
    "p_value": st.column_config.NumberColumn("p", format="%.1e"),
    "score": st.column_config.NumberColumn("Score", format="%.1f", help="of the ranking by cells; no test"),
    "share_a": st.column_config.NumberColumn("Cells of A", format="percent", help="with a count"),
    "share_b": st.column_config.NumberColumn("Cells of B", format="percent", help="with a count"),
    "mean_a": st.column_config.NumberColumn("Mean in A", format="%.3f", help="ln(1 + counts per 10,000)"),
    "mean_b": st.column_config.NumberColumn("Mean in B", format="%.3f", help="ln(1 + counts per 10,000)"),
    "family": st.column_config.TextColumn("Family"),
    "remark": st.column_config.TextColumn("Remark"),
}


def draw(dataset: Dataset, selected: np.ndarray, name: str) -> None:
    """Ask which cells to compare with; show the answer, or the button that computes it."""
    dataset.require_counts("differential expression")
    sides = questions_sides.choose(dataset, selected, name)
    if sides is None:
        st.caption("Choose the cells to compare with.")
        return
    if not sides.b.any():
        _nothing_in_b(sides)
        return
    method, min_cells = _options()
    rows = check_sides(dataset, sides.a, sides.b, f"A ({sides.name_a})", f"B ({sides.name_b})")
    run_id = differential_id(dataset, *rows, method, min_cells)
    _say_plan(dataset, sides, rows, method, min_cells, run_id)
    run = existing(run_id)
    if run is None:
        if permit.button(
            "launch", "Compare", type="primary", icon=":material/compare_arrows:", key="compare-sides"
        ):
            question = create_differential(dataset, *rows, sides.name_a, sides.name_b, method, min_cells)
            launch(question)
            st.rerun()
    elif run.state in ACTIVE:
        asked.wait(run, "compare")
    elif run.state == "done":
        _result(dataset, run, sides)
    else:
        asked.ended(run, "compare", "The comparison")


def _nothing_in_b(sides: questions_sides.Sides) -> None:
    """Say why there is no cell to compare with."""
    text = f"No cell is in B ({escape(sides.name_b)}): choose another group."
    if sides.shared:
        text = f"All {sides.shared:,} cells of B ({escape(sides.name_b)}) are selected already: select one "
        text += "group alone, or compare two groups of these cells."
    st.info(text, icon=":material/info:")


def _options() -> tuple[str, int | None]:
    with st.popover("More", icon=":material/tune:"):
        method = st.selectbox(
            "Method", list(METHODS), format_func=lambda each: METHODS[each].capitalize(), key="de-method",
            bind="query-params",
        )  # fmt: skip
        usual, fewest = MIN_CELLS
        least = st.number_input(
            "Least cells of a donor on a side", 0, 1000, 0, key="de-cells", bind="query-params",
            help=f"0: {usual}, or {fewest} where only that leaves enough donors",
        )  # fmt: skip
    return method, int(least) or None


@st.cache_data(max_entries=64, show_spinner=False)
def _planned(
    run_id: str, min_cells: int | None, _dataset: Dataset, _rows: tuple[np.ndarray, np.ndarray]
) -> Any:
    return plan(_dataset, *_rows, min_cells)


def _say_plan(
    dataset: Dataset,
    sides: questions_sides.Sides,
    rows: tuple[np.ndarray, np.ndarray],
    method: str,
    min_cells: int | None,
    run_id: str,
) -> None:
    """Say before it is computed what will be compared, and whether that can be a test."""
    planned = _planned(run_id, min_cells, dataset, rows)
    text = f"**A** {escape(sides.name_a)}: {words.count(len(rows[0]), 'cell')}. "
    text += f"**B** {escape(sides.name_b)}: {words.count(len(rows[1]), 'cell')}."
    if sides.shared:
        text += f" {words.count(sides.shared, 'cell')} of B are in A too, and count as A."
    reason = no_test(planned)
    if method == "wilcoxon" or reason:
        why = f" Too few donors for a test: {escape(reason)}." if reason else ""
        text += f"{why} Genes are ranked by single cells (Wilcoxon): a description, no test."
    elif planned is not None:
        a, b = len(planned.donors_a), len(planned.donors_b)
        over = f"{a} donors, each against itself" if planned.paired else f"{a} donors against {b}"
        text += f" Pseudobulk over {over}, each with at least {planned.min_cells} cells."
        text += "".join(f" {escape(note[:1].upper() + note[1:])}." for note in planned.notes)
    st.markdown(text)


def _result(dataset: Dataset, run: Run, sides: questions_sides.Sides) -> None:
    table = tables.read(run, TABLE)
    if table is None:
        st.warning("The answer of this comparison is gone: delete the run on the page Runs and ask again.")
        return
    facts = home.read_json(run.path / FACTS)
    names = sides.name_a, sides.name_b
    tested = facts["method"] == "pseudobulk"
    found = facts["n_higher"] + facts["n_lower"] if tested else 0
    confidence = ("proven" if found else "undecided") if tested else None
    frame.answer(f"{escape(answer(facts, *names))}.", confidence)
    st.caption(_method(facts))
    families = st.toggle("Colour by gene family", key="de-families", bind="query-params")
    left, right = st.columns([3, 2], gap="medium")
    with left:
        chosen = tuple(questions_genes.picked(dataset))
        fig = _volcano(run.id, tables.stamp(run.table_path(TABLE)), names, chosen, families, table)
        show.figure(
            fig, "volcano", table, alt=fig.layout.title.text, simulated=dataset.simulated,
            on_select=lambda: _pick(dataset, table), selection_mode=("points", "box", "lasso"),
        )  # fmt: skip
        st.caption(
            ":material/ads_click: Click genes, or draw a box around them, to choose them for the plots below."
        )
    with right:
        _table(table, run)
    _hand_over(dataset, run, table, tested)
    questions_genes.chosen(dataset, sides.a, sides.b, names, _telling(table, tested))


def _method(facts: dict[str, Any]) -> str:
    """Say how it was computed, and what that allows one to say."""
    notes = "".join(f" {escape(note[:1].upper() + note[1:])}." for note in facts["notes"])
    if facts["method"] == "wilcoxon":
        return (
            f"Wilcoxon's rank sum over {facts['used_a']:,} cells of A and {facts['used_b']:,} of B; "
            f"{facts['n_tested']:,} genes.{notes} There are no p-values: cells of one donor are no "
            "independent samples, and cells that were chosen by their expression differ in it anyway."
        )
    return (
        f"DESeq2 (PyDESeq2), design ~ {escape(facts['design'])}, on counts summed over "
        f"{facts['used_a']:,} cells of A and {facts['used_b']:,} of B, donors with at least "
        f"{facts['min_cells']} cells on a side; {facts['n_tested']:,} genes with counts enough.{notes} If A "
        "and B were told apart by expression (a lasso on a map, a cell type), the test says that donors "
        "agree on a gene, not that the groups are real."
    )


@st.cache_resource(max_entries=8, show_spinner=False)
def _volcano(
    run_id: str,
    stamp: int,
    names: tuple[str, str],
    chosen: tuple[str, ...],
    families: bool,
    _table: pd.DataFrame,
) -> go.Figure:
    return figures.volcano(_table, f"{names[0]} against {names[1]}", names, chosen, families)


def _pick(dataset: Dataset, table: pd.DataFrame) -> None:
    """Take the genes that were clicked or boxed on the volcano as the chosen ones."""
    event = st.session_state.get("chart-volcano")
    points = event["selection"]["points"] if event else []
    shown = {point.get("text") for point in points}
    genes = [str(gene) for gene in table["gene"] if escape(gene) in shown]
    if genes:
        questions_genes.pick(genes)


def _family(table: pd.DataFrame) -> pd.Series:
    text = pd.Series("", index=table.index)
    for name, (words_of, _, _) in FAMILIES.items():
        if name in table:
            text = text.mask(table[name], words_of)
    return text


def _table(table: pd.DataFrame, run: Run) -> None:
    shown = table.sort_values("q_value", kind="stable") if "q_value" in table else table
    shown = shown.head(_SHOWN)  # genes with too few counts for an adjusted p come last
    shown = shown.assign(family=_family(shown))
    order = [name for name in _COLUMNS if name in shown]
    st.dataframe(
        shown,
        column_config=_COLUMNS,
        column_order=order,
        hide_index=True,
        height=470,
        key="table-differential",
    )
    st.download_button(
        f"Whole table: {len(table):,} genes (CSV)",
        lambda: csv_text(table).encode(),
        f"{run.id}.csv",
        mime="text/csv",
        key="whole-differential",
        on_click="ignore",
        icon=":material/download:",
        help=f"The table above shows the first {min(_SHOWN, len(table)):,}.",
    )


def _telling(table: pd.DataFrame, tested: bool, n: int = 6) -> list[str]:
    """Return the genes to draw while none is chosen: the first of each direction."""
    order = "statistic" if tested else "score"
    rows = table.dropna(subset=[order])
    return [*rows.nlargest(n, order)["gene"], *rows.nsmallest(n, order)["gene"][::-1]]


def _hand_over(dataset: Dataset, run: Run, table: pd.DataFrame, tested: bool) -> None:
    """Offer to take genes to the page Enrichment, with the genes that were tested as universe."""
    lists: dict[str, list[str]] = {}
    if tested:
        where = figures.direction(table)
        for side, word in (("higher", "Higher"), ("lower", "Lower")):
            rows = table[where == side].head(_MOST_GENES)
            lists[f"{word} in A"] = rows["gene"].tolist()
    else:
        lists["Highest 100 in A"] = table["gene"].head(100).tolist()
        lists["Highest 100 in B"] = table["gene"].tail(100).tolist()[::-1]
    lists["Chosen genes"] = questions_genes.picked(dataset)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("What do they do?")
        for word, genes in lists.items():
            if st.button(
                f"{word} ({len(genes):,})", disabled=not genes, key=f"enrich-{word}", icon=":material/hub:"
            ):
                questions_handover.hand(run, genes)
