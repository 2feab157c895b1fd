"""What a long piece of work tells whoever watches it."""

import time
from typing import Any

import pandas as pd


class Pace:
    """Says how long a piece of work will still take, going by what was done since it began."""

    def __init__(self) -> None:
        self._origin: tuple[float, float, float] | None = None  # time, done, total

    def left(self, done: float, total: float) -> float | None:
        """Return the seconds left at `done` of `total` units, None before the first unit is done."""
        clock = time.monotonic()
        if self._origin is None or self._origin[2] != total or done < self._origin[1]:
            self._origin = (clock, done, total)
        since, first, _ = self._origin
        return (total - done) * (clock - since) / (done - first) if done > first else None


class Observer:
    """Watches a piece of work; this base does nothing, so every engine function can be called without one.

    `sgm_core.runs.store.Run` writes what it is told into a run's folder; the command line prints it.
    """

    def message(self, text: str) -> None:
        """Say one line of the log."""

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Say that `done` of `total` units are finished; `what` is the step under way, in a few words."""

    def metric(self, **values: Any) -> None:
        """Append one row to the metrics (scalars only)."""

    def pulse(self, **values: Any) -> None:
        """Say how a training goes at this moment (scalars only); most of it may be left out."""

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Keep a finished table under `name`, replacing the earlier one."""

    def check(self) -> None:
        """Raise `sgm_core.errors.Cancelled` if the user asked for the work to stop."""


class Part(Observer):
    """Passes on the progress of one part out of several, and whether to stop; nothing else.

    Parameters
    ----------
    observer : who is told
    number, count : which part it is, counted from 0, and of how many
    what : what is said of it; by default what the part itself says
    """

    def __init__(self, observer: Observer, number: int, count: int, what: str = "") -> None:
        self.observer, self.number, self.count, self.what = observer, number, count, what

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Say what is done of all parts."""
        self.observer.progress(self.number + done / max(total, 1e-9), self.count, self.what or what)

    def check(self) -> None:
        """Ask whom it stands for."""
        self.observer.check()
