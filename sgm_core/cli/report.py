"""``sgm report``: a run as one document to send."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    from sgm_core.progress import Observer


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm report``."""
    from sgm_core.report import FORMATS

    parser = add_command(sub, "report", "write what a run did and found as one document to send", _report)
    parser.add_argument(
        "run", metavar="RUN", help="ID of a comparison, pretraining or finetuning (sgm runs list)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="the file or folder to write (default: ./RUN.html, .md or RUN)",
    )
    meanings = "; ".join(f"{name} = {meaning}" for name, meaning in FORMATS.items())
    parser.add_argument(
        "--format", choices=list(FORMATS), help=f"{meanings} (default: by the ending of --out, else html)"
    )
    parser.add_argument(
        "--genesets", metavar="NAME",
        help="registered gene sets for the enrichment (default: the first of your own; sgm resources list)",
    )  # fmt: skip


def _report(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.api import write_report
    from sgm_core.runs.store import open_run

    run = open_run(args.run)
    form = args.format or _form(args.out)
    ending = "" if form == "folder" else f".{form}"
    path = write_report(run, args.out or Path(f"{run.id}{ending}"), form, args.genesets, observer)
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")))
    return Output({"run": run.id, "path": path, "format": form, "bytes": size}, str(path))


def _form(out: Path | None) -> str:
    if out is None or out.suffix.lower() in (".html", ".htm"):
        return "html"
    return "md" if out.suffix.lower() in (".md", ".markdown") else "folder" if not out.suffix else "html"
