"""All that is known of one gene's masks."""

import pandas as pd
import streamlit as st

from pages.components import mask_tables, review_handover, show, words
from sgm_core.analysis.lift import ONE_MODEL
from sgm_core.analysis.masks import preference
from sgm_core.escape import escape
from sgm_core.figures import mask_groups
from sgm_core.figures.palette import FAMILIES, arm_name
from sgm_core.runs.store import Run


def draw(run: Run, gene: str, arm: str, simulated: bool, judged: str = "") -> None:
    """Show the gene's numbers in one arm, and its frequency by cell type in every arm.

    Parameters
    ----------
    judged
        What reviewers say of it.
    """
    stats = mask_tables.statistics(run, arm)
    row = stats[stats["gene"] == gene].iloc[0]
    families = [FAMILIES[name][0] for name in FAMILIES if row.get(name, False)]
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(escape(gene), anchor=False, width="content")
            for family in families:
                st.badge(family, color="gray")
            if judged:
                st.badge(judged, icon=":material/rate_review:", color="blue")
            st.space("stretch")
            if st.button("Review it", icon=":material/rate_review:", type="tertiary", key="review-it"):
                review_handover.look(gene)
        st.markdown(escape(sentence(row, arm, len(stats))))
        numbers(row)
        by_group(run, gene, simulated)


def numbers(row: pd.Series) -> None:
    """Show the gene's numbers in one arm."""
    with st.container(horizontal=True):
        st.metric("Masked", f"{row['frequency']:.1%}", help="of the draws in which it could be hidden")
        st.metric("When expressed", _share(row["frequency_nonzero"]))
        st.metric("When zero", _share(row["frequency_zero"]))
        st.metric("Expressed in", f"{row['detection']:.1%}", help="of the draws")
        st.metric("Mean expression", f"{row['mean_expression']:.2f}", help="ln(1 + counts per 10,000)")
        st.metric("When masked", f"{row['mean_expression_when_masked']:.2f}", help="its mean expression")


def by_group(run: Run, gene: str, simulated: bool) -> None:
    """Show how often a gene is hidden in each level of a column, or each epoch, arm by arm."""
    groups = mask_tables.groups(run)
    groups += ["epoch"] if "epoch" in mask_tables.levels(run) else []
    if not groups:
        return
    by = st.segmented_control(
        "By", groups, default=groups[0], format_func=words.column,
        key="card", bind="query-params", required=True, label_visibility="collapsed", wrap=True,
    )  # fmt: skip
    table = mask_tables.gene_levels(run, gene, by)
    title = f"How often {gene} is hidden, by {by.replace('_', ' ')}"
    if by == "epoch":
        table = table.astype({"level": int})
        fig = mask_groups.lines(table, "level", "frequency", "arm", title, "% of draws", percent=True)
    else:
        fig = mask_groups.gene_card(table, gene, by.replace("_", " "))
    show.figure(fig, f"gene-{gene}-{by}", table, alt=title, simulated=simulated)


def sentence(row: pd.Series, arm: str, n_genes: int) -> str:
    """Say in one sentence whether a gene is hidden more than its equals."""
    head = f"{arm_name(arm)} hides it {int(row['masked']):,} times of {int(row['opportunities']):,}"
    head += f" (rank {row['frequency_rank']} of {n_genes:,})"
    if pd.isna(row["lift"]):
        return f"{head}; too few draws to compare it with genes of equal expression."
    if pd.isna(row["lift_low"]):
        here = f"in this model {row['lift']:.2f} times as often as genes of equal expression"
        return f"{head}, {here}: {ONE_MODEL}."
    interval = f"{row['lift']:.2f} times as often as genes of equal expression, 95 % interval over models "
    interval += f"{row['lift_low']:.2f} to {row['lift_high']:.2f}"
    kind = {
        "above": "more than its equals",
        "below": "less than its equals",
        "equal": "as its expression says",
    }
    found = preference(row.to_frame().T).iloc[0]
    if found == "equal" and not row["lift_low"] <= 1 <= row["lift_high"]:
        chance = f"among {n_genes:,} genes chance alone brings such an interval"
        return f"{head}, {interval}; but {chance} (adjusted p {row['lift_q']:.2f})."
    return f"{head}, {interval}: {kind[found]}."


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}"
