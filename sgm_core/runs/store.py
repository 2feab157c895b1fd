"""All runs: make, open, list, cancel and pause them; which one is the latest."""

import hashlib
import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sgm_core import home, temporary
from sgm_core.access import acts, require
from sgm_core.errors import InputError, NotFoundError
from sgm_core.model.bundle import weights_hash
from sgm_core.runs.launchers import launcher_of
from sgm_core.runs.plain import plain
from sgm_core.runs.provenance import code_version, hardware
from sgm_core.runs.run import PAUSE, SCHEMA, TRAININGS, Run, now
from sgm_core.runs.states import ACTIVE, ENDED, LATEST, STATES, check_priority
from sgm_core.runs.titles import corpus_of, run_title
from sgm_core.saved.code import deciding_code

__all__ = [
    "ACTIVE",
    "ENDED",
    "KINDS",
    "LATEST",
    "STATES",
    "Run",
    "cancel_run",
    "create_run",
    "latest_run",
    "link_latest",
    "list_runs",
    "open_run",
    "pause_run",
]

KINDS = (
    "pretrain",
    "finetune",
    "compare",
    "sweep",
    "import",
    "umap",
    "differential",
    "prerank",
    "export",
    "model",
    "annotate",
)
FROM_FILES = ("import", "annotate")
"""Kinds that need no dataset: an import makes it, an annotation's stands for its model."""
CANCEL_GRACE_S = 10.0  # from the wish to the signal


def create_run(
    kind: str,
    dataset: str,
    parameters: dict[str, Any],
    title: str | None = None,
    run_id: str | None = None,
    device: str = "auto",
    priority: int = 0,
) -> Run:
    """Make the folder of a new run in the state ``queued``; nothing is started.

    The ID of a compare run follows from all that decides its numbers: its parameters, the datasets' content,
    the imported weights and the code. So asking for the same comparison again returns the run that exists,
    whatever its state, and an update of the program makes a new one.

    Raises
    ------
    Forbidden
        If the role of who asks does not allow it.
    InputError
        If the kind is unknown, the name or ID can't be a folder's name, or the priority is out of range.
    NotFoundError
        If the dataset does not exist (imports and annotations need none).
    """
    require("launch", f"{kind} of {dataset}")
    if kind not in KINDS:
        raise InputError(f"unknown kind of run {kind!r}: the kinds are {', '.join(KINDS)}")
    home.check_name(dataset, "dataset name")
    check_priority(priority)
    parameters = plain(parameters)
    if kind in FROM_FILES:
        # The worker has another working directory. An alias table may be a registered name instead of a file.
        for key in ("path", "genes", "aliases", "cells"):
            value = parameters.get(key)
            if value and (key == "path" or Path(value).expanduser().exists()):
                parameters[key] = str(Path(value).expanduser().resolve())
    content_hash = None if kind in FROM_FILES else _dataset_hash(dataset, kind)
    corpus = {name: _dataset_hash(name, kind) for name in corpus_of(parameters)}
    run_id = check_id(run_id or _new_id(kind, dataset, parameters, content_hash, corpus))
    created = now()
    path = home.folder("runs") / run_id
    try:
        with home.whole_folder(path) as folder:
            home.write_json(
                folder / "config.json",
                {
                    "schema": SCHEMA,
                    "kind": kind,
                    "dataset": dataset,
                    "title": title or run_title(kind, dataset, parameters),
                    "parameters": parameters,
                    "dataset_hash": content_hash,
                    **({"corpus_hashes": corpus} if corpus else {}),
                    "seed": parameters.get("seed"),
                    "code_version": code_version(),
                    "hardware": hardware(),
                    "created": created,
                },
            )
            times = {"created": created, "queued": created}
            state = {"state": "queued", **times, "device": device, "priority": priority, "pid": None}
            rest = dict.fromkeys(("process_started", "started", "finished", "progress", "error"))
            home.write_json(folder / "status.json", state | rest)
    except (InputError, OSError):
        if kind not in ("compare", "differential", "prerank") or not (path / "config.json").exists():
            raise
        if Run(path).state in ENDED:
            Run(path).update(priority=priority)  # it queues as it is asked for now; one that waits is moved
    if kind in TRAININGS:
        link_latest()
    return Run(path)


def check_id(run_id: str) -> str:
    """Return `run_id` if a run's folder can have it.

    Raises
    ------
    InputError
        If it can't be a folder's name, or is `LATEST`.
    """
    if run_id == LATEST:
        raise InputError(f"run ID {run_id!r} can't be used: it stands for the newest training")
    return home.check_name(run_id, "run ID")


def open_run(run_id: str) -> Run:
    """Return the run with this ID; ``latest`` is the training that was asked for last.

    Raises
    ------
    NotFoundError
        If there is none.
    InputError
        If a later version of the program made it.
    """
    if run_id == LATEST:
        newest = latest_run()
        if newest is None:
            raise NotFoundError("no training yet: `sgm pretrain --help` says how to start one")
        run_id = newest.id
    path = home.folder("runs") / home.check_name(run_id, "run ID")
    if not (path / "status.json").exists():
        raise NotFoundError(f"no run {run_id!r} in {path.parent}: `sgm runs list` shows the runs that exist")
    run = Run(path)
    run.check_schema()
    return run


def latest_run() -> Run | None:
    """Return the training that was asked for last: maps, imports and questions are asides."""
    return next((run for run in list_runs() if run.kind in TRAININGS), None)


def link_latest() -> None:
    """Let the symbolic link ``runs/latest`` lead to the latest run's folder, for people and their scripts.

    Nothing here reads it. Where the disk knows no links, or is full, there is none.
    """
    link, newest = home.folder("runs") / LATEST, latest_run()
    with suppress(OSError):
        if newest is None:
            link.unlink(missing_ok=True)
        elif not link.is_symlink() or os.readlink(link) != newest.id:
            new = temporary.reserve(link, home.home())
            new.symlink_to(newest.id)
            new.replace(link)


def list_runs() -> list[Run]:
    """Return all runs, newest first; those whose process died are marked lost."""
    runs = []
    for path in home.folder("runs").iterdir():
        if path.name.startswith(".") or path.name == LATEST or not path.is_dir():
            continue
        run = Run(path)
        try:
            run.status  # noqa: B018
            runs.append((run.config["created"], run))
        except (OSError, ValueError, KeyError):
            continue  # a folder that someone damaged must not hide the others
    return [run for _, run in sorted(runs, key=lambda pair: (pair[0], pair[1].id), reverse=True)]


@acts("cancel")
def cancel_run(run_id: str) -> Run:
    """Ask a queued or running run to stop; returns at once.

    A queued run is cancelled right away. A running one sees the wish at its next `Run.check`; when that takes
    longer than `CANCEL_GRACE_S` its worker turns to a signal, and so does asking again. Jobs that wait in
    Slurm's queue are taken back.

    Raises
    ------
    InputError
        If the run has ended already.
    """
    run = open_run(run_id)
    status = run.status
    if status["state"] not in ACTIVE:
        raise InputError(f"run {run.id} is {status['state']}: there is nothing to cancel")
    asked = run.cancel_asked()
    run.ask_cancel()
    launcher = launcher_of(status)
    if launcher.started(status):
        launcher.withdraw(status)
    if status["state"] == "queued":
        run.finish("cancelled")
    elif asked is not None and asked > CANCEL_GRACE_S and run.process_alive():
        launcher.stop(status)
    return run


@acts("pause")
def pause_run(run_id: str) -> Run:
    """Ask a queued or running training to stop and keep its checkpoint; returns at once.

    A queued run is paused right away, a running one after its step. Resuming goes on from there.

    Raises
    ------
    InputError
        If the run has ended already, or is of a kind that keeps nothing of what is half done.
    """
    run = open_run(run_id)
    status = run.status
    state, launcher = status["state"], launcher_of(status)
    if state not in ACTIVE:
        raise InputError(f"run {run.id} is {state}: there is nothing to pause")
    if run.kind not in TRAININGS:
        raise InputError(f"a run of kind {run.kind!r} keeps nothing of what is half done: cancel it instead")
    run.ask(PAUSE)
    if launcher.started(status):
        launcher.withdraw(status)
    if state == "queued":
        run.finish("paused", f"paused before it began; {run.when_resumed}")
    return run


def _dataset_hash(name: str, kind: str) -> str:
    from sgm_core.cells.dataset import open_dataset

    dataset = open_dataset(name)
    if kind != "export":  # coordinates and labels can be written, too
        dataset.require_counts(f"a run of kind {kind!r}")
    return dataset.content_hash


def _new_id(
    kind: str, dataset: str, parameters: dict[str, Any], content_hash: str | None, corpus: dict[str, str]
) -> str:
    stem = f"{kind}-{dataset[:36]}"
    if kind == "compare":
        weights = weights_hash(str(parameters.get("backbone", "")))
        decides = [parameters, content_hash, weights, deciding_code(), *([corpus] if corpus else [])]
        text = json.dumps(decides, sort_keys=True)
        return f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    stem += datetime.now(UTC).strftime("-%y%m%d-%H%M%S")
    number, taken = 1, home.folder("runs")
    while (taken / (name := stem if number == 1 else f"{stem}-{number}")).exists():
        number += 1
    return name
