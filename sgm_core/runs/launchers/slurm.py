"""A job of Slurm, submitted through submitit; a comparison is an array of jobs and one that gathers them."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.errors import InputError
from sgm_core.runs.launchers import slurm_queue
from sgm_core.runs.launchers.base import Launcher, Status
from sgm_core.runs.launchers.slurm_queue import ENDED, UNKNOWN, Part
from sgm_core.runs.launchers.slurm_settings import SlurmSettings, slurm_settings

if TYPE_CHECKING:
    from sgm_core.runs.run import Run

FOLDER = ".slurm"
"""In a run's folder: what submitit hands over to the job and what the job prints. Hidden, so that it is not
exported, and closed to others, since the job carries out what lies there."""
_PASSED_ON = ("SGM_HOME", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONSAFEPATH", "PYTHONWARNINGS")
_ENDS = {
    "CANCELLED": ("cancelled", "cancelled in Slurm"),
    "TIMEOUT": ("paused", "its job reached its time limit"),
    "DEADLINE": ("paused", "its job reached its deadline"),
    "OUT_OF_MEMORY": ("lost", "its job took more memory than it may: raise memory in [slurm] of config.toml"),
    "NODE_FAIL": ("lost", "its node failed"),
    "BOOT_FAIL": ("lost", "its node failed to start"),
    "PREEMPTED": ("lost", "its job was preempted and not queued again"),
    "REVOKED": ("lost", "its job was given to another cluster"),
}
"""What becomes of a run whose job ended this way without the run having said so."""


class Slurm(Launcher):
    """The worker is a job, known by its ID on every machine that shares the home folder."""

    name = "slurm"
    label = "Slurm"
    kinds = ("pretrain", "finetune", "compare", "sweep")
    queues = False

    def missing(self) -> str | None:
        """Say which of Slurm's commands or packages is not here."""
        if importlib.util.find_spec("submitit") is None:
            return 'the launcher slurm needs submitit: pip install "submitit>=1.5.4"'
        absent = [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]
        if absent:
            return f"{absent[0]} is not on this machine: launch from a login node of the cluster"
        return None

    def start(self, run: Run, environment: Mapping[str, str]) -> Status:
        """Submit the run's job, or a comparison's array and the job that gathers it.

        Raises
        ------
        InputError
            If Slurm refuses it, with what Slurm says, or a setting can't be.
        """
        from sgm_core.runs.launchers.slurm_job import gather, work, work_on_task

        settings = slurm_settings()
        if run.kind != "compare":
            jobs = [_submit(run, settings, environment, [(work, run.id)])]
        else:
            from sgm_core.comparison.config import CompareConfig
            from sgm_core.comparison.protocol import unfinished

            names = [task.name for task in unfinished(CompareConfig.from_dict(run.parameters), run.path, run)]
            jobs = []
            if names:
                calls = [(work_on_task, run.id, name) for name in names]
                jobs.append(_submit(run, settings, environment, calls))
            then = {"dependency": f"afterany:{jobs[0]}"} if jobs else {}
            try:
                jobs.append(_submit(run, settings, environment, [(gather, run.id)], **then))
            except InputError:
                slurm_queue.scancel(jobs)
                raise
        run.message(f"submitted to Slurm as {_numbers({'jobs': jobs})}")
        return {"jobs": jobs, "pid": None, "process_started": None}

    def started(self, status: Status) -> bool:
        """Say whether the status names a job."""
        return bool(status.get("jobs"))

    def alive(self, status: Status) -> bool:
        """Say whether a job of it waits or runs; where Slurm does not answer, that is taken to be so."""
        parts = _parts(status)
        return parts is None or any(part.state not in (*ENDED, UNKNOWN) for part in parts)

    def outcome(self, run: Run, status: Status) -> tuple[str, str | None]:
        """Say what Slurm tells of its end."""
        from sgm_core.runs.run import PAUSE

        if not self.started(status):
            return "lost", f"it was not submitted; {run.when_resumed}"
        states = [part.state for part in _parts(status) or ()]
        if run.asked(PAUSE) is not None:
            return "paused", f"paused; {run.when_resumed}"
        for name, (state, why) in _ENDS.items():
            if name in states:
                return state, why if state == "cancelled" else f"{why}; {run.when_resumed}"
        if set(states) <= {UNKNOWN}:
            why = f"Slurm does not know its {_numbers(status)} any more"
        else:
            why = f"its {_numbers(status)} ended without a word: {_last_line(run)}"
        return "lost", f"{why}; {run.when_resumed}"

    def stop(self, status: Status) -> None:
        """Cancel its jobs."""
        slurm_queue.scancel(status["jobs"])

    def withdraw(self, status: Status) -> None:
        """Cancel those of its jobs that wait."""
        slurm_queue.scancel(status["jobs"], waiting_only=True)

    def waiting(self, status: Status) -> bool:
        """Say whether none of its jobs runs, and one waits."""
        states = [part.state for part in _parts(status) or ()]
        return "PENDING" in states and all(state in ("PENDING", *ENDED) for state in states)

    def look_again(self, status: Status) -> None:
        """Ask Slurm now."""
        _parts(status, fresh=True)

    def waits_for(self, status: Status) -> str | None:
        """Return Slurm's own reason."""
        parts = _parts(status) if self.started(status) else ()
        if parts is None:
            return f"Slurm, which does not answer just now ({_numbers(status)})"
        reasons = {part.reason for part in parts if part.state == "PENDING"} - {"Dependency", "None", ""}
        why = f": {', '.join(sorted(reasons))}" if reasons else ""
        return f"Slurm{why} ({_numbers(status)})"

    def named(self, status: Status) -> str:
        """Return its jobs' numbers."""
        return f"Slurm {_numbers(status)}"

    def logs(self, run: Run) -> list[Path]:
        """Return what its jobs printed."""
        return sorted((run.path / FOLDER).glob("*_log.*"), key=lambda path: path.stat().st_mtime_ns)


def _numbers(status: Status) -> str:
    jobs = status.get("jobs") or ["not submitted yet"]
    return f"job{'s' if len(jobs) > 1 else ''} {' and '.join(jobs)}"


def _parts(status: Status, fresh: bool = False) -> list[Part] | None:
    if not status.get("jobs"):  # it ended between being queued and being submitted
        return []
    found = slurm_queue.parts_of(status["jobs"], fresh)
    return None if found is None else [part for parts in found.values() for part in parts]


def _submit(
    run: Run,
    settings: SlurmSettings,
    environment: Mapping[str, str],
    calls: Sequence[tuple[Any, ...]],
    **options: Any,
) -> str:
    """Submit one job, or an array if there are several calls; returns its ID."""
    import submitit

    folder = run.path / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    executor = submitit.SlurmExecutor(folder)
    exported = [
        f"export {name}={shlex.quote(environment[name])}" for name in _PASSED_ON if name in environment
    ]
    executor.update_parameters(
        job_name=f"sgm-{run.id}",
        partition=settings.partition,
        account=settings.account,
        qos=settings.qos,
        time=settings.time,
        gpus_per_node=settings.gpus,
        cpus_per_task=settings.cpus,
        mem=settings.memory,
        array_parallelism=settings.parallel,
        signal_delay_s=settings.warning,
        wckey=None,
        srun_args=[f"--cpus-per-task={settings.cpus}"],  # since 22.05 srun does not take it from the job
        ntasks_per_node=1,
        setup=[*exported, *_threads(settings, run), *settings.setup],
        additional_parameters={"requeue": True, **settings.options, **options},
    )
    try:
        if len(calls) == 1:
            job = executor.submit(*calls[0])
        else:
            job = executor.map_array(calls[0][0], *zip(*(call[1:] for call in calls), strict=True))[0]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError, OSError) as error:
        raise InputError(f"Slurm refuses the job of run {run.id}: {_refusal(error)}") from error
    return str(job.job_id).partition("_")[0]


def _threads(settings: SlurmSettings, run: Run) -> list[str]:
    """Return what shares the job's cores between the processes that train one model."""
    each = max(1, settings.cpus // int(run.status.get("processes") or 1))
    return [f"export {name}={each}" for name in ("SGM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")]


def _refusal(error: BaseException) -> str:
    """Return the lines of sbatch's among what submitit says of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(("sbatch:", "srun:"))]
    return " ".join(own or lines[-1:]) or type(error).__name__


def _last_line(run: Run) -> str:
    for path in reversed(Slurm().logs(run)):
        lines = path.read_text(errors="replace").strip().splitlines()
        if lines:
            return " ".join(lines[-1].split())
    return "its job printed nothing"
