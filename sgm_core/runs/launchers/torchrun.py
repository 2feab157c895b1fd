"""Several processes of this machine that train one model, started and watched by torchrun."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sgm_core.device import gpus
from sgm_core.errors import InputError
from sgm_core.runs.launchers.base import Status
from sgm_core.runs.launchers.local import WORKER, Local

if TYPE_CHECKING:
    from sgm_core.runs.run import Run


class Torchrun(Local):
    """As `Local`: the process is torchrun's, which ends all of its processes when one of them dies."""

    name = "torchrun"
    label = "Several processes"
    kinds: tuple[str, ...] = ("pretrain", "finetune")

    def processes(self, asked: int | None) -> int:
        """Return as many as asked for, else one a graphics card, or two."""
        return max(2, len(gpus())) if asked is None else asked

    def cards(self, run: Run) -> int:
        """Return one for each process, as far as there are."""
        return min(processes_of(run), len(gpus()))

    def arguments(self, run: Run) -> tuple[str, ...]:
        """Return the arguments of Python that carry out the run."""
        return torchrun_arguments(run)

    def start(self, run: Run, environment: Mapping[str, str]) -> Status:
        """Start torchrun."""
        return {**super().start(run, environment), "processes": processes_of(run)}

    def named(self, status: Status) -> str:
        """Return how many processes there are."""
        return f"{status.get('processes')} processes"

    def why_not(self, kind: str) -> str:
        """Return why runs of this kind are not for it."""
        if kind == "compare":
            return "its tasks are independent, so that --launcher local --processes N works on N at once"
        return super().why_not(kind)


def torchrun_arguments(run: Run) -> tuple[str, ...]:
    """Return the arguments of Python that carry out `run` in as many processes as it asks for."""
    return (
        *("-P", "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes_of(run))),
        *(*WORKER, run.id),
    )


def processes_of(run: Run) -> int:
    """Return how many processes train its model."""
    return Torchrun().processes(run.status.get("processes"))


def check_shared(kind: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a run that several processes can't carry out together.

    Raises
    ------
    InputError
        If it is of another kind, or of cells that depend on the cells beside them.
    """
    if kind not in Torchrun.kinds:
        kinds = " or a ".join(Torchrun.kinds)
        raise InputError(f"a run of kind {kind!r} is one process's: several can share a {kinds}")
    if parameters.get("compat") == "official":
        raise InputError(
            "compat=official lets a cell's numbers depend on the cells beside it, which several processes "
            "don't have in one place: start one process, or leave compat at corrected"
        )
