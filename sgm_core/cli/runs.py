"""``sgm runs``: what runs exist, how they go; pause, stop, resume, move, label, pack and delete them."""

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
from sgm_core.runs.states import HIGHEST, LATEST, MOVES, STATES
from sgm_core.runs.trackers import TRACKERS
from sgm_core.units import count, size

if TYPE_CHECKING:
    from sgm_core.progress import Observer

_LOG_LINES = 10


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm runs`` and ``sgm app``."""
    what = "list, follow, pause, stop, resume, move, label, export, import and delete runs"
    runs = sub.add_parser("runs", help=what, description=f"{what}; ID may be {LATEST!r}, the newest training")
    group = runs.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parser = add_command(group, "list", "list runs, newest first", _list)
    parser.add_argument("--text", default="", metavar="WORDS", help="all in title, ID, dataset, tags or note")
    parser.add_argument("--tag", nargs="+", default=[], metavar="TAG", help="those that have every tag")
    parser.add_argument("--state", nargs="+", default=[], choices=STATES, help="those in one of the states")
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
        ("move", "change the place of a run that waits in its queue", _move),
        ("tag", "give a run tags, or take them away", _tag),
        ("note", "show or replace the note on a run", _note),
        ("delete", "move a run to the trash, which keeps it for a week", _delete),
        ("restore", "take a deleted run back from the trash", _restore),
    ):
        parser = add_command(group, name, help, handler)
        parser.add_argument("run", metavar="ID", help=f"ID of the run (sgm runs list), or {LATEST}")
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
        elif name == "move":
            where = parser.add_mutually_exclusive_group(required=True)
            where.add_argument("where", nargs="?", choices=MOVES, help="its new place")
            where.add_argument(
                "--priority", type=int, metavar="N",
                help=f"from -{HIGHEST} to {HIGHEST}, 0 at first; higher ones go first",
            )  # fmt: skip
        elif name == "tag":
            parser.add_argument("tags", nargs="*", metavar="TAG", help="tags to give")
            parser.add_argument("--remove", nargs="+", default=[], metavar="TAG", help="tags to take away")
        elif name == "note":
            parser.add_argument("text", nargs="?", help="the new note; '' takes it away; none shows it")
        elif name == "delete":
            parser.add_argument("--yes", action="store_true", help="don't ask")
    parser = add_command(
        group, "export-to", "hand runs to TensorBoard or MLflow, which need their package", _track
    )
    parser.add_argument("tracker", choices=TRACKERS)
    parser.add_argument("runs", nargs="+", metavar="ID", help=f"IDs of runs, or {LATEST}")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="made if it is not there")
    parser = add_command(group, "import", "unpack a run that was exported, on another machine too", _import)
    parser.add_argument("file", type=Path, metavar="ZIP", help="what `sgm runs export` wrote")
    add_command(group, "trash", "list the deleted runs", _trash)
    app.register(sub)


def _list(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.find import find_runs
    from sgm_core.runs.labels import labels_of
    from sgm_core.runs.store import list_runs
    from sgm_core.runs.summaries import summaries

    everything = list_runs()
    runs = find_runs(everything, args.text, args.tag, args.state)
    rows = [
        {
            "id": run.id, "title": run.title, "kind": run.kind, "tags": labels_of(run).tags,
            "bytes": summary.bytes if summary else 0, **run.status,
        }
        for run, summary in zip(runs, summaries(runs), strict=True)
    ]  # fmt: skip
    if not everything:
        return Output(
            {"runs": []}, "no runs yet: `sgm app` starts the demo, `sgm pretrain --help` says how to train"
        )
    if not rows:
        return Output({"runs": []}, f"none of {len(everything):,} runs fits")
    width = max(len(row["id"]) for row in rows)
    lines = []
    for row in rows:
        begins = f"{row['id']:{width}}  {row['state']:9}  {row['created'][:16]}"
        tags = "".join(f"#{tag} " for tag in row["tags"])
        lines.append(f"{begins}  {size(row['bytes']):>8}  {tags}{_advance(row)}")
    lines.append(f"{size(sum(row['bytes'] for row in rows))} in all")
    return Output({"runs": rows}, "\n".join(line.rstrip() for line in lines))


def _show(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.labels import labels_of
    from sgm_core.runs.launchers import launcher_of
    from sgm_core.runs.order import places
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    status, labels = run.status, labels_of(run)
    log = run.log_tail(_LOG_LINES)
    place, waiting = places().get(run.id, (0, 0))
    data = {
        "tags": labels.tags,
        "note": labels.note,
        "place": place or None,
        "id": run.id,
        "path": run.path,
        "config": run.config,
        "status": status,
        "tables": run.tables(),
    }
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
    if place:
        facts["place"] = f"{place} of {waiting} that wait, priority {status.get('priority', 0)}"
    facts |= {"tags": ", ".join(labels.tags)} if labels.tags else {}
    facts |= {"note": labels.note} if labels.note else {}
    text = "\n".join(f"{key:11} {value}" for key, value in facts.items())
    return Output(data | {"log": log.splitlines()}, f"{text}\n\n{log}".rstrip())


def _cancel(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import cancel_run

    run = cancel_run(_id(args))
    state = run.state
    text = f"{run.id} is cancelled" if state == "cancelled" else f"{run.id} stops at its next step"
    return Output({"id": run.id, "state": state}, text)


def _pause(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import pause_run

    run = pause_run(_id(args))
    state = run.state
    text = f"{run.id} is paused" if state == "paused" else f"{run.id} pauses after its step"
    return Output({"id": run.id, "state": state}, f"{text}: `sgm runs resume {run.id}` goes on")


def _resume(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.resume import resume_run

    run = resume_run(_id(args), args.anew, args.other_code, args.launcher, args.processes)
    return Output(
        {"id": run.id, "state": run.state, "resuming": run.when_resumed},
        f"{run.id} is {run.state}: `sgm runs show {run.id}` follows it; {run.when_resumed}",
    )


def _export(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.carry import export_run
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    path = export_run(run.id, args.out or Path(f"{run.id}.zip"))
    return Output({"id": run.id, "path": path, "bytes": path.stat().st_size}, str(path))


def _track(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.store import open_run
    from sgm_core.runs.trackers import export_to

    runs = [open_run(run_id) for run_id in args.runs]
    paths = export_to(args.tracker, runs, args.to)
    shown = {
        "tensorboard": f"tensorboard --logdir {args.to}",
        "mlflow": f"mlflow ui --backend-store-uri sqlite:///{paths[0]}",
    }[args.tracker]
    data = {"runs": [run.id for run in runs], "paths": paths}
    return Output(
        data, f"{count(len(runs), 'run')} in {args.to}: `{shown}` shows {'it' if len(runs) == 1 else 'them'}"
    )


def _move(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.order import move_run, places, set_priority

    run = move_run(_id(args), args.where) if args.where else set_priority(_id(args), args.priority)
    priority = run.status.get("priority", 0)
    place, waiting = places().get(run.id, (0, 0))
    where = f"{place} of {waiting} that wait" if place else "not in a queue now"
    data = {"id": run.id, "priority": priority, "place": place or None}
    return Output(data, f"{run.id} has priority {priority}: {where}")


def _tag(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.labels import tag_run
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    tags = tag_run(run.id, args.tags, args.remove).tags
    return Output({"id": run.id, "tags": tags}, f"{run.id}: {', '.join(tags) or 'no tags'}")


def _note(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.runs.labels import labels_of, note_run
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    note = (labels_of(run) if args.text is None else note_run(run.id, args.text)).note
    return Output({"id": run.id, "note": note}, note or f"{run.id} has no note")


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


def _id(args: argparse.Namespace) -> str:
    """Return the ID of the run that is meant: an action is recorded with it, not with ``latest``."""
    from sgm_core.runs.store import open_run

    return open_run(args.run).id


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
