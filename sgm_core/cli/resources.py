"""`sgm resources`: gene sets, aliases, transcription factors and signatures, registered once."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    from sgm_core.progress import Observer
    from sgm_core.resources.store import Resource


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm resources`` and its commands."""
    parser = sub.add_parser("resources", help="gene sets, aliases, transcription factors, signatures")
    group = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    kinds = "genesets, aliases, transcription-factors or signatures"
    add = add_command(group, "add", "check a file and register it for every dataset and run", _add)
    add.add_argument("kind", metavar="KIND", help=kinds)
    add.add_argument("file", metavar="FILE", help="GMT, alias table or list of genes")
    add.add_argument("--name", help="its name (default: the file's)")
    listing = add_command(group, "list", "list what is registered", _list)
    listing.add_argument("kind", metavar="KIND", nargs="?", help=kinds)
    fetch = add_command(group, "fetch", "download an Enrichr gene-set library", _fetch)
    fetch.add_argument("name", metavar="NAME", nargs="?", default="GO_Biological_Process_2021")


def _add(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.resources.store import add_resource

    return _one(add_resource(args.kind, args.file, args.name))


def _fetch(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.resources.store import fetch_library

    return _one(fetch_library(args.name))


def _list(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.resources.store import list_resources

    found = list_resources(args.kind)
    if not found:
        return Output({"resources": []}, f"none yet: add one with 'sgm resources add {args.kind} FILE'")
    return Output({"resources": [asdict(each) for each in found]}, "\n".join(map(_line, found)))


def _one(resource: Resource) -> Output:
    return Output(asdict(resource), _line(resource))


def _line(resource: Resource) -> str:
    return f"{resource.kind:<22} {resource.name:<32} {resource.description}"
