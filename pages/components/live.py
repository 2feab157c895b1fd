"""The live parts of a run: curves that grow while it trains, and what its masks do."""

import pandas as pd
import streamlit as st

from pages.components import confidence, mask_tables, run_facts, show, tables, words
from sgm_core.figures import curves
from sgm_core.figures.palette import arm_name
from sgm_core.runs.store import Run

_PHASES = {"pretrain": "Pretraining", "finetune": "Finetuning", "baseline": "Baselines"}


def joined_metrics(runs: list[Run]) -> pd.DataFrame:
    """Return the metrics of `runs` in one table, with the column ``run``."""
    frames = [run_facts.metrics(run).assign(run=words.run_label(run)) for run in runs]
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def curve(runs: list[Run], name: str, height: int = 340) -> None:
    """Draw one curve without controls: the loss of the latest phase."""
    metrics = joined_metrics(runs)
    phases = _phases(metrics)
    if not phases:
        st.caption("No curve yet: the first point comes with the first epoch.")
        return
    phase = phases[-1]
    quantity = curves.available(metrics, phase)[0]
    fig = curves.curves(metrics, quantity, phase, height)
    show.figure(fig, name, alt=f"{curves.QUANTITIES[quantity]} by epoch, {_PHASES[phase].lower()}")


def curves_with_controls(runs: list[Run]) -> None:
    """Draw the curves of any number of runs; phase and quantity are part of the link."""
    metrics = joined_metrics(runs)
    phases = _phases(metrics)
    if not phases:
        st.caption("No curve yet: the first point comes with the first epoch.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        phase = phases[0]
        if len(phases) > 1:
            phase = st.segmented_control(
                "Phase",
                phases,
                default=phase,
                key="phase",
                bind="query-params",
                format_func=lambda name: _PHASES.get(name, name),
                required=True,
                label_visibility="collapsed",
            )
        quantities = curves.available(metrics, phase)
        quantity = st.selectbox(
            "Curve",
            quantities,
            format_func=curves.QUANTITIES.__getitem__,
            key="curve",
            bind="query-params",
            label_visibility="collapsed",
            width=340,
        )
    rows = metrics[metrics["phase"] == phase]
    fig = curves.curves(metrics, quantity, phase)
    show.figure(fig, "curves", rows, alt=f"{curves.QUANTITIES[quantity]} by epoch")


def _phases(metrics: pd.DataFrame) -> list[str]:
    if "phase" not in metrics:
        return []
    return [phase for phase in _PHASES if curves.available(metrics, phase)]


def mask_diagnostic(run: Run) -> None:
    """Say, per arm, whether the masks are guided at all, with the numbers behind it."""
    table = mask_table(run)
    if table is None:
        st.caption("No mask statistics yet: they come with the first epoch of pretraining.")
        return
    shown = table.assign(arm=table["arm"].map(arm_name))
    verdicts = _verdicts(run)
    for arm in sorted(verdicts, key=lambda arm: arm != "self-guided"):
        if arm == "self-guided" or len(verdicts) == 1:
            st.markdown(verdicts[arm])
        else:
            st.caption(verdicts[arm])
    show.table(
        shown,
        f"masks-{run.id}",
        column_config={
            "arm": st.column_config.TextColumn("Arm"),
            "effective_share": st.column_config.NumberColumn(
                "Effective share",
                format="%.3f",
                help="exp(entropy of the sampling) / eligible genes; 1 is uniform",
            ),
            "nonzero_share": st.column_config.NumberColumn(
                "Non-zero", format="percent", help="share of the masked positions whose gene is expressed"
            ),
            "base_rate": st.column_config.NumberColumn(
                "Base rate", format="percent", help="share of expressed genes among all that could be masked"
            ),
            "hidden_counts": st.column_config.NumberColumn(
                "Hidden counts", format="percent", help="mean share of a cell's counts that is hidden"
            ),
            "by epoch": st.column_config.LineChartColumn(
                "By epoch", y_min=0, y_max=1.05, width="small", help="effective share; flat at 1: uniform"
            ),
        },
    )


def _verdicts(run: Run) -> dict[str, str]:
    """Return the verdict on each arm's masks; empty while there are no counts."""
    if not (tables.exists(run, "masks") and tables.exists(run, "mask_cells")):
        return {}
    found = {arm: mask_tables.judge(run, arm) for arm in mask_tables.arms(run)}
    return {arm: confidence.masks_line(arm_name(arm), judged) for arm, judged in found.items()}


def mask_table(run: Run) -> pd.DataFrame | None:
    """Return one row per arm: the last epoch's shares, and a curve."""
    rows = tables.read(run, "mask_cells")
    if rows is None or rows.empty:
        rows = run_facts.metrics(run)
        if "effective_share" not in rows:
            return None
        rows = rows.dropna(subset=["effective_share"])
    if rows.empty:
        return None
    if "arm" not in rows:
        rows = rows.assign(arm=run.kind)
    shares = ("effective_share", "nonzero_share", "base_rate", "hidden_counts")
    known = [name for name in shares if name in rows]
    by_epoch = rows.groupby(["arm", "epoch"], sort=False)[known].mean().reset_index()
    table = by_epoch.groupby("arm", sort=False)[known].last()
    table["by epoch"] = by_epoch.groupby("arm", sort=False)["effective_share"].agg(list)
    return table.reset_index()
