"""One detached process on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import psutil

from sgm_core import home
from sgm_core.device import gpus
from sgm_core.runs.detach import start_detached
from sgm_core.runs.ends import why_silent
from sgm_core.runs.launchers.base import Launcher, Status
from sgm_core.runs.process import alive, end_helpers, identity

if TYPE_CHECKING:
    from sgm_core.runs.run import Run

WORKER = ("-m", "sgm_core.runs.worker")


class Local(Launcher):
    """A process with a session of its own, known by its pid and when it started."""

    name = "local"
    label = "This machine"

    def cards(self, run: Run) -> int:
        """Return one, or for a comparison all."""
        return len(gpus()) if run.kind == "compare" else 1

    def arguments(self, run: Run) -> tuple[str, ...]:
        """Return the arguments of Python that carry out the run."""
        return ("-P", *WORKER, run.id)

    def start(self, run: Run, environment: Mapping[str, str]) -> Status:
        """Start it; it outlives this process."""
        with (run.path / "log.txt").open("ab") as log:
            return identity(start_detached(self.arguments(run), log, home.home(), environment))

    def started(self, status: Status) -> bool:
        """Say whether the status names a process."""
        return status.get("pid") is not None

    def alive(self, status: Status) -> bool:
        """Say whether that process exists."""
        return alive(status.get("pid"), status.get("process_started"))

    def outcome(self, run: Run, status: Status) -> tuple[str, str | None]:
        """Say what the kernel tells of it."""
        return "lost", f"{why_silent(status.get('evidence'))}; {run.when_resumed}"

    def stop(self, status: Status) -> None:
        """Send SIGTERM."""
        psutil.Process(status["pid"]).terminate()

    def tidy(self, status: Status) -> None:
        """Kill what the dead process had started."""
        if status["pid"] is not None and status["process_started"] is not None:
            end_helpers(status["pid"], status["process_started"])
