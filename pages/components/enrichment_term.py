"""One term of the page Enrichment: its group, its genes, and the ways on with them."""

import pandas as pd
import streamlit as st

from pages.components import handover, review_handover, show, words
from sgm_core.cells.dataset import Dataset
from sgm_core.escape import escape
from sgm_core.figures.style import p_text

COLUMNS = {
    "term": st.column_config.TextColumn("Term", width="large", pinned=True),
    "others": st.column_config.NumberColumn("Alike", help="further terms that the same genes carry"),
    "go_id": st.column_config.TextColumn("ID"),
    "n_hits": st.column_config.NumberColumn("My genes"),
    "n_term": st.column_config.NumberColumn("Term's genes", help="in the universe"),
    "fold_enrichment": st.column_config.NumberColumn("Fold", format="%.1f", help="over what chance brings"),
    "p_value": st.column_config.NumberColumn("p", format="%.1e"),
    "q_value": st.column_config.NumberColumn("Adjusted p", format="%.1e", help="Benjamini-Hochberg"),
    "expected_matched": st.column_config.NumberColumn(
        "Equals hold", format="%.1f", help="genes of the term in lists of genes that are expressed alike"
    ),
    "q_matched": st.column_config.NumberColumn(
        "Beyond them, adjusted p", format="%.1e", help="1 where the term is not found at all"
    ),
    "genes": st.column_config.TextColumn("Which", width="large"),
}


def table(rows: pd.DataFrame, name: str) -> None:
    """Show terms, one row a group, and below what was chosen in it.

    Parameters
    ----------
    rows
        From `sgm_core.analysis.enrichment.group_terms`.
    name
        Of the table and its files.
    """
    rows = rows.assign(others=rows["group"].map(rows["group"].value_counts()) - 1)
    folded = st.toggle(
        "One row for terms that the same genes carry", value=True, key="folded", bind="query-params"
    )
    shown = rows[rows["leads"]].reset_index(drop=True) if folded else rows
    columns = [name for name in COLUMNS if name in shown]
    event = show.table(
        shown, f"terms-{name}", column_config=COLUMNS, column_order=columns,
        height=min(420, 38 + 35 * len(shown)), on_select="rerun", selection_mode="single-row",
    )  # fmt: skip
    chosen = event["selection"]["rows"] if event else []
    if chosen and chosen[0] < len(shown):
        st.session_state["term-in-view"] = shown["term"].iat[chosen[0]]
    else:
        st.session_state.pop("term-in-view", None)
        st.caption(
            ":material/ads_click: Choose a row for the terms of its group, its genes, and where to see them."
        )


def card(rows: pd.DataFrame, dataset: Dataset, arm: str, folded: bool = True) -> None:
    """Show the chosen term: its genes, the terms of its group, and the ways on."""
    name = st.session_state.get("term-in-view")
    found = rows[rows["term"] == name]
    if found.empty:
        return
    row = found.iloc[0]
    genes = row["genes"].split(";")
    with st.container(border=True):
        st.subheader(escape(row["term"]), anchor=False)
        sentence = f"{row['n_hits']} of its {row['n_term']} genes are in the list, "
        sentence += (
            f"{row['fold_enrichment']:.1f} times as many as by chance (adjusted p {p_text(row['q_value'])})"
        )
        if pd.notna(row.get("expected_matched")):
            sentence += f"; lists of genes that are expressed alike hold {row['expected_matched']:.1f}"
            sentence += f" (adjusted p {p_text(row['q_matched'])})"
        st.markdown(f"{sentence}.")
        st.markdown(f"**Genes** {escape(', '.join(genes))}")
        members = rows[(rows["group"] == row["group"]) & (rows["term"] != name)]
        if len(members):
            with st.expander(
                f"{words.count(len(members), 'further term')} that the same genes carry", expanded=True
            ):
                columns = [c for c in COLUMNS if c in members and c != "others"]
                show.table(members, "group", column_config=COLUMNS, column_order=columns)
        onward(genes, dataset, arm)


def onward(genes: list[str], dataset: Dataset, arm: str) -> None:
    """Offer the map, the page Masked genes and the review queue for some genes."""
    with st.container(horizontal=True):
        if dataset.has_counts and st.button(
            "See them on the map", icon=":material/scatter_plot:", key="term-map",
            help="The score of these genes as the colour of every cell",
        ):  # fmt: skip
            handover.on_the_map(genes)
        if arm and st.button(
            "Mark among masked genes", icon=":material/visibility_off:", key="term-masked",
            help="Where these genes lie in frequency against expression",
        ):  # fmt: skip
            handover.among_masked(genes, arm)
        if arm and st.button(
            "Review them", icon=":material/rate_review:", key="term-review",
            help="One after the other, with a verdict for each",
        ):  # fmt: skip
            review_handover.hand(genes)
