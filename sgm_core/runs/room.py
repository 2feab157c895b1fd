"""Whether a run has room where it is carried out: in one process here, in several, or in a job."""

from __future__ import annotations

from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.estimate.fit import in_job, problem, require_fit
from sgm_core.estimate.run import Estimate, Measured, estimate_run
from sgm_core.runs.launchers import LAUNCHERS
from sgm_core.runs.launchers.slurm_settings import more_memory, slurm_settings
from sgm_core.training.config import Settings


def estimate_where(
    config: Settings,
    dataset: Dataset,
    launcher: str = "local",
    processes: int | None = None,
    measured: Measured | None = None,
) -> Estimate:
    """Return the estimate of a run as `launcher` carries it out.

    Parameters
    ----------
    config, dataset, measured
        As for `estimate_run`.
    launcher, processes
        As for `sgm_core.runs.launch.launch`.
    """
    found = estimate_run(config, dataset, measured, LAUNCHERS[launcher].processes(processes))
    return in_job(found, slurm_settings().memory_bytes) if launcher == "slurm" else found


def require_room(
    config: Settings,
    dataset: Dataset,
    launcher: str = "local",
    processes: int | None = None,
    measured: Measured | None = None,
) -> Estimate:
    """Return the same of a run that can work.

    Raises
    ------
    InputError
        If it needs more memory than this machine, or a job, has; with how much, and what would fit.
    """
    if launcher != "slurm":
        return require_fit(config, dataset, measured, LAUNCHERS[launcher].processes(processes))
    estimate = estimate_where(config, dataset, launcher, processes, measured)
    if reason := problem(estimate):
        raise InputError(f"the run would not fit: {reason}; {more_memory()}")
    return estimate
