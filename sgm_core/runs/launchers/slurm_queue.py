"""What Slurm says of jobs: asked for all jobs at once, and seldom; and what it is told about them."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_FRESH_S = 2.5  # an answer holds so long
_SILENT_S = 30.0  # a Slurm that did not answer is left alone for so long: it takes 18 s to say so
_FORGET_S = 60.0  # jobs that nobody asked for so long are not asked for along with others
_LONGEST_S = 10.0
ENDED = (
    *("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL"),
    *("PREEMPTED", "REVOKED"),
)
"""States after which nothing comes; a job that is preempted and queued again is PENDING."""
UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Part:
    """A job, or one task of an array: its state, and why it waits."""

    state: str
    reason: str


@dataclass
class _Answers:
    """The answers so far, kept for a moment and shared by all threads."""

    parts: dict[str, tuple[Part, ...]] = field(default_factory=dict)
    when: dict[str, float] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    silent: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_answers = _Answers()


def parts_of(jobs: Sequence[str], fresh: bool = False) -> dict[str, tuple[Part, ...]] | None:
    """Return the parts of each job; None if Slurm does not answer.

    Parameters
    ----------
    jobs : their IDs; an array's is that of all its tasks
    fresh : ask now, whatever is known

    Returns
    -------
    dict
        A job that Slurm does not know (any more) has one part in the state `UNKNOWN`.
    """
    with _answers.lock:
        now = time.monotonic()
        for job in jobs:
            _answers.asked[job] = now
        if not fresh and all(now - _answers.when.get(job, -_FRESH_S) < _FRESH_S for job in jobs):
            return {job: _answers.parts[job] for job in jobs}
        if not fresh and _answers.silent is not None and now - _answers.silent < _SILENT_S:
            return None
        wanted = [job for job, when in _answers.asked.items() if now - when < _FORGET_S]
        found = _ask(wanted)
        _answers.silent = now if found is None else None
        if found is None:
            return None
        for job in wanted:
            _answers.parts[job], _answers.when[job] = found[job], time.monotonic()
        return {job: found[job] for job in jobs}


def scancel(jobs: Iterable[str], waiting_only: bool = False) -> None:
    """End jobs, or those of their tasks that wait; jobs that are not there any more are no error."""
    state = ("--state=PENDING",) if waiting_only else ()
    _run("scancel", *state, *jobs)


def requeue(job: str) -> str | None:
    """Let Slurm send a running job away and start it again later; returns why it refuses, if it does."""
    done = _run("scontrol", "requeue", job)
    return None if done is not None and done.returncode == 0 else _words(done)


def why_ended(job: str) -> str:
    """Return what Slurm does with a job that it has sent SIGTERM.

    Returns
    -------
    str
        ``preempted``: its place is wanted, and it still has it; ``ending``: it is cancelled or queued again,
        which can't be told apart before it is over; empty: nothing, the signal was another's.
    """
    done = _run("scontrol", "show", "job", job)
    text = done.stdout if done is not None else ""
    if "JobState=COMPLETING" in text:
        return "ending"
    when = re.search(r"\bPreemptTime=(\S+)", text)
    return "preempted" if when is not None and when[1] not in ("None", "N/A") else ""


def _ask(jobs: Sequence[str]) -> dict[str, tuple[Part, ...]] | None:
    done = _run("squeue", "--noheader", "--array", "--states=all", "--format=%F|%T|%r", "-j", ",".join(jobs))
    if done is None or (done.returncode and "Invalid job id" not in done.stderr):
        return None
    found: dict[str, list[Part]] = {job: [] for job in jobs}
    for line in done.stdout.splitlines():
        job, _, rest = line.partition("|")
        state, _, reason = rest.partition("|")
        if job in found:
            found[job].append(Part(state, reason))
    return {job: tuple(parts) or _remembered(job) for job, parts in found.items()}


def _remembered(job: str) -> tuple[Part, ...]:
    """Return the parts of a job that has left Slurm's queue, from its accounting where there is one."""
    known = _answers.parts.get(job)
    if known and all(part.state in (*ENDED, UNKNOWN) for part in known):
        return known
    done = _run("sacct", "-n", "-X", "-P", "-o", "State", "-j", job) if shutil.which("sacct") else None
    # "CANCELLED by 1000"
    states = [line.split()[0] for line in done.stdout.splitlines() if line.strip()] if done else []
    return tuple(Part(state, "") for state in states) or (Part(UNKNOWN, ""),)


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _words(done: subprocess.CompletedProcess[str] | None) -> str:
    return " ".join(done.stderr.split()) if done is not None and done.stderr else "Slurm does not answer"
