"""Two rankings or two runs side by side on the page Enrichment."""

import streamlit as st

from pages.components import enrichment_term, frame, gene_sets, mask_tables, show, state, tables, words
from sgm_core.analysis.rankings import CONTROLS, OWN
from sgm_core.analysis.term_pairs import pair_sentence
from sgm_core.analysis.verdict import guided_beyond_expression
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures import term_pairs as figures
from sgm_core.figures.palette import arm_name
from sgm_core.report.enrichment_words import RANKINGS, ranking_name
from sgm_core.resources.store import Resource
from sgm_core.runs.store import Run

_ORDERS = {"frequency": "Most masked", "lift": "Highest lift"} | {
    name: RANKINGS[name][0] for name in CONTROLS
}
_COLUMNS = {
    "term": st.column_config.TextColumn("Term", width="large", pinned=True),
    "found": st.column_config.TextColumn("Found by"),
    "n_term": st.column_config.NumberColumn("Term's genes", help="in the universe"),
    "n_hits_a": st.column_config.NumberColumn("A: genes"),
    "q_a": st.column_config.NumberColumn("A: adjusted p", format="%.1e"),
    "n_hits_b": st.column_config.NumberColumn("B: genes"),
    "q_b": st.column_config.NumberColumn("B: adjusted p", format="%.1e"),
    "q_difference": st.column_config.NumberColumn(
        "Differ, adjusted p", format="%.1e", help="Fisher's exact test of the genes that one list alone has"
    ),
    "genes_a": st.column_config.TextColumn("A: which", width="medium"),
    "genes_b": st.column_config.TextColumn("B: which", width="medium"),
}


def draw(
    answer_line: st.delta_generator.DeltaGenerator,
    dataset: Dataset,
    run: Run,
    arm: str,
    order: str,
    library: Resource,
    top: int,
    sizes: tuple[int, int],
    without: tuple[str, ...],
) -> None:
    """Choose what stands beside the ranking in view, and show both."""
    other, other_arm, other_order = _beside(run, arm, order)
    first, second = (run, arm, order), (other, other_arm, other_order)
    found = gene_sets.pair(first, second, library, top, sizes, without)
    names = _names(first, second)
    with answer_line:
        text = pair_sentence(found, *names)
        frame.answer(f"{escape(text)}.", "described")
    for name, (each, its_arm, its_order) in zip("AB", (first, second)):
        if its_order in OWN and not guided_beyond_expression(mask_tables.diagnose(each, its_arm)):
            judged = mask_tables.judge(each, its_arm)
            st.caption(
                f":material/casino: {name}, {escape(names['AB'.index(name)])}: {escape(judged.sentence)}. "
                "Its terms say nothing of what the model learned."
            )
    lost = [
        f"{words.count(n, 'gene')} of {name} alone left out" for name, n in zip("AB", found.lost) if n
    ]  # fmt: skip
    st.caption(
        f"A: {escape(names[0])}, {words.count(len(found.lists[0]), 'gene')} · B: {escape(names[1])}, "
        f"{words.count(len(found.lists[1]), 'gene')} · Universe: the {len(found.universe):,} genes that both "
        f"could hide{'; ' + ', '.join(lost) if lost else ''} · Library: {escape(library.name)}, "
        f"{words.count(len(found.table), 'term')} tested"
    )
    for note in found.changes:
        st.text(f"Note: {note}")
    title = "The same terms in two lists"
    fig = figures.term_pairs(found.table, title, f"A: {names[0]}", f"B: {names[1]}")
    show.figure(fig, "term-pairs", found.table, alt=title, simulated=dataset.simulated)
    table = found.table.assign(
        found=found.table["found"]
        .map({"both": "both", "first": "A alone", "second": "B alone"})
        .fillna("neither")
    )
    event = show.table(
        table, "term-pairs-table", column_config=_COLUMNS, column_order=list(_COLUMNS), height=420,
        on_select="rerun", selection_mode="single-row",
    )  # fmt: skip
    chosen = event["selection"]["rows"] if event else []
    if chosen and chosen[0] < len(table):
        row = table.iloc[chosen[0]]
        genes = sorted({g for text in (row["genes_a"], row["genes_b"]) for g in text.split(";") if g})
        with st.container(border=True):
            st.subheader(escape(row["term"]), anchor=False)
            st.markdown(f"**Genes of either list** {escape(', '.join(genes)) or 'none'}")
            if genes:
                enrichment_term.onward(genes, dataset, arm)


def _beside(run: Run, arm: str, order: str) -> tuple[Run, str, str]:
    """Draw the choice of the other side: another ranking of the same run at first."""
    runs = [each for each in state.runs() if tables.exists(each, "masks") and mask_tables.arms(each)]
    by_id = {each.id: each for each in runs}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown("**Beside it**", width="content")
        if st.session_state.get("beside-run") not in by_id:
            st.session_state["beside-run"] = run.id
        chosen = st.selectbox(
            "Run", list(by_id), format_func=lambda each: words.run_label(by_id[each]), key="beside-run",
            bind="query-params", width=320,
        )  # fmt: skip
        other = by_id[chosen]
        arms = mask_tables.arms(other)
        if st.session_state.get("beside-arm") not in arms:
            st.session_state["beside-arm"] = arm if arm in arms else arms[0]
        its_arm = st.selectbox(
            "Arm", arms, format_func=arm_name, key="beside-arm", bind="query-params", width=185
        )
        first = "expression" if other.id == run.id and its_arm == arm and order != "expression" else order
        its_order = st.selectbox(
            "Genes", list(_ORDERS), list(_ORDERS).index(first), format_func=_ORDERS.__getitem__,
            key="beside-order", bind="query-params", width=230,
        )  # fmt: skip
    return other, its_arm, its_order


def _names(first: tuple[Run, str, str], second: tuple[Run, str, str]) -> tuple[str, str]:
    """Return short names that tell the sides apart."""
    found = [
        ranking_name(order, arm_name(arm)) if order in OWN else _ORDERS[order] for _, arm, order in
        (first, second)
    ]  # fmt: skip
    if first[0].id != second[0].id:
        same = first[0].dataset_name == second[0].dataset_name
        runs = [words.short_id(side[0]) if same else side[0].dataset_name for side in (first, second)]
        found = [f"{name} ({run})" for name, run in zip(found, runs)]
    return found[0], found[1]
