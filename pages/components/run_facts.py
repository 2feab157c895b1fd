"""What the pages say about a run: its progress, its best number, its parameters."""

from pathlib import Path

import pandas as pd
import streamlit as st

from pages.components import words
from pages.components.kept import kept
from sgm_core.escape import escape
from sgm_core.figures.palette import arm_name
from sgm_core.runs.launchers import launcher_of
from sgm_core.runs.store import STATES, Run
from sgm_core.runs.summaries import Summary, summaries

_STILL_S = 120.0  # a pulse that old still tells how it goes; the pauses between them grow to that in a day


def metrics(run: Run) -> pd.DataFrame:
    """Return the metrics of `run`, read again only when they grew."""
    return _grown(run, "metrics")


def pulses(run: Run) -> pd.DataFrame:
    """Return what was measured of `run` within its epochs, read again only when there is more."""
    return _grown(run, "pulse")


def _grown(run: Run, kind: str) -> pd.DataFrame:
    paths = run.told_paths(kind)
    if not paths:
        return pd.DataFrame()
    written = sum(path.stat().st_size for path in paths)
    return _rows((str(run.path), kind), (written, run.status.get("attempt", 0)))


@kept()
def _rows(file: tuple[str, str], stamp: tuple[int, int]) -> pd.DataFrame:
    run = Run(Path(file[0]))
    return run.metrics() if file[1] == "metrics" else run.pulses()


def summary(run: Run) -> Summary:
    """Return what a list says of one run."""
    return summaries([run])[0] or Summary()


def best_words(run: Run, found: Summary) -> str:
    """Return a run's best number in words, empty while there is none."""
    if found.macro_f1 is not None:
        return f"macro F1 {found.macro_f1:.3f}, {arm_name(found.arm)}"
    return f"validation loss {found.loss:.4g}" if found.loss is not None else ""


def best(run: Run) -> str:
    """Return the run's best number in words, empty while there is none."""
    return best_words(run, summary(run))


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


def right_now(run: Run) -> str:
    """Return what a run under way does and takes at this moment: cells a second, memory, time."""
    progress, rows = run.status.get("progress") or {}, pulses(run)
    facts = []
    if len(rows):
        last = rows.sort_values("time").iloc[-1]  # parts of a run have files of their own
        since = (pd.Timestamp.now("UTC") - pd.Timestamp(last["time"])).total_seconds()
        if since < _STILL_S:  # what was trained an hour ago says nothing of now
            facts.append(f"{last['cells_per_s']:,.0f} cells/s")
            if pd.notna(last.get("gpu_memory")):
                facts.append(f"{words.size(last['gpu_memory'])} on the GPU")
    if progress.get("memory"):
        facts.append(f"{words.size(progress['memory'])} of memory")
    took = words.took(run)
    if took is not None:
        facts.append(f"since {words.duration(took)}")
    return " · ".join(facts)
