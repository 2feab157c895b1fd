"""Masked genes: which genes are hidden, beyond expression?"""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.components import (
    biology_view,
    confidence,
    epochs_view,
    frame,
    gene_card,
    handover,
    mask_tables,
    planted_view,
    review_handover,
    show,
    tables,
    words,
)
from sgm_core.analysis.masks import ORDERS, lift_problem, preferred_genes, top_genes
from sgm_core.analysis.rankings import NO_PREFERENCE
from sgm_core.analysis.verdict import agreement_sentence, clearly_guided
from sgm_core.escape import escape
from sgm_core.figures import mask_agreement, mask_groups
from sgm_core.figures import masks as figures
from sgm_core.figures.palette import arm_name
from sgm_core.review import verdict_name
from sgm_core.runs.store import Run

VIEWS = {
    "ranking": "Ranking",
    "types": "By cell type",
    "epochs": "By epoch",
    "guided": "Is it guided?",
    "biology": "What are they?",
    "planted": "What was planted",
    "table": "Table",
}
_COLUMNS = {
    "gene": st.column_config.TextColumn("Gene", pinned=True),
    "verdict": st.column_config.TextColumn("Reviewers say"),
    "masked": st.column_config.NumberColumn("Times masked", format="localized"),
    "opportunities": st.column_config.NumberColumn("Opportunities", format="localized"),
    "frequency": st.column_config.NumberColumn("Frequency", format="percent"),
    "frequency_nonzero": st.column_config.NumberColumn("When expressed", format="percent"),
    "frequency_zero": st.column_config.NumberColumn("When zero", format="percent"),
    "matched_frequency": st.column_config.NumberColumn("Equals get", format="percent"),
    "lift": st.column_config.NumberColumn("Lift", format="%.2f"),
    "lift_low": st.column_config.NumberColumn("Lift, 95 % low", format="%.2f"),
    "lift_high": st.column_config.NumberColumn("Lift, 95 % high", format="%.2f"),
    "lift_q": st.column_config.NumberColumn(
        "Adjusted p",
        format="%.2g",
        help="that its equals are hidden as often; Benjamini-Hochberg over the genes",
    ),
    "mean_expression": st.column_config.NumberColumn("Mean expression", format="%.3f"),
    "mean_expression_when_masked": st.column_config.NumberColumn("When masked", format="%.3f"),
    "detection": st.column_config.NumberColumn("Expressed in", format="percent"),
}


def pick() -> None:
    """Take the gene that was clicked as the one in view."""
    for side in ("left", "right"):
        event = st.session_state.get(f"chart-frequency-expression-{side}")
        points = event["selection"]["points"] if event else []
        if points and (shown := points[0].get("text")):
            genes = mask_tables.universe(run)
            st.session_state["gene"] = next((gene for gene in genes if escape(gene) == shown), None)


def clear_marks() -> None:
    st.session_state["marked"] = []


def controls() -> tuple[str, str | None, str, str | None, str, bool, tuple[str, ...]]:
    """Draw the controls; returns arm, the arm beside it, x axis, gene, y axis, families, marked genes."""
    arms = mask_tables.arms(run)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        arm = st.selectbox("Arm", arms, format_func=arm_name, key="arm", bind="query-params", width=210)
        others = [other for other in arms if other != arm]
        control = next((a for a in ("uniform+summary", "uniform") if a in others), None)
        beside = st.selectbox(
            "Beside it", [*others, "none"], index=others.index(control) if control else len(others),
            format_func=lambda a: "Nothing" if a == "none" else arm_name(a), key="beside",
            bind="query-params", width=210,
        )  # fmt: skip
        genes = mask_tables.statistics(run, arm)["gene"].tolist()
        gene = st.selectbox(
            "Find a gene", genes, index=None, key="gene", bind="query-params", width=180,
            placeholder="Symbol",
        )  # fmt: skip
        with st.popover("More", icon=":material/tune:"):
            x = st.selectbox(
                "Across",
                list(figures.X_AXES),
                format_func=figures.X_AXES.__getitem__,
                key="x",
                bind="query-params",
            )
            y = st.selectbox(
                "Up",
                list(figures.Y_AXES),
                format_func=figures.Y_AXES.__getitem__,
                key="y",
                bind="query-params",
            )
            families = st.toggle("Colour by gene family", key="families", bind="query-params")
            linked = st.query_params.get_all("marked")
            asked = st.session_state.get("marked", linked)
            if asked:  # a link, or a term, may name genes that this run could not hide
                known = set(genes)
                there = [gene for gene in asked if gene in known]
                st.session_state["marked"] = there[: handover.MOST_MARKED]
            marked = st.multiselect(
                "Mark genes", genes, key="marked", bind="query-params", max_selections=handover.MOST_MARKED
            )
            st.toggle("Marks of the review", True, key="marks", bind="query-params")
    return arm, None if beside == "none" else beside, x, gene, y, families, tuple(marked)


# Plotly checks every property it is given, which takes longer than all else here: figures are kept.
@st.cache_resource(max_entries=8, show_spinner=False)
def frequency_figure(
    path: str, stamp: int, side: str, sides: tuple[str, ...], x: str, gene: str | None, y: str,
    families: bool, marked: tuple[str, ...], marks: tuple[tuple[str, str], ...], _run: Run,
) -> go.Figure:  # fmt: skip
    """Figure 2 of one arm, its axes as wide as all `sides` need."""
    ranges = figures.axis_ranges([mask_tables.statistics(_run, each) for each in sides], x, y)
    title = f"{arm_name(side)}: mask frequency"
    found = list(dict.fromkeys([*([gene] if gene else []), *marked]))
    stats = mask_tables.statistics(_run, side)
    said = {gene: (verdict, verdict_name(verdict)) for gene, verdict in marks}
    return figures.frequency_expression(stats, title, x, y, found, families, ranges=ranges, marks=said)


def figure_2(
    arm: str, beside: str | None, x: str, gene: str | None, y: str, families: bool, marked: tuple[str, ...]
) -> None:
    sides = (arm, beside) if beside else (arm,)
    marks = tuple(zip(judged["gene"], judged["verdict"])) if st.session_state.get("marks", True) else ()
    for half, side, place in zip(st.columns(len(sides), gap="medium"), sides, ("left", "right")):
        fig = frequency_figure(*mask_tables.key(run), side, sides, x, gene, y, families, marked, marks, run)
        with half:
            show.figure(
                fig, f"frequency-expression-{place}", mask_tables.statistics(run, side),
                alt=f"{arm_name(side)}: mask frequency against expression", simulated=simulated,
                on_select=pick, selection_mode="points",
            )  # fmt: skip


@st.cache_resource(max_entries=8, show_spinner=False)
def ranking_figure(path: str, stamp: int, arm: str, _stats: pd.DataFrame) -> go.Figure:
    return figures.ranking(_stats, f"{arm_name(arm)}: hidden beyond expression")


def ranking(arm: str) -> None:
    stats = mask_tables.statistics(run, arm)
    problem = lift_problem(stats)
    left, right = st.columns(2, gap="medium")
    with left:
        if problem:
            st.info(f"No ranking beyond expression: {problem}.", icon=":material/info:")
        else:
            if not preferred_genes(stats):
                st.caption(f"{NO_PREFERENCE[0].upper()}{NO_PREFERENCE[1:]}.")
            fig = ranking_figure(*mask_tables.key(run), arm, stats)
            alt = f"{arm_name(arm)}: hidden beyond expression"
            show.figure(fig, "lift-ranking", stats, alt=alt, simulated=simulated)
    with right:
        st.markdown("**The first 25 of each order**")
        shown = [by for by in ORDERS if by != "lift" or not problem]
        orders = pd.DataFrame({by: pd.Series(top_genes(stats, by, 25)) for by in shown})
        orders.insert(0, "rank", orders.index + 1)
        names = {"rank": "Rank", "frequency": "Most masked", "lift": "Lift", "expression": "Most expressed"}
        show.table(orders, "first-25", column_config=names, height=38 + 35 * 14)
        shared = len(set(orders["frequency"]) & set(orders["expression"]))
        st.caption(f"{shared} of the 25 most masked genes are among the 25 most expressed.")


def leading(arm: str, n: int) -> tuple[str, list[str]]:
    """Return the first `n` genes by lift, or by frequency where one model can't rank by lift; and how."""
    stats = mask_tables.statistics(run, arm)
    by = "frequency" if lift_problem(stats) else "lift"
    return {"frequency": "most masked genes", "lift": "genes of highest lift"}[by], top_genes(stats, by, n)


def by_type(arm: str) -> None:
    groups = mask_tables.groups(run)
    if not groups:
        st.info("This run counted its masks over all cells only.", icon=":material/info:")
        return
    by = st.segmented_control(
        "By", groups, default=groups[0], format_func=words.column, key="by",
        bind="query-params", required=True, label_visibility="collapsed",
    )  # fmt: skip
    order, genes = leading(arm, 30)
    table = mask_tables.by_level(run, arm, by).reindex(genes)
    if table.empty:
        st.info("Too few masks were drawn in each group to tell them apart.", icon=":material/info:")
        return
    title = f"{arm_name(arm)}: the 30 {order}, by {by.replace('_', ' ')}"
    fig = mask_groups.level_heatmap(table, title, by.replace("_", " "))
    show.figure(fig, f"masked-by-{by}", table.reset_index(), alt=title, simulated=simulated)


def by_epoch(arm: str, beside: str | None, gene: str | None) -> None:
    left, right = st.columns(2, gap="medium")
    cells = tables.read(run, "mask_cells")
    if cells is not None and len(cells):
        means = cells.groupby(["arm", "epoch"], as_index=False)[["effective_share", "nonzero_share"]].mean()
        with left:
            title = "Effective share of genes by epoch"
            fig = mask_groups.lines(
                means, "epoch", "effective_share", "arm", title, "1 = uniform", percent=False
            )
            show.figure(fig, "effective-share", means, alt=title, simulated=simulated)
    if "epoch" in mask_tables.levels(run):
        order, first = leading(arm, 6)
        genes = list(dict.fromkeys([*([gene] if gene else []), *first]))
        table = mask_tables.by_level(run, arm, "epoch").reindex(genes).rename_axis("gene").reset_index()
        table = table.melt("gene", var_name="epoch", value_name="frequency").astype({"epoch": int})
        with right:
            title = f"{arm_name(arm)}: {order} by epoch"
            fig = mask_groups.lines(table, "epoch", "frequency", "gene", title, "% of draws", percent=True)
            show.figure(fig, "genes-by-epoch", table, alt=title, simulated=simulated)
        if cells is not None and len(cells):
            epochs_view.preference(run, arm, beside, means, simulated)


def guided(arm: str) -> None:
    arms = mask_tables.arms(run)
    for each in arms:
        st.markdown(f"* {confidence.masks_line(arm_name(each), mask_tables.judge(run, each))}")
    pairs = mask_tables.two_seeds(run, arm)
    if pairs:
        title = f"{arm_name(arm)}: does another seed prefer the same genes?"
        fig = mask_agreement.two_seeds(pairs, title)
        data = pd.concat([table.assign(moment=name) for name, table in pairs.items()])
        show.figure(fig, "two-seeds", data, alt=title, simulated=simulated)
    ranks = mask_tables.rank_pairs(run, arm)
    if ranks:
        title = f"{arm_name(arm)}: the order of genes in two models"
        fig = mask_agreement.rank_pairs(ranks, mask_tables.diagnose(run, arm), title)
        data = pd.concat([table.assign(pair=name) for name, table in ranks.items()])
        show.figure(fig, "rank-pairs", data, alt=title, simulated=simulated)
        if "donors" in ranks:
            shared = mask_tables.diagnose(run, arm)["donors_shared"]
            st.caption(f"Two folds have {shared:.0%} of their training donors in common.")
    table = mask_tables.diagnostics(run, arms)
    show.table(
        table, "diagnostic", column_config={"What it means": st.column_config.TextColumn(width="large")}
    )


context = frame.page("Masked genes")
dataset, run, _ = tables.require(context, "mask_cells", "mask counts")
if not tables.exists(run, "masks"):
    tables.lacking(run, "mask counts")
simulated = dataset.simulated
judged = review_handover.judged(run)
answer_line = st.container()
arm, beside, x, gene, y, families, marked = controls()
with answer_line:
    found = mask_tables.judge(run, arm)
    frame.answer(escape(f"{arm_name(arm)}. {found.sentence}."), found.confidence)
    measured = mask_tables.diagnose(run, arm)
    st.caption(escape(f"{clearly_guided(measured)}. {agreement_sentence(measured)}."))
    if beside:
        st.caption(confidence.masks_line(arm_name(beside), mask_tables.judge(run, beside)))
    if said := mask_tables.budgets(run):
        st.caption(escape(said))
    tables.still_running(run)
figure_2(arm, beside, x, gene, y, families, marked)
if marked:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"{words.count(len(marked), 'gene')} marked: {escape(', '.join(marked[:12]))}"
            f"{' ...' if len(marked) > 12 else ''}"
        )
        st.button("Take the marks off", type="tertiary", on_click=clear_marks)
if gene:
    said = judged.loc[judged["gene"] == gene, "words"]
    gene_card.draw(run, gene, arm, simulated, said.iloc[0] if len(said) else "")
else:
    st.caption(
        ":material/ads_click: Click a gene, or find it by its symbol, for its statistics by cell type."
    )
views = [name for name in VIEWS if name != "planted" or simulated]
view = st.segmented_control(
    "Evidence", views, default="ranking", format_func=VIEWS.__getitem__, key="evidence",
    bind="query-params", required=True,
)  # fmt: skip
if view == "ranking":
    ranking(arm)
elif view == "types":
    by_type(arm)
elif view == "epochs":
    by_epoch(arm, beside, gene)
elif view == "guided":
    guided(arm)
elif view == "biology":
    biology_view.draw(run, arm, simulated)
elif view == "planted":
    planted_view.draw(run, arm)
else:
    stats = mask_tables.statistics(run, arm)
    stats = stats.assign(verdict=stats["gene"].map(dict(zip(judged["gene"], judged["words"]))))
    show.table(stats, f"masked-genes-{arm}", column_config=_COLUMNS, column_order=list(_COLUMNS), height=560)
