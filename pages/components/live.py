"""The live parts of a run: curves that grow while it trains, and what its masks do."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from pages.components import confidence, mask_tables, run_facts, show, tables, words
from sgm_core.analysis.best_epoch import BETTER, best_and_last
from sgm_core.escape import escape
from sgm_core.figures import curves
from sgm_core.figures.palette import SCHEMES, arm_name
from sgm_core.runs.store import Run

_PHASES = {"pretrain": "Pretraining", "finetune": "Finetuning", "baseline": "Baselines"}


def joined(runs: list[Run], read: Callable[[Run], pd.DataFrame] = run_facts.metrics) -> pd.DataFrame:
    """Return the metrics of `runs`, or their pulses, in one table, with the column ``run``."""
    names = words.run_names(runs)
    frames = [read(run).assign(run=name) for run, name in zip(runs, names, strict=True)]
    frames = [frame for frame in frames if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def curve(runs: list[Run], name: str, height: int = 340) -> None:
    """Draw one curve without controls: the loss of the latest phase."""
    metrics = joined(runs)
    phases = _phases(metrics)
    if not phases:
        st.caption("No curve yet: the first point comes with the first epoch.")
        return
    phase = phases[-1]
    quantity = curves.available(metrics, phase)[0]
    fig = curves.curves(metrics, quantity, phase, height)
    show.figure(fig, name, alt=f"{curves.QUANTITIES[quantity]} by epoch, {_PHASES[phase].lower()}")


def curves_with_controls(runs: list[Run]) -> None:
    """Draw the curves of any number of runs, and their best epochs; what is chosen is part of the link."""
    metrics, within = joined(runs), joined(runs, run_facts.pulses)
    phases = list(dict.fromkeys([*_phases(metrics), *_phases(within)]))
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
        finer = [name for name in curves.available(within, phase) if name in curves.WITHIN]
        quantities = [name for name in curves.available(metrics, phase) if name not in finer] + finer
        quantity = st.selectbox(
            "Curve",
            quantities,
            format_func=curves.QUANTITIES.__getitem__,
            key="curve",
            bind="query-params",
            label_visibility="collapsed",
            width=300,
        )
        rows = within if quantity in finer else metrics
        rows = rows[rows["phase"] == phase]
        over = st.segmented_control(
            "Over",
            curves.axes(rows, quantity),
            default="epoch",
            key="over",
            bind="query-params",
            format_func=curves.AXES.__getitem__,
            required=True,
            label_visibility="collapsed",
        )
        with st.popover("Smooth, log", icon=":material/tune:"):
            smoothing = st.slider(
                "Smoothing",
                0.0,
                0.99,
                0.0,
                0.01,
                key="smooth",
                bind="query-params",
                help="Weight of the points before, in an exponential average; the values stay visible, faint",
            )
            log_y = st.toggle("Logarithmic height", key="logy", bind="query-params")
            log_x = st.toggle("Logarithmic width", key="logx", bind="query-params")
    fig = curves.curves(rows, quantity, phase, 340, over, smoothing, log_x, log_y)
    show.figure(fig, "curves", rows, alt=fig.layout.title.text)
    if log_y and (rows[quantity] <= 0).any():
        st.caption("Values that are not above zero have no place on a logarithmic axis.")
    if quantity in BETTER and quantity not in finer:
        best_against_last(rows, quantity, phase)


def best_against_last(rows: pd.DataFrame, quantity: str, phase: str) -> None:
    """Say which epoch was the best of each training, and what the last one made of it."""
    found = best_and_last(rows, quantity, phase)
    several = (found["models"] > 1).any()
    table = pd.DataFrame(
        {
            **({"run": found["run"]} if found["run"].nunique() > 1 else {}),
            **({"arm": found["arm"].map(arm_name)} if "arm" in found else {}),
            **({"scheme": found["scheme"].map(SCHEMES)} if "scheme" in found else {}),
            **({"models": found["models"]} if several else {}),
            "best epoch": [_median(*each) for each in found[["best_epoch", "first", "latest"]].to_numpy()],
            "best": found["best"],
            "last epoch": found["last_epoch"].map("{:g}".format),
            "last": found["last"],
            "best - last": found["difference"],
        }
    )
    number = st.column_config.NumberColumn(format="%.4g")
    with st.expander("Best against last epoch"):
        columns = dict.fromkeys(("best", "last", "best - last"), number)
        show.table(table, "best-and-last", column_config=columns)
        how = " Means over folds and seeds; of the best epochs the median and the range." if several else ""
        st.caption(f"The best epoch is chosen by these values, so the last is never better.{how}")


def _median(median: float, first: float, latest: float) -> str:
    return f"{median:g}" + (f" ({first:g} to {latest:g})" if first < latest else "")


def _phases(metrics: pd.DataFrame) -> list[str]:
    if "phase" not in metrics:
        return []
    return [phase for phase in _PHASES if curves.available(metrics, phase)]


def mask_diagnostics(runs: list[Run]) -> None:
    """Say of each run whether its masks are guided at all; runs without mask statistics are left out."""
    found = [(run, table) for run in runs if (table := mask_table(run)) is not None]
    if not found:
        st.caption("No mask statistics yet: they come with the first epoch of pretraining.")
    for run, table in found:
        if len(runs) > 1:
            st.caption(escape(words.run_label(run)))
        _mask_diagnostic(run, table)


def _mask_diagnostic(run: Run, table: pd.DataFrame) -> None:
    """Say, per arm, whether the masks are guided at all, with the numbers behind it."""
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
