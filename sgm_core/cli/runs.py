"""``sgm runs``: what runs exist, how they go; pause, stop, resume, pack and delete them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.cli import app
from sgm_core.cli.frame import Output, add_command
from sgm_core.cli.train import add_launcher
from sgm_core.errors import InputError
from sgm_core.runs import EXPORTED
from sgm_core.units import size

if TYPE_CHECKING:
    from sgm_core.progress import Observer

_LOG_LINES = 10


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm runs`` and ``sgm app``."""
    runs = sub.add_parser("runs", help="list, follow, pause, stop, resume, export, import and delete runs")
    group = runs.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_command(group, "list", "list all runs, newest first", _list)
    for name, help, handler in (
        ("show", "show a run: state, progress, parameters, tables and the end of its log", _show),
        ("cancel", "stop a queued or running run", _cancel),
        ("pause", "stop a training after its step and keep its checkpoint, to go on later", _pause),
        (
            "resume",
            "start a paused, failed, cancelled or lost run again: a training goes on from its last "
            "checkpoint, a comparison keeps its finished tasks too",
            _resume,
        ),
        ("export", f"pack a run's folder as a zip file: {EXPORTED}", _export),
        ("delete", "move a run to the trash, which keeps it for a week", _delete),
        ("restore", "take a deleted run back from the trash", _restore),
    ):
        parser = add_command(group, name, help, handler)
        parser.add_argument("run", metavar="ID", help="ID of the run (sgm runs list)")
        if name == "export":
            parser.add_argument(
                "--out", type=Path, metavar="ZIP", help="the file to write, by default ./ID.zip"
            )
        elif name == "resume":
            how = parser.add_mutually_exclusive_group()
            how.add_argument("--anew", action="store_true", help="forget the checkpoint and start over")
            how.add_argument(
                "--other-code", action="store_true", help="go on with a checkpoint that other code made"
            )
            add_launcher(parser)
        elif name == "delete":
            parser.add_argument("--yes", action="store_true", help="don't ask")
    parser = add_command(group, "import", "unpack a run that was exported, on another machine too", _import)
    parser.add_argument("file", type=Path, metavar="ZIP", help="what `sgm runs export` wrote")
    add_command(group, "trash", "list the deleted runs", _trash)
    app.register(sub)


def _list(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import list_runs

    rows = [
        {"id": run.id, "title": run.title, "kind": run.kind, "bytes": run.size(), **run.status}
        for run in list_runs()
    ]
    if not rows:
        return Output(
            {"runs": []}, "no runs yet: `sgm app` starts the demo, `sgm pretrain --help` says how to train"
        )
    width = max(len(row["id"]) for row in rows)
    lines = []
    for row in rows:
        begins = f"{row['id']:{width}}  {row['state']:9}  {row['created'][:16]}"
        lines.append(f"{begins}  {size(row['bytes']):>8}  {_advance(row)}")
    lines.append(f"{size(sum(row['bytes'] for row in rows))} in all")
    return Output({"runs": rows}, "\n".join(line.rstrip() for line in lines))


def _show(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.launchers import launcher_of
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    status = run.status
    log = run.log_tail(_LOG_LINES)
    data = {"id": run.id, "path": run.path, "config": run.config, "status": status, "tables": run.tables()}
    facts = {
        "run": f"{run.id}  ({run.title})",
        "state": f"{status['state']}  {_advance(status)}".strip(),
        **({"launcher": who} if (who := launcher_of(status).named(status)) else {}),
        "dataset": run.dataset_name,
        "folder": f"{run.path}  ({size(run.size())})",
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


def _pause(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import pause_run

    state = pause_run(args.run).state
    text = f"{args.run} is paused" if state == "paused" else f"{args.run} pauses after its step"
    return Output({"id": args.run, "state": state}, f"{text}: `sgm runs resume {args.run}` goes on")


def _resume(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.resume import resume_run

    run = resume_run(args.run, args.anew, args.other_code, args.launcher, args.processes)
    return Output(
        {"id": run.id, "state": run.state, "resuming": run.when_resumed},
        f"{run.id} is {run.state}: `sgm runs show {run.id}` follows it; {run.when_resumed}",
    )


def _export(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.carry import export_run

    path = export_run(args.run, args.out or Path(f"{args.run}.zip"))
    return Output({"id": args.run, "path": path, "bytes": path.stat().st_size}, str(path))


def _import(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.carry import import_run

    run = import_run(args.file)
    return Output({"id": run.id, "state": run.state}, f"{run.id} is here ({run.state}, {size(run.size())})")


def _delete(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import open_run
    from sgm_core.runs.trash import KEPT_DAYS, built_on, delete_run

    run, others = open_run(args.run), built_on(args.run)
    named = f"; {', '.join(others)} started from it" if others else ""
    if not args.yes:
        if not sys.stdin.isatty():
            raise InputError(f"deleting {run.id} ({size(run.size())}{named}) needs --yes")
        question = f"Delete {run.id}, {run.title} ({size(run.size())}{named})? [y/N] "
        print(question, end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return Output({"id": run.id, "deleted": False}, "nothing was deleted")
    delete_run(run.id)
    undo = f"`sgm runs restore {run.id}` takes it back within {KEPT_DAYS} days"
    return Output({"id": run.id, "deleted": True, "built_on": others}, f"{run.id} is deleted{named}: {undo}")


def _restore(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.trash import restore_run

    run = restore_run(args.run)
    return Output({"id": run.id, "state": run.state}, f"{run.id} is back ({run.state})")


def _trash(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.trash import KEPT_DAYS, deleted_runs

    rows = deleted_runs()
    lines = [
        f"{row['id']}  {row['title']}, deleted {row['deleted'][:16]}, {size(row['bytes'])}" for row in rows
    ]
    return Output({"runs": rows}, "\n".join(lines) or f"the trash is empty; it keeps runs {KEPT_DAYS} days")


def _advance(status: dict[str, Any]) -> str:
    """Say how far an active run is, or why another one ended."""
    progress = status.get("progress")
    if status["state"] == "queued":
        from sgm_core.runs.launchers import launcher_of

        waits = launcher_of(status).waits_for(status)
        return f"waits for {waits}" if waits else ""
    if status["state"] != "running" or not progress:
        return status.get("error") or ""
    share = 100 * progress["done"] / progress["total"] if progress["total"] else 0.0
    left = f", {progress['eta_s'] / 60:.1f} min left" if progress["eta_s"] is not None else ""
    return f"{share:.0f} %{left}  {progress['what']}"
