"""All genes of a run in a ranking, and where the genes of each term lie in it, on the page Enrichment."""

import pandas as pd
import streamlit as st

from pages.components import (
    asked,
    enrichment_term,
    frame,
    gene_sets,
    mask_tables,
    permit,
    show,
    tables,
    words,
)
from sgm_core.analysis.confidence import SIGNIFICANT
from sgm_core.analysis.enrichment import split_term
from sgm_core.analysis.prerank import PERMUTATIONS, RANKED, TABLE, running_sum
from sgm_core.analysis.universe import fit_terms
from sgm_core.analysis.verdict import guided_beyond_expression
from sgm_core.cells.dataset import Dataset
from sgm_core.errors import NotFoundError
from sgm_core.escape import escape
from sgm_core.figures import running_sum as figures
from sgm_core.figures.palette import arm_name
from sgm_core.figures.style import p_text
from sgm_core.resources.store import Resource
from sgm_core.runs.launch import launch
from sgm_core.runs.prerank import create_prerank, prerank_id
from sgm_core.runs.store import ACTIVE, Run, open_run
from sgm_core.runs.terms import gene_values

_WHAT = {"frequency": "mask frequency", "lift": "lift"}
_COLUMNS = {
    "term": st.column_config.TextColumn("Term", width="large", pinned=True),
    "go_id": st.column_config.TextColumn("ID"),
    "n_term": st.column_config.NumberColumn("Term's genes", help="among those ranked"),
    "nes": st.column_config.NumberColumn("Score, normalised", format="%+.2f"),
    "p_value": st.column_config.NumberColumn("p", format="%.3f", help=f"0: under 1 in {PERMUTATIONS:,}"),
    "q_value": st.column_config.NumberColumn("Adjusted p", format="%.3f"),
    "genes": st.column_config.TextColumn("Leading genes", width="large"),
}


def draw(
    answer_line: st.delta_generator.DeltaGenerator,
    dataset: Dataset,
    run: Run,
    arm: str,
    by: str,
    library: Resource,
    sizes: tuple[int, int],
    without: tuple[str, ...],
) -> None:
    """Rank all genes by frequency or lift in a worker, and show what it found."""
    question = (run, arm, by, library, sizes, without)
    try:
        found = open_run(prerank_id(*question))
    except NotFoundError:
        found = None
    n_genes = len(mask_tables.universe(run))
    st.caption(
        f"GSEA prerank: the {n_genes:,} genes that the run could hide, ranked by {_WHAT[by]} of "
        f"{escape(arm_name(arm))}, against {escape(library.name)}; {PERMUTATIONS:,} permutations, seed 0. "
        "No list is cut off, so a term may be found whose genes are each hidden only a little more."
    )
    if found is None:
        with answer_line:
            frame.answer("Not asked yet: ranking all genes takes a worker some seconds to some minutes.")
        if permit.button(
            "launch", "Rank all genes", type="primary", icon=":material/sort:", key="rank-genes"
        ):
            launch(create_prerank(*question, gene_values(run, arm, by)))
            st.rerun()
    elif found.state in ACTIVE:
        asked.wait(found, "prerank")
    elif found.state == "done" and tables.exists(found, TABLE):
        _result(answer_line, dataset, run, found, arm, by, library)
    else:
        asked.ended(found, "prerank", "The ranking")


def _result(
    answer_line: st.delta_generator.DeltaGenerator,
    dataset: Dataset,
    run: Run,
    found: Run,
    arm: str,
    by: str,
    library: Resource,
) -> None:
    table, ranked = tables.read(found, TABLE), tables.read(found, RANKED)
    assert table is not None and ranked is not None
    rows = table.reindex(table["p_value"].sort_values(kind="stable").index).reset_index(drop=True)
    with answer_line:
        frame.answer(*_answer(run, rows, arm, by))
    event = show.table(
        rows, "prerank", column_config=_COLUMNS, column_order=list(_COLUMNS), height=320,
        on_select="rerun", selection_mode="single-row",
    )  # fmt: skip
    chosen = event["selection"]["rows"] if event else []
    row = rows.iloc[chosen[0] if chosen and chosen[0] < len(rows) else 0]
    if not chosen:
        st.caption(":material/ads_click: Choose a row to see another term.")
    values = ranked.set_index("gene")["value"]
    terms, _ = fit_terms(gene_sets.read(library).terms, values.index)
    by_name = {split_term(name): genes for name, genes in terms.items()}
    sums = running_sum(values, by_name[row["term"], row["go_id"]])
    with st.container(border=True):
        st.subheader(escape(row["term"]), anchor=False)
        fig = figures.running_sum(sums, f"Where its genes lie: {row['term']}", _WHAT[by].capitalize())
        alt = f"Running sum of {row['term']}, score {sums.attrs['score']:+.2f}"
        show.figure(fig, "running-sum", sums, alt=alt, simulated=dataset.simulated)
        leading = row["genes"].split(";")
        st.markdown(f"**Leading genes** {escape(', '.join(leading))}")
        enrichment_term.onward(leading, dataset, arm)


def _answer(run: Run, rows: pd.DataFrame, arm: str, by: str) -> tuple[str, str]:
    """Say how many terms lie at an end of the ranking, and whether that can mean the model."""
    first, last = (
        int(((rows["q_value"] < SIGNIFICANT) & side).sum()) for side in (rows["nes"] > 0, rows["nes"] < 0)
    )
    text = (
        f"{words.count(first, 'term')} of {len(rows):,} lie among the genes that are hidden most, {last:,} "
    )
    text += f"among those that are hidden least (adjusted p under {SIGNIFICANT})"
    d = mask_tables.diagnose(run, arm)
    if not guided_beyond_expression(d):
        judged = mask_tables.judge(run, arm)
        sure = "undecided" if judged.confidence == "undecided" else "chance"
        return f"{text}. It says nothing of what the model learned: {escape(judged.sentence)}.", sure
    if by == "frequency":
        return f"{text}; expression alone brings many of them: rank by lift to leave it out.", "described"
    best = rows.iloc[0]
    return f"{text}; the clearest is {escape(best['term'])} (adjusted p {p_text(best['q_value'])}).", (
        "proven" if first + last else "chance"
    )
