"""``sgm review``: verdicts on masked genes, as the page Review has them; out and in as CSV and JSON."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.progress import Observer


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm review``."""
    parser = sub.add_parser("review", help="what reviewers say of masked genes: list, export, import")
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listed = add_command(group, "list", "the verdicts, agreement, genes on which reviewers differ", _list)
    listed.add_argument("run", nargs="?", metavar="RUN", help="ID of a run (default: all runs)")
    listed.add_argument("--gene", metavar="SYMBOL", help="the whole history of one gene")
    listed.add_argument("--reviewer", metavar="NAME", help="the verdicts of one reviewer")
    export = add_command(group, "export", "write verdicts as a file", _export)
    export.add_argument("run", nargs="?", metavar="RUN", help="ID of a run (default: all runs)")
    export.add_argument(
        "--out", required=True, metavar="X.csv|X.json",
        help="csv: the verdicts that hold, safe in spreadsheets; json: the whole history",
    )  # fmt: skip
    load = add_command(
        group,
        "import",
        "take verdicts from a file: nothing twice, nothing overwritten",
        _import,
    )
    load.add_argument("file", metavar="X.csv|X.json", help="an export, or a table: gene, reviewer, verdict")
    load.add_argument(
        "--run",
        metavar="RUN",
        help="take this run's rows alone; needed for a table without the column run",
    )


def _list(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.review import history, verdicts
    from sgm_core.runs.store import open_run

    if args.run:
        args.run = open_run(args.run).id  # a wrong ID is an error, not a run without verdicts
    if args.gene:
        steps = history(args.run, args.gene)
        text = _text(steps.drop(columns=["id", "gene", "statistics_version"])) if len(steps) else ""
        return Output({"history": steps.to_dict("records")}, text or f"nobody has judged {args.gene} yet")
    held = verdicts(args.run)
    if args.reviewer:
        held = held[held["reviewer"] == args.reviewer]
    of = [_run(run, rows) for run, rows in held.groupby("run")]
    return Output(
        {"verdicts": held.to_dict("records"), "runs": [data for data, _ in of]},
        "\n\n".join(text for _, text in of) or "no verdicts yet: the page Review of `sgm app` takes them",
    )


def _run(run: Any, held: pd.DataFrame) -> tuple[dict[str, Any], str]:
    """Return what a run's verdicts say together, as data and as text."""
    from dataclasses import asdict

    from sgm_core.review import agreement, consensus, disagreements, summary_sentence
    from sgm_core.review.agreement import agreement_sentence

    found, differ, said = agreement(held), disagreements(held), consensus(held)
    sentences = [summary_sentence(held), agreement_sentence(found)]
    lines = [f"{run}: {'. '.join(filter(None, sentences))}."]
    lines += [_text(held[["gene", "reviewer", "verdict", "tags", "comment", "ranking", "time"]])]
    if len(differ):
        lines += ["", f"Reviewers differ on {len(differ):,}:", _text(differ[["gene", "said"]])]
    data = {
        "run": run, "kind": found.kind, "agreement": asdict(found.kappa) if found.kappa else None,
        "pairs": found.pairs.to_dict("records"), "genes": said.to_dict("records"),
        "disagreements": differ.to_dict("records"),
    }  # fmt: skip
    return data, "\n".join(lines)


def _export(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.review import export_verdicts, history, verdicts
    from sgm_core.runs.store import open_run

    if args.run:
        args.run = open_run(args.run).id
    path = export_verdicts(args.out, args.run)
    what, rows = ("steps", history) if path.suffix.lower() == ".json" else ("verdicts", verdicts)
    n = len(rows(args.run))
    return Output({"path": path, what: n}, f"{path}: {n:,} {what if n != 1 else what[:-1]}")


def _import(args: argparse.Namespace, observer: Observer) -> Output:
    from dataclasses import asdict

    from sgm_core.review import import_verdicts

    found = import_verdicts(args.file, args.run)
    return Output(asdict(found), found.sentence)


def _text(table: pd.DataFrame) -> str:
    """Return a table for the terminal; what people wrote stays on its line."""
    shown = table.map(lambda value: "" if value is None else " ".join(str(value).split()))
    return shown.to_string(index=False, justify="left", max_colwidth=60)
