"""The section of Compare about few labels: scores by number of labelled cells, and what that proves."""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components import confidence, show, tables, words
from sgm_core.analysis.budget_words import (
    ALL,
    budget_finding,
    has_budgets,
    in_reading_order,
    labels_text,
    scores_by_labels,
)
from sgm_core.escape import escape
from sgm_core.figures import budgets as figures
from sgm_core.figures.compare import in_order
from sgm_core.figures.palette import SCHEMES, arm_name
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


def how_drawn(budgets: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Say how the labelled cells were drawn, and how scores were averaged."""
    few = budgets[budgets["labels"] != ALL]
    draws = words.count(int(few["draw"].nunique()), "draw")
    folds = int(summary["folds"].max())
    interval = f"the interval is over {folds} donor folds" if folds > 1 else "one fold gives no interval"
    text = (
        f"Every arm and baseline learns from the same labelled cells of the training donors ({draws}), "
        "and pretraining reads all their cells without labels. Draws are averaged first, then seeds; "
        f"{interval}. The numbers of labels share donors and models: they are no independent "
        "evidence."
    )
    short = few.groupby("labels")["short"].max()
    short = short[short > 0]
    if len(short):
        counts = [f"{words.count(int(n), 'class', 'classes')} at {labels_text(k)}" for k, n in short.items()]
        text += (
            f" Classes with fewer cells than that in a fold give all they have (at most {', '.join(counts)})."
        )
    return text


def score_table(summary: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """Return macro F1 by number of labels, of the arms under one finetuning and of the baselines."""
    mine = summary[summary["scheme"].isin([scheme, "baseline"])]
    table = scores_by_labels(mine).set_index("arm").loc[in_order(mine["arm"])].reset_index()
    named = table.assign(arm=table["arm"].map(arm_name), scheme=table["scheme"].map(SCHEMES))
    numbers = {name: f"{name} labels (%)" for name in named.columns[2:]}
    return named.rename(columns={"arm": "Arm", "scheme": "Finetuning", **numbers})


def main_table(paired: pd.DataFrame) -> pd.DataFrame:
    """Return the main comparisons in points, with what judges them."""
    rows = in_reading_order(paired)
    judged = {
        "p (Holm)": rows["p_holm"],
        "Verdict": rows["verdict"],
        "Found with 80 % power": (100 * rows["detectable"]).round(1),
        "p": rows["p"],
    }
    return _differences(rows).drop(columns="Finetuning").assign(**judged)


def other_table(paired: pd.DataFrame) -> pd.DataFrame:
    """Return the other differences in points; their p is of each alone, and there is no verdict."""
    rows = in_reading_order(paired)
    return _differences(rows).assign(**{"p (uncorrected)": rows["p"]})


def _differences(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Arm": rows["arm"].map(arm_name),
            "Held against": rows["against"].map(arm_name),
            "Finetuning": rows["scheme"].map(SCHEMES),
            "Labels a class": rows["labels"].map(labels_text),
            "Difference (points)": (100 * rows["difference"]).round(1),
            "95 % low": (100 * rows["low"]).round(1),
            "95 % high": (100 * rows["high"]).round(1),
        }
    )
