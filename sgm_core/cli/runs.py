"""``sgm runs``: what runs exist, how they go; stop, resume and pack them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.cli import app
from sgm_core.cli.frame import Output, add_command
from sgm_core.runs import EXPORTED

if TYPE_CHECKING:
    from sgm_core.progress import Observer

_LOG_LINES = 10


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm runs`` and ``sgm app``."""
    runs = sub.add_parser("runs", help="list, follow, stop, resume and export runs")
    group = runs.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_command(group, "list", "list all runs, newest first", _list)
    for name, help, handler in (
        ("show", "show a run: state, progress, parameters, tables and the end of its log", _show),
        ("cancel", "stop a queued or running run", _cancel),
        (
            "resume",
            "start a failed, cancelled or lost run again; a comparison keeps its finished tasks",
            _resume,
        ),
        ("export", f"pack a run's folder as a zip file: {EXPORTED}", _export),
    ):
        parser = add_command(group, name, help, handler)
        parser.add_argument("run", metavar="ID", help="ID of the run (sgm runs list)")
        if name == "export":
            parser.add_argument(
                "--out", type=Path, metavar="ZIP", help="the file to write, by default ./ID.zip"
            )
    app.register(sub)


def _list(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import list_runs

    rows = [{"id": run.id, "title": run.title, "kind": run.kind, **run.status} for run in list_runs()]
    if not rows:
        return Output(
            {"runs": []}, "no runs yet: `sgm app` starts the demo, `sgm pretrain --help` says how to train"
        )
    width = max(len(row["id"]) for row in rows)
    lines = [f"{row['id']:{width}}  {row['state']:9}  {row['created'][:16]}  {_advance(row)}" for row in rows]
    return Output({"runs": rows}, "\n".join(line.rstrip() for line in lines))


def _show(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    status = run.status
    log = run.log_tail(_LOG_LINES)
    data = {"id": run.id, "path": run.path, "config": run.config, "status": status, "tables": run.tables()}
    facts = {
        "run": f"{run.id}  ({run.title})",
        "state": f"{status['state']}  {_advance(status)}".strip(),
        "dataset": run.dataset_name,
        "folder": run.path,
        "made with": f"sgm-core {run.config['code_version']} on {run.config['hardware']['cpu']}",
        "tables": ", ".join(run.tables()) or "none yet",
        "parameters": ", ".join(f"{key}={value}" for key, value in run.parameters.items()),
    }
    text = "\n".join(f"{key:11} {value}" for key, value in facts.items())
    return Output(data | {"log": log.splitlines()}, f"{text}\n\n{log}".rstrip())


def _cancel(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import cancel_run

    state = cancel_run(args.run).state
    text = f"{args.run} is cancelled" if state == "cancelled" else f"{args.run} stops at its next step"
    return Output({"id": args.run, "state": state}, text)


def _resume(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.errors import InputError
    from sgm_core.runs.launch import launch
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    if run.state == "done":
        raise InputError(f"run {run.id} is done: there is nothing to resume")
    launch(run)
    return Output(
        {"id": run.id, "state": run.state, "resuming": run.when_resumed},
        f"{run.id} is {run.state}: `sgm runs show {run.id}` follows it; {run.when_resumed}",
    )


def _export(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import export_run

    path = export_run(args.run, args.out or Path(f"{args.run}.zip"))
    return Output({"id": args.run, "path": path, "bytes": path.stat().st_size}, str(path))


def _advance(status: dict[str, Any]) -> str:
    """Say how far an active run is, or why another one ended."""
    progress = status.get("progress")
    if status["state"] != "running" or not progress:
        return status.get("error") or ""
    share = 100 * progress["done"] / progress["total"] if progress["total"] else 0.0
    left = f", {progress['eta_s'] / 60:.1f} min left" if progress["eta_s"] is not None else ""
    return f"{share:.0f} %{left}  {progress['what']}"
