"""What jobs under Slurm ask for: the table ``[slurm]`` of the home's ``config.toml``."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from sgm_core.configuration import configuration_file, read_configuration
from sgm_core.errors import InputError

_TIME = re.compile(r"(\d+-)?\d+(:\d+){0,2}")
_MEMORY = re.compile(r"\d+[KMGT]?B?", re.IGNORECASE)
_FLAG = re.compile(r"[a-z][a-z-]*")
OWN = {"array", "dependency", "error", "job-name", "open-mode", "output", "requeue", "signal"}
"""Options of sbatch that the program sets itself."""


@dataclass(frozen=True)
class SlurmSettings:
    """Options of a job; what is not given is left to the cluster.

    Attributes
    ----------
    partition, account, qos : as for sbatch
    time : longest time of a job, as for sbatch ("1-00:00:00" or minutes); a longer run is queued again
    gpus : graphics cards of a job
    cpus : cores of a job
    memory : of a job, such as "32G"
    parallel : most tasks of a comparison that run at once
    warning : seconds before the time limit at which a run keeps its checkpoint and is queued again
    options : further options of sbatch, such as {constraint = "a100"}
    setup : lines of shell that a job runs first, such as "module load cuda"
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    gpus: int | None = None
    cpus: int = 1
    memory: str | None = None
    parallel: int = 256
    warning: int = 120
    options: dict[str, Any] = field(default_factory=dict)
    setup: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("partition", "account", "qos", "time", "memory"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value and "\n" not in value):
                raise _wrong(name, value, "give text in quotes")
        for name, low in (("gpus", 0), ("cpus", 1), ("parallel", 1), ("warning", 10)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < low):
                raise _wrong(name, value, f"give a whole number from {low} up")
        if self.time is not None and not _TIME.fullmatch(self.time):
            raise _wrong("time", self.time, 'write it as for sbatch, such as "1-00:00:00"')
        if self.memory is not None and not _MEMORY.fullmatch(self.memory):
            raise _wrong("memory", self.memory, 'write it as for sbatch, such as "32G"')
        if not isinstance(self.options, dict) or not all(map(_FLAG.fullmatch, self.options)):
            raise _wrong("options", self.options, 'write it as { constraint = "a100" }')
        if own := sorted(OWN & set(self.options)):
            raise _wrong("options", own[0], "the program sets that option itself")
        if not isinstance(self.setup, tuple) or not all(isinstance(line, str) for line in self.setup):
            raise _wrong("setup", self.setup, 'give a list of lines, such as ["module load cuda"]')

    def given(self) -> dict[str, Any]:
        """Return what differs from the defaults, for people."""
        return {
            one.name: value
            for one in dataclasses.fields(self)
            if (value := getattr(self, one.name)) not in (None, {}, ())
        }

    @property
    def memory_bytes(self) -> int | None:
        """Bytes of memory of a job, if they are given; a plain number is in megabytes, as for sbatch."""
        if self.memory is None:
            return None
        text = self.memory.upper().removesuffix("B")
        unit = text[-1] if text[-1] in "KMGT" else "M"
        return int(text.rstrip("KMGT")) * 1024 ** ("KMGT".index(unit) + 1)


def slurm_settings() -> SlurmSettings:
    """Return the settings of this home folder.

    Raises
    ------
    InputError
        If one is unknown or has a value that can't be.
    """
    table = read_configuration().get("slurm", {})
    known = [one.name for one in dataclasses.fields(SlurmSettings)]
    if not isinstance(table, dict) or (unknown := [name for name in table if name not in known]):
        what = f"unknown setting {unknown[0]!r}" if isinstance(table, dict) else "slurm is no table"
        raise InputError(f"{configuration_file().name}, [slurm]: {what}: the settings are {', '.join(known)}")
    if isinstance(table.get("setup"), list):
        table = table | {"setup": tuple(table["setup"])}
    return SlurmSettings(**table)


def more_memory() -> str:
    """Return what to do where a job's memory does not do."""
    return f"raise memory in [slurm] of {configuration_file()}, or take a smaller batch_size or backbone"


def _wrong(name: str, value: object, advice: str) -> InputError:
    return InputError(f"{configuration_file().name}, [slurm]: {name} is {value!r}: {advice}")
