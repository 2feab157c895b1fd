"""Training curves of any number of runs, and what their masks did epoch by epoch."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sgm_core.escape import escape
from sgm_core.figures.palette import SAFE, SCHEMES, arm_colour, arm_name, arm_symbol
from sgm_core.figures.style import MUTED, finish

QUANTITIES = {
    "validation_loss": "Validation loss",
    "train_loss": "Training loss",
    "validation_f1": "Validation macro F1",
    "effective_share": "Effective share of genes (1 = uniform)",
    "nonzero_share": "Share of masked positions that are non-zero",
    "rank_correlation": "Rank correlation of masking and expression",
    "loss": "Training loss within epochs",
    "cells_per_s": "Cells per second",
    "memory": "Memory of the process (GB)",
    "gpu_memory": "Memory on the GPU (GB)",
}
WITHIN = ("loss", "cells_per_s", "memory", "gpu_memory")
"""Quantities that are measured every few seconds (`Run.pulses`), not once an epoch."""
AXES = {"epoch": "Epoch", "step": "Step", "worked": "Time"}
"""What curves may run over: the columns of the metrics, with their names."""
MOST_RUNS = 8
_UNITS = (("h", 3600, 7200), ("min", 60, 180), ("s", 1, 0))  # of time: seconds in one, and from how many on
_GB = ("memory", "gpu_memory")
_DASHES = ("solid", "dash", "dot", "dashdot")
_MARKED_UP_TO = 60  # points of a line


def available(metrics: pd.DataFrame, phase: str) -> list[str]:
    """Return the quantities of `QUANTITIES` that were measured in `phase`, in that order."""
    rows = metrics[metrics["phase"] == phase] if "phase" in metrics else metrics
    return [name for name in QUANTITIES if name in rows and rows[name].notna().any()]


def axes(metrics: pd.DataFrame, quantity: str) -> list[str]:
    """Return what the curves of a quantity can run over: what is known of each of its rows."""
    rows = metrics[metrics[quantity].notna()]
    return [name for name in AXES if name in rows and rows[name].notna().all()]


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Return the exponential moving average of values, without pull towards zero at its beginning.

    Parameters
    ----------
    values
        (n,), in order.
    weight
        Of what was before, from 0 (the values themselves) to below 1.
    """
    averages, last, total = np.empty(len(values)), 0.0, 0.0
    for i, value in enumerate(values):
        last, total = weight * last + (1 - weight) * value, weight * total + (1 - weight)
        averages[i] = last / total
    return averages


def curves(
    metrics: pd.DataFrame,
    quantity: str,
    phase: str,
    height: int = 340,
    over: str = "epoch",
    smoothing: float = 0.0,
    log_x: bool = False,
    log_y: bool = False,
) -> go.Figure:
    """Draw `quantity`: one line per run, arm, scheme, fold and seed; those of an arm share its colour.

    Up to four runs differ by dash and keep the colours of their arms; runs of one arm each, or more of them,
    have a colour each.

    Parameters
    ----------
    metrics
        Rows of `Run.metrics` or `Run.pulses` with a column ``run``; arm, scheme and fold may be missing.
    quantity
        A key of `QUANTITIES`.
    phase
        ``pretrain`` or ``finetune``.
    over
        A key of `AXES`.
    smoothing
        Weight of what was before (`smooth`); the values themselves stay visible, faint.
    log_x, log_y
        Logarithmic axes; what is not above zero has no place there.
    """
    rows = _named(metrics, phase, over).dropna(subset=[quantity])
    if quantity in _GB:
        rows[quantity] = rows[quantity] / 1e9
    x_title = AXES[over]
    if over == "worked":
        unit, seconds = next(
            (unit, each) for unit, each, least in _UNITS if rows["x"].max() >= least or not least
        )
        rows["x"] /= seconds
        x_title = f"Time since the run began, pauses left out ({unit})"
    several = rows["run"].nunique() > 1
    fig = go.Figure()
    seen: set[str] = set()
    look = _look(rows)
    named = several and rows["name"].nunique() > 1
    for (run, name, fold, seed), line in rows.groupby(["run", "name", "fold", "seed"], sort=False):
        label = escape(f"{name} · {run}" if named else run if several else name)
        colour, dash = look[str(run), str(name)]
        values = line[quantity].to_numpy(dtype=float)
        shared = {"x": line["x"], "legendgroup": label}
        if smoothing:
            fig.add_scatter(
                **shared,
                y=values,
                mode="lines",
                line={"color": colour, "width": 1.2},
                opacity=0.3,
                showlegend=False,
                hoverinfo="skip",
            )
        where = f"fold {fold}" if fold not in ("", "-1") else "all donors"
        where += f", seed {seed}" if seed else ""
        fig.add_scatter(
            **shared,
            y=smooth(values, smoothing) if smoothing else values,
            mode="lines+markers" if len(line) <= _MARKED_UP_TO and not smoothing else "lines",
            name=label,
            showlegend=label not in seen,
            line={"color": colour, "width": 1.8, "dash": dash},
            marker={"size": 6, "symbol": arm_symbol(line["arm"].iloc[0])},
            customdata=np.column_stack([np.full(len(line), where), line["epoch"], values]),
            hovertemplate=f"{label}<br>%{{customdata[0]}}, epoch %{{customdata[1]:.3~g}}<br>"
            "%{customdata[2]:.4g}" + (", smoothed %{y:.4g}" if smoothing else "") + "<extra></extra>",
        )
        seen.add(str(label))
    title, _, unit = QUANTITIES[quantity].partition(" (")
    by = {"epoch": "epoch", "step": "step", "worked": "time"}[over]
    finish(fig, f"{title} by {by}", x_title, unit.rstrip(")") or title, height, legend=len(seen) > 1)
    if over == "epoch" and not log_x:
        fig.update_xaxes(tickformat="d", tick0=0, dtick=max(1, int(rows["x"].max()) // 8))
    # Below the axis title at any height and width: two names fit beside each other in a narrow window.
    rows_of_names = (len(seen) + 1) // 2 if len(seen) > 1 else 0
    fig.update_layout(
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0},
        margin={"b": 50 + 22 * rows_of_names},
        height=height + 22 * rows_of_names,
    )
    if log_x:
        fig.update_xaxes(type="log")
    if log_y:
        fig.update_yaxes(type="log")
    if quantity == "effective_share":
        fig.add_hline(y=1, line={"color": MUTED, "dash": "dot", "width": 1}, annotation_text="uniform")
    return fig


def _look(rows: pd.DataFrame) -> dict[tuple[str, str], tuple[str, str]]:
    """Return colour and dash of each run and name."""
    runs, names = list(dict.fromkeys(rows["run"])), list(dict.fromkeys(rows["name"]))
    pairs = rows.drop_duplicates(["run", "name"])
    one_each = len(runs) > 1 and not pairs["run"].duplicated().any()
    look = {}
    for run, name, arm in zip(pairs["run"], pairs["name"], pairs["arm"]):
        i, j = runs.index(run), names.index(name)
        if one_each or len(runs) > len(_DASHES):
            look[run, name] = SAFE[i % len(SAFE)], _DASHES[j % len(_DASHES)]
        else:
            look[run, name] = arm_colour(arm, j), _DASHES[i % len(_DASHES)]
    return look


def _named(metrics: pd.DataFrame, phase: str, over: str = "epoch") -> pd.DataFrame:
    """Return the rows of a phase with the columns run, arm, name (arm and scheme), fold (text) and x."""
    rows = metrics[metrics["phase"] == phase].copy() if "phase" in metrics else metrics.copy()
    for column in ("run", "arm", "scheme", "fold", "seed"):
        if column not in rows:
            rows[column] = ""
    for column in ("fold", "seed"):
        rows[column] = [str(int(item)) if pd.notna(item) and item != "" else "" for item in rows[column]]
    rows[["arm", "scheme"]] = rows[["arm", "scheme"]].fillna("")
    pairs = zip(rows["arm"].map(arm_name), rows["scheme"].map(SCHEMES).fillna(rows["scheme"]), strict=True)
    rows["name"] = [", ".join(filter(None, pair)) or phase.capitalize() for pair in pairs]
    if "epoch" not in rows:
        rows["epoch"] = rows["step"]
    rows["x"] = rows[over].astype(float)
    return rows
