"""What every `sgm` command shares: parsing, output, exit codes.

Nothing heavy is imported here, so that ``sgm --help`` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

import sgm_core
from sgm_core.errors import Cancelled, SGMError

if TYPE_CHECKING:
    from sgm_core.progress import Observer

DONE, INTERNAL, BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141
PARTS = (
    "data",
    "resources",
    "weights",
    "embed",
    "train",
    "sweep",
    "annotate",
    "analysis",
    "enrich",
    "questions",
    "review",
    "report",
    "runs",
    "log",
)  # the order of `sgm --help`


@dataclass
class Output:
    """What a command has to say: `text` for people, or `data` as one JSON document with ``--json``."""

    data: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    then: Callable[[], None] | None = None  # done after the output is written: a server that takes over


Handler = Callable[[argparse.Namespace, "Observer"], Output]


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {_one_line(message)} (see {self.prog} --help)\n")


def add_command(
    sub: argparse._SubParsersAction[Any], name: str, help: str, handler: Handler
) -> argparse.ArgumentParser:
    """Add a command with ``--json`` to a group of commands; `handler` is called with its arguments."""
    parser: argparse.ArgumentParser = sub.add_parser(name, help=help, description=help)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document (progress goes to stderr)"
    )
    parser.set_defaults(handler=handler)
    return parser


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every command."""
    parser = _Parser(prog="sgm", description=sgm_core.__doc__)
    parser.add_argument("--version", action="version", version=f"sgm {sgm_core.__version__}")
    sub = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for part in PARTS:
        importlib.import_module(f"sgm_core.cli.{part}").register(sub)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 internal error, 2 bad input, 130 interrupted)."""
    args = build_parser().parse_args(argv)
    try:
        return _run(args)
    except (KeyboardInterrupt, Cancelled) as stop:
        return _complain(_one_line(str(stop)) or "interrupted", INTERRUPTED)
    except SGMError as error:
        return _complain(_one_line(str(error)), BAD_INPUT)
    except BrokenPipeError:
        # Whoever read our output has left; without this Python complains once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        if os.environ.get("SGM_DEBUG") == "1":
            traceback.print_exc()
        reason = f"{type(error).__name__}: {_one_line(str(error))}"
        return _complain(f"internal error: {reason} ({_keep_traceback()})", INTERNAL)


def _run(args: argparse.Namespace) -> int:
    from sgm_core.cli.observer import StderrObserver
    from sgm_core.runs.launch import limit_threads
    from sgm_core.runs.plain import plain

    limit_threads(os.environ)
    observer = StderrObserver()
    # A library that prints must not end up inside the JSON document.
    with contextlib.redirect_stdout(sys.stderr):
        output: Output = args.handler(args, observer)
    observer.close()
    if args.json:
        print(json.dumps(plain(output.data), indent=1, allow_nan=False), flush=True)
    elif output.text:
        print(output.text, flush=True)
    if output.then:
        output.then()
    return DONE


def _complain(text: str, code: int) -> int:
    print(f"sgm: {text}", file=sys.stderr)
    return code


def _keep_traceback() -> str:
    from sgm_core import home

    try:
        path = home.folder("logs") / "errors.log"
        with path.open("a") as stream:
            stream.write(f"{' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    except OSError:
        return "SGM_DEBUG=1 shows the traceback"
    return f"the traceback is in {path}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
