"""The section of Compare about few labels: scores by number of labelled cells, and what that proves."""

import plotly.graph_objects as go
import streamlit as st

from pages.components import confidence, show, tables
from sgm_core.analysis.budget_words import budget_finding, has_budgets
from sgm_core.escape import escape
from sgm_core.figures import budgets as figures
from sgm_core.figures.palette import SCHEMES
from sgm_core.report.budget_tables import how_drawn, main_table, other_table, score_table
from sgm_core.runs.store import Run

_POINTS, _P = st.column_config.NumberColumn(format="%.1f"), st.column_config.NumberColumn(format="%.2g")
_FORMATS = {
    "Difference (points)": st.column_config.NumberColumn(format="%+.1f"),
    **dict.fromkeys(("95 % low", "95 % high", "Found with 80 % power"), _POINTS),
    **dict.fromkeys(("p", "p (Holm)", "p (uncorrected)"), _P),
}


@st.cache_resource(max_entries=16, show_spinner=False)
def _figure(
    scores: tuple[str, int], summary: tuple[str, int], scheme: str, sides: tuple[str, ...]
) -> go.Figure:
    title = f"Macro F1 by labelled cells a class, {SCHEMES[scheme].lower()}"
    return figures.label_curves(tables.cached(*scores), tables.cached(*summary), scheme, sides, title)


def section(run: Run, scheme: str, sides: tuple[str, ...], simulated: bool) -> None:
    """Draw the section "How many labels?"; nothing for a run that was scored with all labels alone.

    Parameters
    ----------
    run
        The comparison in view.
    scheme
        The finetuning that the figure and the table of scores show, with the baselines.
    sides
        Arms in question, drawn thicker.
    simulated
        Whether the cells are simulated, which the figure says.
    """
    budgets = tables.read(run, "budgets")
    if budgets is None or not has_budgets(budgets):
        return
    st.subheader("How many labels?", anchor=False)
    summary, paired = tables.read(run, "budget_summary"), tables.read(run, "budget_paired")
    if summary is None or paired is None:
        st.info(
            "Scores with few labels are written when the run has finished more of its parts.",
            icon=":material/hourglass:",
        )
        return
    main = paired[paired["main"].astype(bool)]
    finetuning = SCHEMES[main["scheme"].iloc[0]].lower() if len(main) else ""
    sentence, sure = budget_finding(paired, finetuning)
    st.markdown(f"{confidence.mark(sure)}{escape(sentence)}.", help=confidence.MEANING)
    fig = _figure(tables.key(run, "budgets"), tables.key(run, "budget_summary"), scheme, sides)
    alt = f"Macro F1 against labelled cells a class, {SCHEMES[scheme].lower()}"
    show.figure(fig, "labels", budgets, alt=alt, simulated=simulated)
    st.caption(escape(how_drawn(budgets, summary)))
    show.table(score_table(summary, scheme), "scores-by-labels")
    if len(main):
        st.markdown(f"**Main comparisons, {finetuning}**: stated before the results, judged together (Holm)")
        show.table(main_table(main), "main-differences-by-labels", column_config=_FORMATS)
    rest = paired[~paired["main"].astype(bool)]
    if len(rest):
        with st.expander("All other differences: p uncorrected, nothing is proven by them"):
            show.table(other_table(rest), "other-differences-by-labels", column_config=_FORMATS)
