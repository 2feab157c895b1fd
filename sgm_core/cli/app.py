"""``sgm app``: the dashboard."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sgm_core
from sgm_core.cli.frame import Output, add_command
from sgm_core.errors import InputError

if TYPE_CHECKING:
    from sgm_core.progress import Observer


def register(sub: argparse._SubParsersAction[Any]) -> None:
    """Add ``sgm app``."""
    parser = add_command(sub, "app", "serve the dashboard on this machine", _app)
    parser.add_argument("--port", type=int, default=8501, help="port on localhost (default 8501)")
    parser.add_argument(
        "--no-demo", action="store_true", help="don't make and analyse the simulated demo dataset"
    )
    parser.add_argument(
        "--demo", action="store_true",
        help="a demo session: the guided tour over the simulated demo, reset to a clean state at each start, "
        "in a home folder of its own",
    )  # fmt: skip
    parser.add_argument("--headless", action="store_true", help="don't open a browser")
    parser.add_argument(
        "--host", action="append", default=[], metavar="NAME",
        help="name under which a proxy on this machine serves the dashboard to others; asks for a login",
    )  # fmt: skip
    parser.add_argument(
        "--base-path", default="", metavar="/sgm", help="path below which the proxy serves it"
    )
    parser.add_argument(
        "--config", metavar="FILE",
        help="configuration in place of config.toml in the home folder: roles, data folders, limits",
    )  # fmt: skip
    parser.add_argument(
        "--address", default="localhost",
        help="address to listen on (default localhost); any other asks for a login",
    )  # fmt: skip


def _app(args: argparse.Namespace, observer: Observer) -> Output:
    from sgm_core.cli import server
    from sgm_core.runs.sweep import sweep

    root = Path(sgm_core.__file__).resolve().parents[1]
    if not (root / "app.py").exists():
        raise InputError(
            f"app.py is not in {root}: the dashboard is served from a checkout (pip install -e .)"
        )
    _check_port(args.port)
    if args.config:
        os.environ["SGM_CONFIG"] = str(Path(args.config).expanduser().resolve())
    flags = server.flags(root, args.address, args.port, args.host, args.base_path, args.headless, args.demo)
    url = f"http://localhost:{args.port}"
    data: dict[str, Any] = {"url": url}
    with contextlib.suppress(OSError):  # what can't be cleaned up must not keep the dashboard from its work
        sweep()
    if args.demo and args.no_demo:
        raise InputError("--demo and --no-demo exclude each other: leave one out")
    if args.demo:
        from sgm_core.demo_session import open_session

        data["demo_session"] = str(open_session())
        observer.message(
            f"demo session with SIMULATED data in {data['demo_session']}; your own data are not in it"
        )
    elif not args.no_demo:
        from sgm_core.demo import ensure_demo

        observer.message("the demo (SIMULATED data) is analysed in the background: see the page Runs")
        data["demo_run"] = ensure_demo().id
    return Output(
        data, f"the dashboard is on {url} (Ctrl-C stops it; runs go on)", lambda: _serve(root, flags)
    )


def _check_port(port: int) -> None:
    if not 0 < port < 65536:
        raise InputError(f"port {port} does not exist: choose one from 1024 to 65535")
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("localhost", port))
        except OSError as error:
            raise InputError(
                f"port {port} can't be used ({error.strerror}): is the dashboard running already? Open "
                f"http://localhost:{port}, or choose another: make app PORT={port + 1}"
            ) from error


def _serve(root: Path, flags: list[str]) -> None:
    """Become the server, so that Ctrl-C and signals reach it and not us."""
    from sgm_core import home

    os.environ["SGM_HOME"] = str(home.home())
    os.chdir(root)  # where .streamlit/config.toml is
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(root / "serve.py"), *flags])
