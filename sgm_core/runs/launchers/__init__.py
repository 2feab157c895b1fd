"""How a run's worker is started, followed and ended from afar: one small file for each way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sgm_core.errors import InputError
from sgm_core.runs.launchers.base import Launcher
from sgm_core.runs.launchers.local import Local
from sgm_core.runs.launchers.slurm import Slurm
from sgm_core.runs.launchers.torchrun import Torchrun, check_shared

LAUNCHERS: dict[str, Launcher] = {one.name: one for one in (Local(), Torchrun(), Slurm())}


def launcher_of(status: dict[str, Any]) -> Launcher:
    """Return the launcher that a run's status names; `local` where an older version wrote none."""
    return LAUNCHERS[status.get("launcher") or "local"]


def check_launcher(name: str, processes: int | None, kind: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a launcher that can't carry out a run of this kind here.

    Parameters
    ----------
    name : of the launcher
    processes : how many work on the run; None leaves it to the launcher
    kind, parameters : of the run

    Raises
    ------
    InputError
        If it is unknown, not at hand here, or does not go with the run or the number of processes.
    """
    if name not in LAUNCHERS:
        raise InputError(f"unknown launcher {name!r}: the launchers are {', '.join(LAUNCHERS)}")
    if processes is not None and processes < 1:
        raise InputError(f"processes is {processes}: it takes one at least")
    launcher = LAUNCHERS[name]
    if not launcher.carries(kind):
        raise InputError(f"a run of kind {kind!r} can't be launched by {name}: {launcher.why_not(kind)}")
    if name == "local" and processes not in (None, 1) and kind != "compare":
        raise InputError(f"{processes} processes train one model under --launcher torchrun, or slurm")
    if processes not in (None, 1) and kind == "sweep":
        raise InputError("the trials of a sweep are done one after the other: leave processes out")
    if name == "slurm" and processes not in (None, 1) and not LAUNCHERS["torchrun"].carries(kind):
        raise InputError(f"a run of kind {kind!r} has one process a job under Slurm: leave processes out")
    if kind != "compare" and (name == "torchrun" or processes not in (None, 1)):
        check_shared(kind, parameters)
    if missing := launcher.missing():
        raise InputError(missing)
