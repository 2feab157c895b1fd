"""What the pages say about a run: its progress, its best number, its parameters."""

from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import words
from pages.components.kept import kept
from sgm_core import tables as run_tables
from sgm_core.errors import SGMError
from sgm_core.escape import escape
from sgm_core.figures.palette import arm_name
from sgm_core.runs.launchers import launcher_of
from sgm_core.runs.store import STATES, Run, open_run


def metrics(run: Run) -> pd.DataFrame:
    """Return the metrics of `run`, read again only when they grew."""
    paths = run.metrics_paths()
    if not paths:
        return pd.DataFrame()
    written = sum(path.stat().st_size for path in paths)
    return _metrics(str(run.path), (written, run.status.get("attempt", 0)))


@kept()
def _metrics(path: str, stamp: tuple[int, int]) -> pd.DataFrame:
    return Run(Path(path)).metrics()


def sparkline(run: Run) -> list[float]:
    """Return the mean loss per epoch, validation before training, for a small curve."""
    rows = metrics(run)
    if "epoch" not in rows:
        return []
    if "phase" in rows and (rows["phase"] == "pretrain").any():
        rows = rows[rows["phase"] == "pretrain"]
    for column in ("validation_loss", "train_loss"):
        if column in rows and rows[column].notna().any():
            return [float(mean) for mean in rows.groupby("epoch")[column].mean().dropna()]
    return []


def best(run: Run) -> str:
    """Return the run's best number in words, empty while there is none."""
    if run.kind in ("compare", "finetune"):
        path = run.table_path("folds")
        stamp = run_tables.stamp(path)
        return _best_f1(str(path), stamp) if stamp else ""
    if run.kind == "sweep":
        path = run.table_path("trials")
        stamp = run_tables.stamp(path)
        return _best_trial(str(path), stamp) if stamp else ""
    if run.kind == "pretrain":
        rows = metrics(run)
        if "validation_loss" in rows and rows["validation_loss"].notna().any():
            return f"validation loss {rows['validation_loss'].min():.4g}"
    return ""


@kept()
def _best_f1(path: str, stamp: int) -> str:
    folds = run_tables.read(Path(path), ["arm", "scheme", "macro_f1"])
    if folds.empty:
        return ""
    trained = folds[folds["scheme"] != "baseline"]
    means = (folds if trained.empty else trained).groupby(["arm", "scheme"])["macro_f1"].mean()
    top = means.reset_index().sort_values("macro_f1").iloc[-1]
    return f"macro F1 {top['macro_f1']:.3f}, {arm_name(str(top['arm']))}"


@kept()
def _best_trial(path: str, stamp: int) -> str:
    trials = run_tables.read(Path(path), ["number", "state", "score"])
    done = trials[trials["state"] == "done"]
    if done.empty:
        return ""
    best = done.iloc[int(done["score"].to_numpy().argmax())]
    return f"macro F1 {best['score']:.3f}, trial {best['number']}, validation donors"


@st.cache_data(ttl=60, show_spinner=False)
def sizes(ids: tuple[str, ...]) -> list[int]:
    """Return the bytes that runs take on the disk, looked up once a minute; 0 for one that is gone."""
    found = []
    for run_id in ids:
        try:
            found.append(open_run(run_id).size())
        except SGMError:
            found.append(0)
    return found


def headline(runs: list[Run]) -> str:
    """Return how many runs are in which state, and how far the one under way is."""
    states = [run.state for run in runs]
    parts = []
    for state in STATES:
        if state in states:
            how_far = progress_words(runs[states.index(state)]) if state == "running" else ""
            parts.append(f"{states.count(state)} {state}" + (f" ({how_far})" if how_far else ""))
    return f"{words.count(len(runs), 'run')}: {', '.join(parts)}."


def progress_words(run: Run) -> str:
    """Return where it is and how long it still takes."""
    state, progress = run.state, run.status.get("progress")
    if state == "queued":
        return f"waits for {launcher_of(run.status).waits_for(run.status) or 'its turn'}"
    if state == "running" and progress and progress["total"]:
        share = progress["done"] / progress["total"]
        left = f", about {words.duration(progress['eta_s'])} left" if progress.get("eta_s") else ""
        return f"{share:.0%}{left}"
    return ""


def progress_bar(run: Run) -> None:
    """Draw the progress of an unfinished run, with the step under way and the time left."""
    progress = run.status.get("progress")
    if run.state == "queued":
        elsewhere = launcher_of(run.status).waits_for(run.status)
        here = "Waits for its turn: one run at a time uses a device"
        st.progress(0.0, text=escape(f"Waits for {elsewhere}") if elsewhere else here)
    elif run.state == "running":
        share = min(1.0, progress["done"] / progress["total"]) if progress and progress["total"] else 0.0
        what = progress["what"] if progress else "Starts"
        st.progress(share, text=escape(" · ".join(filter(None, [what or "Runs", progress_words(run)]))))
