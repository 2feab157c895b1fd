"""What the simulator planted, and how much of it the most hidden genes are: of simulated runs alone."""

from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import confidence, show, tables
from pages.components.kept import kept
from sgm_core import tables as run_tables
from sgm_core.analysis.planted import (
    TOP,
    group_sentence,
    planted_by_group,
    planted_precision,
    planted_sentence,
)
from sgm_core.analysis.rankings import rankings
from sgm_core.analysis.verdict import Verdict
from sgm_core.escape import escape
from sgm_core.figures import planted as figures
from sgm_core.figures.palette import arm_name
from sgm_core.report.enrichment_words import RANKINGS, ranking_name
from sgm_core.resources.panel import planted_genes, planted_in_types
from sgm_core.runs.store import Run

MAIN = "malignant cells"
"""The set that the page opens with: the programme of the simulated leukaemia, few of all genes."""


def precision(run: Run, arm: str) -> pd.DataFrame:
    """Return `planted_precision` of an arm and its controls."""
    paths = run.table_path("masks"), run.table_path("masks_start")
    return _precision(tuple(map(str, paths)), tuple(map(tables.stamp, paths)), arm)


@kept("Counting planted genes")
def _precision(paths: tuple[str, ...], stamps: tuple[int, ...], arm: str) -> pd.DataFrame:
    masks = tables.cached(paths[0], stamps[0], by="all")
    start = tables.cached(paths[1], stamps[1], by="all") if stamps[1] else None
    top = min(TOP, masks["gene"].nunique() - 1)
    return planted_precision(rankings(masks, arm, top, start), planted_genes(), top)


def by_type(run: Run, arm: str) -> pd.DataFrame:
    """Return `planted_by_group` of an arm."""
    path = run.table_path("masks")
    return _by_type(str(path), tables.stamp(path), arm)


@kept("Counting planted genes")
def _by_type(path: str, stamp: int, arm: str) -> pd.DataFrame:
    rows = [tables.cached(path, stamp, by="all"), run_tables.read(Path(path), equal={"by": "cell_type"})]
    return planted_by_group(pd.concat(rows, ignore_index=True), planted_in_types(), arm)


def judged(run: Run, arm: str, planted: str = MAIN) -> Verdict:
    """Return whether an arm's masks find what was planted, in a sentence."""
    return planted_sentence(precision(run, arm), planted)


def judged_types(run: Run, arm: str) -> Verdict:
    """Return in how many cell types they do, in a sentence."""
    return group_sentence(by_type(run, arm))


def draw(run: Run, arm: str) -> None:
    """Show precision at 50 of every ranking, and by cell type."""
    st.caption(
        "The simulator raises some genes in a cell type or state, and cells differ by them alone: they "
        "are the regulators of the simulation, so here the right answer is known. Of measured cells it "
        "is not."
    )
    found = precision(run, arm)
    names = list(planted_genes())
    planted = st.segmented_control(
        "Planted in", names, default=MAIN, format_func=lambda name: name[0].upper() + name[1:],
        key="planted-in", bind="query-params", required=True,
    )  # fmt: skip
    for said in (planted_sentence(found, planted), judged_types(run, arm)):
        st.markdown(f"* {confidence.mark(said.confidence)}{escape(said.sentence)}.")
    rows = found[found["planted"] == planted]
    rows = rows.assign(
        name=[ranking_name(ranking, arm_name(arm)) for ranking in rows["ranking"]],
        control=[RANKINGS[ranking][1] for ranking in rows["ranking"]],
    )
    left, right = st.columns(2, gap="medium")
    with left:
        title = f"Planted in {planted}: precision at {TOP}"
        show.figure(figures.precision(rows, title), "planted", rows, alt=title, simulated=True)
    types = by_type(run, arm)
    if len(types):
        with right:
            title = f"In each type's own cells: precision at {TOP}"
            show.figure(figures.by_group(types, title), "planted-by-type", types, alt=title, simulated=True)
