"""Enrichment: what do the hidden genes do?"""

from dataclasses import replace

import pandas as pd
import streamlit as st

from pages.components import (
    confidence,
    frame,
    gene_sets,
    mask_tables,
    questions_handover,
    show,
    tables,
)
from sgm_core.analysis.enrichment import Enrichment
from sgm_core.analysis.masks import lift_problem, preferred_genes
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.figures import enrichment as figures
from sgm_core.figures.palette import arm_name
from sgm_core.report.enrichment_words import Sizes, answer, of_ranking, side_by_side, stated
from sgm_core.resources.store import Resource
from sgm_core.review import artefacts, left_out_sentence
from sgm_core.runs.store import Run

MINE, COMPARED = "mine", "compared"
_ORDERS = {"lift": "Highest lift", "frequency": "Most masked", MINE: "My own list"}
_COLUMNS = {
    "term": st.column_config.TextColumn("Term", width="large", pinned=True),
    "go_id": st.column_config.TextColumn("ID"),
    "n_hits": st.column_config.NumberColumn("My genes"),
    "n_term": st.column_config.NumberColumn("Term's genes", help="in the universe"),
    "fold_enrichment": st.column_config.NumberColumn("Fold", format="%.1f", help="over what chance brings"),
    "p_value": st.column_config.NumberColumn("p", format="%.1e"),
    "q_value": st.column_config.NumberColumn("Adjusted p", format="%.1e", help="Benjamini-Hochberg"),
    "genes": st.column_config.TextColumn("Which", width="large"),
    "group": st.column_config.TextColumn("Carried by the same genes as", width="medium"),
}


def controls(run: Run | None) -> tuple[str, int, Resource, str, tuple[int, int]]:
    """Draw the controls; returns ranking, number of genes, library, arm, smallest and largest term."""
    libraries = gene_sets.libraries()
    arms = mask_tables.arms(run) if run else []
    orders = list(_ORDERS) if run else [MINE]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.selectbox(
            "Genes", orders, orders.index(first_order(run, arms[0] if arms else "")),
            format_func=_ORDERS.__getitem__, key="genes", bind="query-params", width=150,
        )  # fmt: skip
        top = 0
        if run and order != MINE:
            n_genes = len(mask_tables.universe(run))
            start = min(200, max(1, n_genes // 5))
            if st.session_state.get("top", 0) >= n_genes:  # chosen on a run with more genes
                st.session_state["top"] = start
            top = st.number_input(
                "How many", 1, n_genes - 1, start, step=10, key="top", bind="query-params", width=120
            )
        library = st.selectbox("Library", list(libraries), key="library", bind="query-params", width=200)
        arm = arms[0] if arms else ""
        if order != MINE:
            arm = st.selectbox("Arm", arms, format_func=arm_name, key="arm", bind="query-params", width=185)
        with st.popover("More", icon=":material/tune:"):
            smallest = st.number_input("Smallest term", 1, 100, 5, key="smallest", bind="query-params")
            largest = st.number_input(
                "Largest term", 10, 5000, 500, step=50, key="largest", bind="query-params"
            )
            st.caption("Genes of the term that lie in the universe.")
            if run and order != MINE:
                st.toggle(
                    "Without artefacts", key="without-artefacts",
                    help="Leave genes that most of their reviewers call artefacts out of lists and universe.",
                )  # fmt: skip
    return order, int(top), libraries[library], arm, (int(smallest), int(largest))


def own_list(run: Run | None, library: Resource, sizes: tuple[int, int]) -> tuple[pd.DataFrame, Sizes, str]:
    """Ask for a list and its universe, and test it; without a list say what to do, and end the page."""
    universes = {"library": "The library's own genes"}
    if dataset.has_counts:
        universes = {"dataset": f"The {dataset.n_genes:,} genes of {dataset.name}", **universes}
    if run:
        n_genes = len(mask_tables.universe(run))
        universes = {"run": f"The {n_genes:,} genes that the run could hide", **universes}
    compared = questions_handover.compared(dataset)
    if compared:
        universes = {COMPARED: f"The {len(compared):,} genes that the comparison tested", **universes}
    left, right = st.columns([2, 1], gap="medium")
    with left:
        text = st.text_area(
            "Gene symbols, separated by spaces, commas or lines", key="list", bind="query-params"
        )
    with right:
        pool = st.radio(
            "Universe",
            list(universes),
            format_func=lambda name: escape(universes[name]),
            key="universe",
            bind="query-params",
        )
        st.caption("The genes that could have been in your list: choose the narrowest that is true.")
    mine = gene_sets.symbols(text or "")
    if not mine.genes:
        st.info("Paste a list of gene symbols to see which terms hold more of them than chance.")
        st.stop()
    universe: tuple[str, ...]
    if pool == COMPARED:
        universe = compared
    elif run and pool == "run":
        universe = mask_tables.universe(run)
    else:
        universe = tuple(dataset.genes) if pool == "dataset" else tuple(sorted(gene_sets.read(library).genes))
    table, facts = gene_sets.test_list(mine.genes, universe, library, sizes)
    return table, replace(facts, notes=(*mine.notes, *facts.notes)), universes[pool]


def no_run() -> None:
    """Say why there is no ranking of hidden genes to test."""
    if dataset.has_counts:
        st.caption("No run with mask counts is in view: test any list of yours meanwhile.")
        return
    st.caption(
        f"{escape(dataset.name)} holds coordinates and labels only, so no run can hide its genes: test any "
        "list of yours, or look at its cells."
    )
    st.page_link("pages/cells.py", label="Look at its cells", icon=":material/scatter_plot:")


def first_order(run: Run | None, arm: str) -> str:
    """Return the ranking to open with: the highest lift if a gene has one, else what is there to show."""
    if run is None:
        return MINE
    stats = mask_tables.statistics(run, arm)
    return "lift" if lift_problem(stats) is None and preferred_genes(stats) else "frequency"


def sentence(note: str) -> str:
    return f"{note[0].upper()}{note[1:]}."


def sure_of(table: pd.DataFrame) -> str | None:
    """Return how sure the answer is: its own confidence, or whether a term passes the limit."""
    if table.empty:
        return None
    return confidence.of_terms(int((table["q_value"] < figures.SIGNIFICANT).sum()))


def state_test(library: Resource, facts: Sizes, universe: str) -> None:
    """State universe, library and sizes; say how to add a library where there is only the demo's."""
    st.caption(escape(stated(library, facts, universe)))
    for note in facts.notes:
        st.text(f"Note: {note}")  # names of genes and terms are no Markdown
    if library.built_in:
        st.info(
            "This library is a **subset for the demo**: what it lacks, it cannot find. Add a full one "
            "with `sgm resources add genesets FILE.gmt`, or fetch GO once with "
            "`sgm resources fetch GO_Biological_Process_2021`.",
            icon=":material/library_add:",
        )


def evidence(table: pd.DataFrame, title: str, file: str) -> None:
    rows = gene_sets.grouped(table)
    if rows.empty:
        st.info("No term holds any of these genes: take more genes, or smaller terms under More.")
        return
    show.figure(
        figures.terms(rows, title), f"enrichment-{file}", table, alt=title, simulated=dataset.simulated
    )
    st.subheader("Terms with my genes", anchor=False)
    show.table(rows, f"terms-{file}", column_config=_COLUMNS, column_order=list(_COLUMNS), height=420)


def beside(found: Enrichment, arm: str) -> None:
    """Show the controls beside the arm's own rankings."""
    counts, wide = side_by_side(found, arm_name(arm))
    st.subheader("Beside the controls", anchor=False)
    st.caption(
        "What uniform masks or plain expression find too, guided masks did not discover. Grey: controls."
    )
    left, right = st.columns([2, 3], gap="medium")
    with left:
        title = "Terms found by each ranking"
        show.figure(
            figures.rankings(counts, title), "rankings", counts, alt=title, simulated=dataset.simulated
        )
    with right:
        st.markdown("**Adjusted p of the top terms in every ranking**")
        config = {name: st.column_config.NumberColumn(format="%.1e") for name in wide.columns[1:]}
        show.table(wide, "adjusted-p", column_config=config, height=300)


context = frame.page("Enrichment")
if context.dataset is None:
    frame.empty(
        "No dataset yet: import one (`sgm app` brings a demo).", "Go to datasets", "pages/datasets.py"
    )
dataset = context.dataset
run = tables.of_dataset(context)
if run is not None and not (tables.exists(run, "masks") and mask_tables.arms(run)):
    run = None  # only a run with masks counts here
answer_line = st.container()
questions_handover.take(MINE, _ORDERS[MINE], COMPARED)
order, top, library, arm, sizes = controls(run)
try:
    if run is None or order == MINE:
        if run is None:
            no_run()
        terms, facts, universe = own_list(run, library, sizes)
        name, what = "my list", "your genes"
    else:
        without = artefacts(run) if st.session_state.get("without-artefacts") else []
        found = gene_sets.test_run(run, library, arm, top, sizes, tuple(without))
        if order not in found.lists:
            raise InputError(f"{sentence(found.notes[order])} Choose the most masked genes instead.")
        terms, facts = of_ranking(found, order)
        universe = "the genes that the run could hide"
        name = f"{arm_name(arm)}, {_ORDERS[order].lower()}"
        top = len(found.lists[order])
        what = f"the {top:,} {'most masked genes' if order == 'frequency' else 'genes of highest lift'}"
except InputError as error:
    st.warning(escape(error), icon=":material/info:")
    st.stop()
with answer_line:
    frame.answer(escape(answer(terms, facts, what)), sure_of(terms))
    if run is not None and order != MINE:
        tables.still_running(run)
if order != MINE and st.session_state.get("without-artefacts"):
    st.caption(escape(sentence(left_out_sentence(without))))
if order != MINE and order in found.notes:
    st.caption(escape(sentence(found.notes[order])))
state_test(library, facts, universe)
evidence(terms, f"What they do: {name}", "list" if order == MINE else f"{arm}-{order}".replace("+", "-"))
if order != MINE:
    beside(found, arm)
