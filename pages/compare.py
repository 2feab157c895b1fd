"""Compare: does guided masking help?"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components import budget_view, confidence, frame, mask_tables, scores, show, tables
from pages.components.kept import kept
from pages.components.reconstruction_view import reconstruction
from sgm_core import tables as run_tables
from sgm_core.analysis.metrics import METRICS, confusion, pair_in_view
from sgm_core.analysis.tally import trained_on
from sgm_core.escape import escape
from sgm_core.figures import compare as figures
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.report import compare_tables, compare_words
from sgm_core.report.compare_words import scheme_of, two_sides
from sgm_core.runs.store import Run

VIEWS = {
    "classes": "Cell types",
    "confusion": "Confusion",
    "donors": "Donors",
    "folds": "Folds",
    "all": "All differences",
}

_PERCENT = st.column_config.NumberColumn(format="percent")
_FORMATS = dict.fromkeys(("precision", "recall", "f1"), _PERCENT)


class Details(NamedTuple):
    """The tables behind the details; those that a running comparison has not written yet are missing."""

    folds: pd.DataFrame
    per_class: pd.DataFrame | None
    per_donor: pd.DataFrame | None
    run: Run
    summary: pd.DataFrame
    paired: pd.DataFrame


# Plotly checks every property it is given, which takes longer than all else here: figures are kept.
@st.cache_resource(max_entries=16, show_spinner=False)
def score_figure(path: str, stamp: int, schemes: tuple[str, ...], metric: str) -> go.Figure:
    """Table 1 as a figure."""
    title = f"{score_name(metric)} over donor folds"
    unit = f"{METRICS[metric]} (%)"
    return figures.scores(
        tables.cached(path, stamp), scores.computed(path, stamp, schemes)[0], metric, title, unit
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def difference_figure(path: str, stamp: int, metric: str, arm: str, _mine: pd.DataFrame) -> go.Figure:
    """One arm less each other."""
    title = f"{arm_name(arm)} less each other arm, fold by fold"
    return figures.differences(_mine, title, f"Difference in {METRICS[metric]} (points)")


@st.cache_data(max_entries=64, show_spinner=False)
def rivals(
    path: str, stamp: int, arm: str, against: str, scheme: str, metric: str,
    _folds: pd.DataFrame, _paired: pd.DataFrame,
) -> str:  # fmt: skip
    """How the arm stands against every other rival, in one line."""
    return compare_words.rivals(_folds, _paired, arm, against, scheme, metric)


@kept("Counting predictions")
def confused(path: str, stamp: int, arm: str, scheme: str) -> pd.DataFrame:
    """Return the confusion of one arm and scheme; the predictions of no other are read."""
    equal = {"arm": arm, "scheme": scheme}
    return confusion(run_tables.read(Path(path), ["true", "predicted"], equal=equal))


def controls(folds: pd.DataFrame) -> tuple[str, str, str, str]:
    """Draw the page's controls; returns metric, scheme, the arm in question and its reference."""
    trained = folds[folds["scheme"] != "baseline"]
    schemes = [scheme for scheme in SCHEMES if scheme in set(trained["scheme"])] or ["baseline"]
    arms = figures.in_order((trained if len(trained) else folds)["arm"])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metrics = [metric for metric in METRICS if metric in folds]
        metric = st.selectbox(
            "Score", metrics, format_func=score_name, key="metric",
            bind="query-params", width=170, help="Macro F1 counts every scored cell type alike.",
        )  # fmt: skip
        scheme = st.selectbox(
            "Finetuning", schemes, index=len(schemes) - 1, format_func=SCHEMES.__getitem__, key="scheme",
            bind="query-params", width=170,
        )  # fmt: skip
        arm = st.selectbox("Arm", arms, format_func=arm_name, key="arm", bind="query-params", width=210)
        others = [other for other in arms if other != arm]
        others += [b for b in figures.in_order(folds["arm"]) if b not in arms]
        others = others or [arm]
        against = st.selectbox(
            "Held against", others, index=others.index(compare_words.preferred_rival(others)),
            format_func=arm_name, key="against", bind="query-params", width=250,
            help="Uniform + summary differs from self-guided in the masks alone.",
        )  # fmt: skip
    return metric, scheme, arm, against


def evidence(details: Details, metric: str, scheme: str, arm: str, against: str, simulated: bool) -> None:
    """Draw the chosen detail."""
    folds, per_class, per_donor, run, summary, paired = details
    view = st.segmented_control(
        "Evidence", list(VIEWS), default="classes", format_func=VIEWS.__getitem__, key="detail",
        bind="query-params", required=True,
    )  # fmt: skip
    other = (against, scheme_of(folds, against, scheme))
    scheme_text = SCHEMES[scheme].lower()
    if view == "classes" and per_class is not None:
        both = two_sides(per_class[(per_class["fold"] == -1) & per_class["scored"]], (arm, scheme), other)
        title = f"F1 per cell type, {scheme_text}, pooled over folds"
        fig = figures.two_arms(both, "cell_type", "f1", (arm, against), title, "F1 (%)", "support")
        show.figure(fig, "f1-per-cell-type", both, alt=title, simulated=simulated)
        with st.expander("All arms, precision and recall"):
            show.table(per_class, "per-class", column_config=_FORMATS)
    elif view == "confusion" and tables.exists(run, "predictions"):
        chosen = st.segmented_control(
            "Of", [arm, against], default=arm, format_func=lambda a: escape(arm_name(a)), key="of",
            required=True, label_visibility="collapsed",
        )  # fmt: skip
        counts = confused(*tables.key(run, "predictions"), chosen, scheme_of(folds, chosen, scheme))
        fig = figures.confusion(counts, f"{arm_name(chosen)}, {scheme_text}: predicted against true")
        show.figure(fig, "confusion", counts.reset_index(), alt="Confusion matrix", simulated=simulated)
    elif view == "donors" and per_donor is not None:
        both = two_sides(per_donor, (arm, scheme), other)
        title = f"Macro F1 per donor, {scheme_text}, each donor when it was left out"
        fig = figures.two_arms(both, "donor", "macro_f1", (arm, against), title, "Macro F1 (%)", "n_cells")
        show.figure(fig, "f1-per-donor", both, alt=title, simulated=simulated)
    elif view == "folds":
        st.caption("One row a donor fold, in per cent. Folds differ by their donors more than arms do.")
        show.table(compare_tables.fold_table(folds, metric), f"{metric}-per-fold")
        st.caption(
            "Noise in points: between folds (seeds averaged) the donors differ; between seeds, inside a "
            "fold, only the training."
        )
        show.table(compare_tables.noise_table(summary, metric), f"{metric}-noise")
    elif view == "all":
        show.table(compare_tables.paired_view(paired, metric), f"differences-{metric}")
    else:
        st.info(
            "This detail is written when the run has finished more of its parts.", icon=":material/hourglass:"
        )


def score_name(metric: str) -> str:
    return METRICS[metric][0].upper() + METRICS[metric][1:]


context = frame.page("Compare")
dataset, run, folds = tables.require(context, "folds", "scores")
simulated = dataset.simulated
key, schemes = scores.key(run), scores.schemes_of(run)
summary, paired = scores.computed(*key, schemes)
paired = compare_tables.with_pooled_columns(paired, tables.read(run, "paired"))
answer_line = st.container()
metric, scheme, arm, against = controls(folds)
pair = pair_in_view(paired, folds, (arm, scheme), (against, scheme_of(folds, against, scheme)), metric)
with answer_line:
    frame.answer(escape(compare_words.answer(pair, scheme, folds)), confidence.of_pair(pair))
    for said in (
        compare_words.pooled_line(pair),
        rivals(*key, arm, against, scheme, metric, folds, paired),
        trained_on(folds),
        mask_tables.budgets(run),
    ):
        if said:
            st.caption(escape(said))
    tables.still_running(run)

left, right = st.columns(2, gap="medium")
with left:
    fig = score_figure(*key, schemes, metric)
    show.figure(fig, "scores", folds, alt=f"{score_name(metric)} over donor folds", simulated=simulated)
with right:
    mine = paired[(paired["metric"] == metric) & (paired["arm_a"] == arm) & (paired["arm_b"] != "majority")]
    if len(mine):
        fig = difference_figure(*key, metric, arm, mine)
        show.figure(fig, "differences", mine, alt=f"{arm_name(arm)} less each other arm", simulated=simulated)
    else:
        st.info("Differences need two arms that have finished the same folds.", icon=":material/balance:")

st.subheader("Table 1", anchor=False)
pooled = tables.read(run, "pooled") if metric == "macro_f1" else None
show.table(compare_tables.table_1(summary, metric, pooled), "table-1")
budget_view.section(run, scheme, (arm, against), simulated)
per_class = tables.read(run, "per_class")
details = Details(folds, per_class, tables.read(run, "per_donor"), run, summary, paired)
evidence(details, metric, scheme, arm, against, simulated)
reconstruction([run])
st.subheader("How this was judged", anchor=False)
judged = compare_words.choices(run, dataset, folds, per_class, summary, paired)
st.markdown("\n".join(f"* **{name}.** {escape(text)}" for name, text in judged.items()))
