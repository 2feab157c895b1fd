"""Training curves of any number of runs, and what their masks did epoch by epoch."""

import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import SCHEMES, arm_colour, arm_name, arm_symbol
from sgm_core.figures.style import MUTED, finish

QUANTITIES = {
    "validation_loss": "Validation loss (mean squared error)",
    "train_loss": "Training loss",
    "validation_f1": "Validation macro F1",
    "effective_share": "Effective share of genes (1 = uniform)",
    "nonzero_share": "Share of masked positions that are non-zero",
    "rank_correlation": "Rank correlation of masking and expression",
    "cells_per_s": "Cells per second",
}
_DASHES = ("solid", "dash", "dot", "dashdot")


def available(metrics: pd.DataFrame, phase: str) -> list[str]:
    """Return the quantities of `QUANTITIES` that were measured in `phase`, in that order."""
    rows = metrics[metrics["phase"] == phase] if "phase" in metrics else metrics
    return [name for name in QUANTITIES if name in rows and rows[name].notna().any()]


def curves(metrics: pd.DataFrame, quantity: str, phase: str, height: int = 340) -> go.Figure:
    """Draw `quantity` by epoch: one line per run, arm, scheme and fold; the folds of an arm share its colour.

    Parameters
    ----------
    metrics
        Rows of ``metrics.jsonl`` with a column ``run``; arm, scheme and fold may be missing.
    quantity
        A key of `QUANTITIES`.
    phase
        ``pretrain`` or ``finetune``.
    """
    rows = _named(metrics, phase).dropna(subset=[quantity])
    several = rows["run"].nunique() > 1
    fig = go.Figure()
    seen: set[str] = set()
    names = list(dict.fromkeys(rows["name"]))
    for (run, name, fold), line in rows.groupby(["run", "name", "fold"], sort=False):
        label = escape(f"{name} · {run}" if several else name)
        fig.add_scatter(
            x=line["x"],
            y=line[quantity],
            mode="lines+markers",
            name=label,
            legendgroup=label,
            showlegend=label not in seen,
            line={
                "color": arm_colour(line["arm"].iloc[0], names.index(name)),
                "width": 1.8,
                "dash": _DASHES[list(dict.fromkeys(rows["run"])).index(run) % len(_DASHES)],
            },
            marker={"size": 6, "symbol": arm_symbol(line["arm"].iloc[0])},
            customdata=[[f"fold {fold}" if fold != "" else "all donors"]] * len(line),
            hovertemplate=f"{label}<br>%{{customdata[0]}}, epoch %{{x}}<br>%{{y:.4g}}<extra></extra>",
        )
        seen.add(str(label))
    title, _, unit = QUANTITIES[quantity].partition(" (")
    finish(fig, f"{title} by epoch", "Epoch", unit.rstrip(")") or title, height, legend=len(seen) > 1)
    fig.update_xaxes(tickformat="d", tick0=0, dtick=max(1, int(rows["x"].max()) // 8))
    # Below the axis title at any height and width: two names fit beside each other in a narrow window.
    rows_of_names = (len(seen) + 1) // 2 if len(seen) > 1 else 0
    fig.update_layout(
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0},
        margin={"b": 50 + 22 * rows_of_names},
        height=height + 22 * rows_of_names,
    )
    if quantity == "effective_share":
        fig.add_hline(y=1, line={"color": MUTED, "dash": "dot", "width": 1}, annotation_text="uniform")
    return fig


def _named(metrics: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return the rows of a phase with the columns run, arm, name (arm and scheme), fold (text) and x."""
    rows = metrics[metrics["phase"] == phase].copy() if "phase" in metrics else metrics.copy()
    for column in ("run", "arm", "scheme", "fold"):
        if column not in rows:
            rows[column] = ""
    rows["fold"] = [str(int(fold)) if pd.notna(fold) and fold != "" else "" for fold in rows["fold"]]
    rows[["arm", "scheme"]] = rows[["arm", "scheme"]].fillna("")
    pairs = zip(rows["arm"].map(arm_name), rows["scheme"].map(SCHEMES).fillna(rows["scheme"]), strict=True)
    rows["name"] = [", ".join(filter(None, pair)) or phase.capitalize() for pair in pairs]
    rows["x"] = rows["epoch"] if "epoch" in rows else rows["step"]
    return rows
