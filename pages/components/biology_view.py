"""What the most masked genes are: gene sets held against genes of equal expression, and against controls."""

import pandas as pd
import streamlit as st

from pages.components import confidence, mask_tables, show, tables
from pages.components.kept import kept
from sgm_core.analysis.biology import biology_verdict
from sgm_core.analysis.rankings import GROUP_LIMITS, OWN, rankings
from sgm_core.escape import escape
from sgm_core.figures import biology as figures
from sgm_core.figures.palette import arm_name
from sgm_core.report.enrichment_words import ranking_name
from sgm_core.runs.biology import TOP, run_biology, set_resources
from sgm_core.runs.store import Run, open_run

_EVERYWHERE = "All cells"
_COLUMNS = {
    "ranking": st.column_config.TextColumn("List", pinned=True, width=185),
    "n_hits": st.column_config.NumberColumn("Genes", width=55),
    "range": st.column_config.TextColumn("Matched, 95 %", width=105),
    "p_matched": st.column_config.NumberColumn("p", format="%.2g", width=60),
}


def draw(run: Run, arm: str, simulated: bool) -> None:
    """Draw the section for one arm of a run."""
    found = _of_run(run, arm)
    if found is None:
        st.info(
            "No transcription factors and no signatures to hold the genes against yet. Add a list of symbols "
            "with `sgm resources add transcription-factors FILE`, signatures (GMT) with "
            "`sgm resources add signatures FILE`; then reload this page.",
            icon=":material/info:",
        )
        return
    table, notes = found
    if table.empty:
        st.info("No gene of a registered set could be masked in this run.", icon=":material/info:")
        return
    place, ranking, level = _choose(table)
    with place:
        said = biology_verdict(table, mask_tables.diagnose(run, arm), ranking)
        st.markdown(f"{confidence.mark(said.confidence)}**{_EVERYWHERE}.** {escape(said.sentence)}.")
    for note in notes:
        st.caption(escape(f"{note[0].upper()}{note[1:]}."))
    rows = table[table["level"] == level]
    left, right = st.columns(2, gap="medium")
    with left:
        where = f", {level}" if level else ""
        title = f"{ranking_name(ranking, arm_name(arm))}{where}: gene sets"
        fig = figures.overlaps(rows[rows["ranking"] == ranking], title)
        show.figure(fig, "biology", table, alt=title, simulated=simulated)
    with right:
        _controls(rows, ranking, arm)
    if level:
        st.caption(f"{_tests(table)} {GROUP_LIMITS[0].upper()}{GROUP_LIMITS[1:]}.")


def _choose(table: pd.DataFrame) -> tuple[st.delta_generator.DeltaGenerator, str, str]:
    """Draw what can be chosen; returns a place above it, the list, and the group of cells ("" for all)."""
    place = st.container()
    levels = [_EVERYWHERE, *sorted(set(table["level"]) - {""})]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        level = st.selectbox("Cells", levels, key="biology-cells", bind="query-params", width=260)
        own = table[(table["level"] == ("" if level == _EVERYWHERE else level)) & ~table["control"]]
        lists = [name for name in OWN if name in set(own["ranking"])]
        names = {"frequency": "Most masked", "lift": "Highest lift"}
        ranking = lists[0]
        if len(lists) > 1:
            ranking = st.segmented_control(
                "List", lists, default=lists[0], format_func=names.__getitem__, key="biology-list",
                bind="query-params", required=True,
            )  # fmt: skip
    return place, ranking, "" if level == _EVERYWHERE else level


def _controls(rows: pd.DataFrame, ranking: str, arm: str) -> None:
    """Show one set in every list: the arm's own and the controls."""
    own = rows[rows["ranking"] == ranking].sort_values(["p_matched", "set"])
    chosen = st.selectbox("One set in every list", own["set"].tolist(), key="biology-set", width="stretch")
    of = rows[rows["set"] == chosen]
    written = of[["matched", "matched_low", "matched_high"]].itertuples(index=False)
    said = [f"{mean:.1f} ({low} to {high})" for mean, low, high in written]
    lists = of["ranking"].map(lambda name: ranking_name(name, arm_name(arm)))
    shown = of.assign(range=said, ranking=lists)[list(_COLUMNS)]
    show.table(shown, "biology-controls", column_config=_COLUMNS)
    n_set, n_list = int(of["n_set"].iloc[0]), int(of["n_list"].max())
    st.caption(
        f"How many of its {n_set:,} genes are in each list of at most {n_list:,}, and in random lists with "
        "as many genes of each expression. A set counts only where no control list holds more of it as well."
    )


def _tests(table: pd.DataFrame) -> str:
    groups = table[(table["by"] != "all") & ~table["control"]]
    return f"Beyond the controls: {groups['beyond_controls'].sum():,} of {len(groups):,} tests by cell type."


def _of_run(run: Run, arm: str) -> tuple[pd.DataFrame, list[str]] | None:
    """Return the table of an arm and what is to be said of its lists; None without sets and a kept table.

    A table that was kept beside the run is shown if it is this arm's and newer than masks and sets.
    """
    resources = set_resources()
    sets = [str(resource.path) for resource in resources]
    stamps = [tables.stamp(resource.path) for resource in resources]
    kept_there = tables.read(run, "biology", arm=arm)
    newest = max([tables.key(run, "masks")[1], *stamps])
    if kept_there is not None and len(kept_there) and tables.key(run, "biology")[1] >= newest:
        top = int(kept_there.loc[kept_there["ranking"] == "frequency", "n_list"].max())
        return kept_there, _notes(*tables.key(run, "masks"), run.id, arm, top)
    if not sets:
        return None
    places = [tables.key(run, name) for name in ("masks", "masks_start")]
    paths = (*(path for path, _ in places), *sets)
    return _worked_out(paths, (*(when for _, when in places), *stamps), run.id, arm)


@kept()
def _notes(path: str, stamp: int, run_id: str, arm: str, top: int) -> list[str]:
    masks, models = tables.cached(path, stamp, by="all"), mask_tables.residuals(open_run(run_id), arm)
    return list(rankings(masks, arm, top, models=models).notes.values())


@kept("Holding genes against gene sets")
def _worked_out(
    paths: tuple[str, ...], stamps: tuple[int, ...], run_id: str, arm: str
) -> tuple[pd.DataFrame, list[str]]:
    run = open_run(run_id)
    top = min(TOP, max(1, len(mask_tables.universe(run)) // 5))
    table, ranked = run_biology(run, arm, top, mask_tables.residuals(run, arm))
    return table, list(ranked.notes.values())
