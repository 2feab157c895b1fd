"""What a list says of each run (its best number, its curve, its size on disk), kept beside the runs.

Reading the metrics and tables of 500 runs takes seconds, so what was found is kept in ``runs/.index.sqlite``
with a stamp of the files that it follows from. The folders are the truth: an entry whose stamp is another by
now is made again, and without the index everything is.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sgm_core import home, tables
from sgm_core.errors import SGMError
from sgm_core.runs.run import Run
from sgm_core.runs.states import ACTIVE

_VERSION = 1  # of what a summary holds
_WAIT_S = 0.5  # for another process that writes
_made: dict[str, tuple[str, str]] = {}  # by folder: what this process has made, where no index can be written
_SIZE_EVERY_S = 60.0  # a run that is under way grows: its size is looked up again after this long


@dataclass(frozen=True)
class Summary:
    """What a list says of one run.

    Attributes
    ----------
    curve : mean loss per epoch over folds and seeds, of pretraining where there is any; validation before
        training
    loss : the smallest validation loss of a pretraining, None where there is none
    macro_f1, arm : the best mean macro F1 over folds and whose it is, None and empty before there are scores;
        of a sweep that of its best trial, on validation donors
    bytes : what its folder takes
    """

    curve: tuple[float, ...] = ()
    loss: float | None = None
    macro_f1: float | None = None
    arm: str = ""
    bytes: int = 0


def summaries(runs: Sequence[Run], at_most_s: float | None = None) -> list[Summary | None]:
    """Return the summary of each run, made again where its files have changed.

    Parameters
    ----------
    runs
        The runs.
    at_most_s
        Seconds after which no more are made: the others are None, and asking again goes on.
    """
    known, begun = _read(), time.monotonic()
    found: list[Summary | None] = []
    new = {}
    for run in runs:
        try:
            stamp = _stamp(run)
            kept, text = known.get(run.id) or _made.get(str(run.path), ("", ""))
            summary = _loaded(text) if kept == stamp else None
            if summary is None and (at_most_s is None or time.monotonic() - begun < at_most_s):
                summary = _summary(run)
                new[run.id] = (stamp, json.dumps(asdict(summary)))
        except (OSError, ValueError, KeyError, TypeError, SGMError):
            summary = Summary()  # deleted meanwhile, or damaged: it must not hide the others
        found.append(summary)
    if new and not _write(new):
        folder = home.folder("runs")
        _made.update({str(folder / run_id): entry for run_id, entry in new.items()})
    return found


def _stamp(run: Run) -> str:
    """Return what changes when something does that a summary follows from."""
    status = run.status
    active = status["state"] in ACTIVE
    parts = [_VERSION, status["state"], status.get("attempt", 0), _mark(run.path / "config.json")]
    parts += [
        *map(_mark, run.told_paths("metrics")),
        *(tables.stamp(run.table_path(name)) for name in ("folds", "trials")),
    ]
    # a running worker replaces its status twice a second, and with it the time of the folder
    parts.append(int(time.time() // _SIZE_EVERY_S) if active else run.path.stat().st_mtime_ns)
    return json.dumps(parts)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size


def _summary(run: Run) -> Summary:
    curve, loss = _losses(run)
    score, arm = _best_score(run)
    return Summary(curve, loss if run.kind == "pretrain" else None, score, arm, run.size())


def _losses(run: Run) -> tuple[tuple[float, ...], float | None]:
    rows = _rows(run)
    if any(row.get("phase") == "pretrain" for row in rows):
        rows = [row for row in rows if row.get("phase") == "pretrain"]
    for column in ("validation_loss", "train_loss"):
        by_epoch: dict[float, list[float]] = {}
        for row in rows:
            epoch, value = row.get("epoch"), row.get(column)
            if epoch is not None and value is not None and epoch == epoch and value == value:
                by_epoch.setdefault(epoch, []).append(value)
        if by_epoch:
            curve = tuple(sum(values) / len(values) for _, values in sorted(by_epoch.items()))
            lowest = min(map(min, by_epoch.values()))
            return curve, lowest if column == "validation_loss" else None
    return (), None


def _rows(run: Run) -> list[dict[str, Any]]:
    """Return the metrics that count; a table of them (`Run.metrics`) takes several times as long to make."""
    try:
        lines = [line for path in run.told_paths("metrics") for line in path.read_bytes().splitlines()]
        rows = [json.loads(line) for line in lines]
    except (OSError, ValueError):  # none, or a torn line
        return _records(run)
    one_attempt = len({row.get("attempt") for row in rows}) < 2 and not run.status.get("since")
    return rows if one_attempt else _records(run)


def _records(run: Run) -> list[dict[str, Any]]:
    return [dict(row) for row in run.metrics().to_dict("records")]  # type: ignore[arg-type]


def _best_score(run: Run) -> tuple[float | None, str]:
    if run.kind == "sweep":
        return _best_trial(run)
    path = run.table_path("folds")
    if run.kind not in ("compare", "finetune") or not tables.stamp(path):
        return None, ""
    folds = tables.read(path, ["arm", "scheme", "macro_f1"])
    if folds.empty:
        return None, ""
    trained = folds[folds["scheme"] != "baseline"]
    means = (folds if trained.empty else trained).groupby(["arm", "scheme"])["macro_f1"].mean()
    top = means.reset_index().sort_values("macro_f1").iloc[-1]
    return float(top["macro_f1"]), str(top["arm"])


def _best_trial(run: Run) -> tuple[float | None, str]:
    path = run.table_path("trials")
    if not tables.stamp(path):
        return None, ""
    trials = tables.read(path, ["number", "state", "score"])
    done = trials[trials["state"] == "done"]
    if done.empty:
        return None, ""
    best = done.iloc[int(done["score"].to_numpy().argmax())]
    return float(best["score"]), f"trial {best['number']}, validation donors"


def _loaded(text: str) -> Summary | None:
    try:
        values: dict[str, Any] = json.loads(text)
        return Summary(**{**values, "curve": tuple(values["curve"])})
    except (ValueError, KeyError, TypeError):
        return None


# ---- the index


def _path() -> Path:
    return home.folder("runs") / ".index.sqlite"


def _open() -> sqlite3.Connection:
    index = sqlite3.connect(_path(), timeout=_WAIT_S)
    index.execute("CREATE TABLE IF NOT EXISTS summaries (run TEXT PRIMARY KEY, stamp TEXT, summary TEXT)")
    return index


def _read() -> dict[str, tuple[str, str]]:
    """Return stamp and summary by run; nothing where the index can't be read."""
    try:
        with closing(_open()) as index:
            rows = index.execute("SELECT run, stamp, summary FROM summaries").fetchall()
    except sqlite3.OperationalError:  # busy, or the folder can't be written
        return {}
    except sqlite3.DatabaseError:  # damaged: it can be made again
        with suppress(OSError):
            _path().unlink()
        return {}
    return {run: (stamp, summary) for run, stamp, summary in rows}


def _write(new: dict[str, tuple[str, str]]) -> bool:
    """Keep summaries, and forget those of runs that are gone; returns whether that was possible."""
    try:
        with closing(_open()) as index, index:
            rows = [(run, stamp, summary) for run, (stamp, summary) in new.items()]
            index.executemany("INSERT OR REPLACE INTO summaries VALUES (?, ?, ?)", rows)
            known = [run for (run,) in index.execute("SELECT run FROM summaries")]
            gone = [(run,) for run in known if not (_path().parent / run).is_dir()]
            index.executemany("DELETE FROM summaries WHERE run = ?", gone)
    except (sqlite3.Error, OSError):
        return False
    return True
