"""Enrichment: what do the hidden genes do?"""

import pandas as pd
import streamlit as st

from pages.components import (
    confidence,
    enrichment_library,
    enrichment_list,
    enrichment_pair,
    enrichment_rank,
    enrichment_term,
    frame,
    gene_sets,
    mask_tables,
    questions_handover,
    show,
    tables,
)
from sgm_core.analysis.confidence import SIGNIFICANT
from sgm_core.analysis.enrichment import Enrichment
from sgm_core.analysis.masks import lift_problem, preferred_genes
from sgm_core.analysis.term_claim import claim
from sgm_core.errors import InputError
from sgm_core.escape import escape
from sgm_core.figures import enrichment as figures
from sgm_core.figures.palette import arm_name
from sgm_core.report.enrichment_words import Sizes, answer, listed, of_ranking, side_by_side, stated
from sgm_core.resources.store import Resource
from sgm_core.review import artefacts, left_out_sentence
from sgm_core.runs.store import Run
from sgm_core.spreadsheet import csv_text

MINE = "mine"
_ORDERS = {"lift": "Highest lift", "frequency": "Most masked", MINE: "My own list"}
VIEWS = {"terms": "Terms", "pair": "Side by side", "rank": "All genes ranked"}
_EVERY, _OWN = 0.0, -1.0
_BACKGROUNDS = {
    _EVERY: "All genes that could be hidden",
    0.01: "Those found in 1 % of the draws",
    0.05: "Those found in 5 % of the draws",
    0.2: "Those found in 20 % of the draws",
    _OWN: "A list that I paste",
}


def controls(run: Run | None) -> tuple[str, int, Resource, str, tuple[int, int], float, float]:
    """Draw the controls; returns ranking, number of genes, library, arm, sizes of terms, background, cut."""
    arms = mask_tables.arms(run) if run else []
    orders = list(_ORDERS) if run else [MINE]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = st.selectbox(
            "Genes", orders, orders.index(first_order(run, arms[0] if arms else "")),
            format_func=_ORDERS.__getitem__, key="genes", bind="query-params", width=140,
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
        library = enrichment_library.choose()
        arm, background = arms[0] if arms else "", _EVERY
        if order != MINE:
            arm = st.selectbox("Arm", arms, format_func=arm_name, key="arm", bind="query-params", width=160)
        with st.popover("More", icon=":material/tune:"):
            cut = st.slider(
                "Terms are alike from this share of common genes on", 0.1, 1.0, 0.5, 0.05, key="cut",
                bind="query-params", help="Jaccard index of the genes that the list has in them",
            )  # fmt: skip
            smallest = st.number_input("Smallest term", 1, 100, 5, key="smallest", bind="query-params")
            largest = st.number_input(
                "Largest term", 10, 5000, 500, step=50, key="largest", bind="query-params"
            )
            st.caption("Genes of the term that lie in the universe.")
            if run and order != MINE:
                background = st.selectbox(
                    "Universe", list(_BACKGROUNDS), format_func=_BACKGROUNDS.__getitem__, key="background",
                    bind="query-params", help="The list is the first genes of the ranking within it.",
                )  # fmt: skip
                st.toggle(
                    "Without artefacts", key="without-artefacts",
                    help="Leave genes that most of their reviewers call artefacts out of lists and universe.",
                )  # fmt: skip
    return order, int(top), library, arm, (int(smallest), int(largest)), background, cut


def chosen_background(run: Run, arm: str, share: float) -> tuple[tuple[str, ...] | None, str]:
    """Return the genes that a run's universe is restricted to (None: all), and what they are."""
    if share == _EVERY:
        return None, "the genes that the run could hide"
    if share == _OWN:
        own = enrichment_list.pasted("background-list", "Genes of the universe")
        if not own.genes:
            st.info("Paste the genes of the universe, or take another one under More.")
            st.stop()
        return own.genes, "the genes that I pasted, as far as the run could hide them"
    stats = mask_tables.statistics(run, arm)
    found = stats.loc[stats["detection"] >= share, "gene"]
    return tuple(found), f"the genes that the run could hide and found in {share:.0%} of the draws"


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
    """Return how sure the answer on a list of one's own is: whether a term passes the limit."""
    if table.empty:
        return None
    return confidence.of_terms(int((table["q_value"] < SIGNIFICANT).sum()))


def state_test(library: Resource, facts: Sizes, universe: str) -> None:
    """State universe, library and sizes; say how to add a library where there is only the demo's."""
    st.caption(escape(stated(library, facts, universe)))
    for note in facts.notes:
        st.text(f"Note: {note}")  # names of genes and terms are no Markdown
    enrichment_list.changed(facts)
    if library.built_in:
        st.info(
            "This library is a **subset for the demo**: what it lacks, it cannot find. Add a full one "
            "(button Add, or `sgm resources add genesets FILE.gmt`), or fetch GO once with "
            "`sgm resources fetch GO_Biological_Process_2021`.",
            icon=":material/library_add:",
        )


def evidence(table: pd.DataFrame, title: str, file: str, cut: float, arm: str) -> None:
    rows = gene_sets.grouped(table, cut)
    if rows.empty:
        st.info("No term holds any of these genes: take more genes, or smaller terms under More.")
        return
    show.figure(
        figures.terms(rows, title), f"enrichment-{file}", table, alt=title, simulated=dataset.simulated
    )
    st.subheader("Terms with my genes", anchor=False)
    enrichment_term.table(rows, file)
    enrichment_term.card(rows, dataset, arm)


def whole_table(found: pd.DataFrame, facts: dict[str, object], file: str) -> None:
    """Offer every term of every ranking, those without a gene too, with what they were tested in."""
    st.download_button(
        f"All {len(found):,} rows as one CSV",
        lambda: csv_text(found.assign(**facts)).encode(),
        file_name=f"{show.plain(file)}.csv",
        mime="text/csv",
        key="whole-table",
        on_click="ignore",
        icon=":material/download:",
    )


def beside(found: Enrichment, arm: str) -> None:
    """Show the controls beside the arm's own rankings."""
    counts, wide = side_by_side(found, arm_name(arm))
    st.subheader("Beside the controls", anchor=False)
    st.caption(
        "What uniform masks, masks before training or plain expression find too, guided masks did not "
        "discover. Grey: controls."
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


def own_terms(library: Resource, sizes: tuple[int, int], cut: float) -> None:
    """Test a list of one's own."""
    if run is None:
        no_run()
    terms, facts, universe = enrichment_list.test(dataset, run, library, sizes)
    with answer_line:
        frame.answer(escape(answer(terms, facts, "your genes")), sure_of(terms))
    state_test(library, facts, universe)
    evidence(terms, "What they do: my list", "list", cut, "")
    told = {
        "library": library.name,
        "universe": universe,
        "n_universe": facts.universe,
        "n_list": facts.listed,
    }
    whole_table(terms, told, "enrichment-my-list")


def left_out(run: Run) -> tuple[str, ...]:
    """Return the genes that reviewers call artefacts, where they are to be left out, and say so."""
    if not st.session_state.get("without-artefacts"):
        return ()
    genes = artefacts(run)
    st.caption(escape(sentence(left_out_sentence(genes))))
    return tuple(genes)


def run_terms(
    run: Run,
    order: str,
    library: Resource,
    arm: str,
    top: int,
    sizes: tuple[int, int],
    share: float,
    cut: float,
) -> None:
    """Test the genes that a run hides most."""
    background, universe = chosen_background(run, arm, share)
    found = gene_sets.test_run(run, library, arm, top, sizes, background, left_out(run))
    if order not in found.lists:
        raise InputError(f"{sentence(found.notes[order])} Choose the most masked genes instead.")
    terms, facts = of_ranking(found, order)
    n = len(found.lists[order])
    what = listed(n, order)
    said = claim(found, order, mask_tables.diagnose(run, arm), what)
    with answer_line:
        frame.answer(f"{escape(said.sentence)}.", said.confidence)
        tables.still_running(run)
    if order in found.notes:
        st.caption(escape(sentence(found.notes[order])))
    state_test(library, facts, universe)
    file = f"{arm}-{order}".replace("+", "-")
    evidence(terms, f"What they do: {arm_name(arm)}, {_ORDERS[order].lower()}", file, cut, arm)
    told = {"run": run.id, "arm": arm, "library": library.name, "universe": universe}
    whole_table(found.table, told | {"n_universe": facts.universe, "top": top}, f"enrichment-{file}")
    beside(found, arm)


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
questions_handover.take(MINE, _ORDERS[MINE], enrichment_list.COMPARED)
order, top, library, arm, sizes, share, cut = controls(run)
view = "terms"
if run is not None and order != MINE:
    view = st.segmented_control(
        "View", list(VIEWS), default="terms", format_func=VIEWS.__getitem__, key="shows",
        bind="query-params", required=True, label_visibility="collapsed",
    )  # fmt: skip
try:
    if run is None or order == MINE:
        own_terms(library, sizes, cut)
    elif view == "pair":
        enrichment_pair.draw(answer_line, dataset, run, arm, order, library, top, sizes, left_out(run))
    elif view == "rank":
        enrichment_rank.draw(answer_line, dataset, run, arm, order, library, sizes, left_out(run))
    else:
        run_terms(run, order, library, arm, top, sizes, share, cut)
except InputError as error:
    st.warning(escape(error), icon=":material/info:")
    st.stop()
