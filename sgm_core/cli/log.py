"""``sgm log``: who did what, when."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sgm_core.cli.frame import Output, add_command

if TYPE_CHECKING:
    from sgm_core.progress import Observer


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm log``."""
    parser = add_command(
        sub, "log", "who did what, when: launched, cancelled, deleted, imported, judged", _log
    )
    parser.add_argument("--last", type=int, default=30, metavar="N", help="how many, the latest (default 30)")
    parser.add_argument(
        "--who", default="", metavar="NAME", help="of one person; a part of the name is enough"
    )
    parser.add_argument("--action", default="", metavar="VERB", help="of one kind, such as delete")


def _log(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.access import read_actions

    rows = read_actions(args.last, args.who, args.action)
    return Output({"actions": rows}, "\n".join(map(_line, reversed(rows))) or "nothing was done yet")


def _line(row: dict[str, str]) -> str:
    when, who = row["time"][:19].replace("T", " "), f"{row['who']} ({row['role']})"
    how = ": ".join(filter(None, [row["outcome"], row["why"]]))
    return "  ".join([when, who, row["action"], row["what"], how])
