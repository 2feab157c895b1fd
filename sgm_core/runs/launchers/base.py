"""What every launcher can do; `sgm_core.runs.launch` and `sgm_core.runs.run.Run` ask for nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgm_core.runs.run import Run

Status = dict[str, Any]
"""A run's ``status.json``; what `start` returns is part of it and says who carries the run out."""


class Launcher(ABC):
    """One way to carry out runs.

    Attributes
    ----------
    name : as on the command line
    label : for people
    kinds : of runs that it can carry out; None = all
    queues : whether its runs wait for their turn in the home folder's own queue
    """

    name: str
    label: str
    kinds: tuple[str, ...] | None = None
    queues = True

    def missing(self) -> str | None:
        """Return what is not at hand here to use it, and what to do, in one line; None if nothing is."""
        return None

    def carries(self, kind: str) -> bool:
        """Say whether it can carry out runs of this kind."""
        return self.kinds is None or kind in self.kinds

    def why_not(self, kind: str) -> str:
        """Return why runs of this kind are not for it."""
        return f"it carries out {' and '.join(self.kinds or ())}"

    def processes(self, asked: int | None) -> int | None:
        """Return how many processes work at once where `asked` were asked for; None leaves it to the run."""
        return asked

    def cards(self, run: Run) -> int:
        """Return how many graphics cards a run that names none uses."""
        return 1

    @abstractmethod
    def start(self, run: Run, environment: Mapping[str, str]) -> Status:
        """Start the run's worker, or ask for it; returns fields of the status that name it."""

    @abstractmethod
    def started(self, status: Status) -> bool:
        """Say whether a worker was started or asked for."""

    @abstractmethod
    def alive(self, status: Status) -> bool:
        """Say whether the worker exists, or may yet come."""

    @abstractmethod
    def outcome(self, run: Run, status: Status) -> tuple[str, str | None]:
        """Return the state, and why, of a run whose worker ended without saying so."""

    @abstractmethod
    def stop(self, status: Status) -> None:
        """End the worker that does not end by itself."""

    def withdraw(self, status: Status) -> None:  # noqa: B027
        """Take back what has been asked for and has not begun."""

    def tidy(self, status: Status) -> None:  # noqa: B027
        """End what a dead worker left running."""

    def waits_for(self, status: Status) -> str | None:
        """Return what a queued run waits for, in words; None if it is this home's own queue."""
        return None

    def waiting(self, status: Status) -> bool:
        """Say whether a run that began waits again to be started, after its worker was sent away."""
        return False

    def look_again(self, status: Status) -> None:  # noqa: B027
        """Forget what was known of its worker: it may be from before the status was written."""

    def named(self, status: Status) -> str:
        """Return who carries the run out, in a few words for people; empty if there is nothing to say."""
        return ""

    def logs(self, run: Run) -> list[Path]:
        """Return where else than in the run's log the worker may have written."""
        return []
