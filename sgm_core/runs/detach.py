"""Start a process that belongs to nobody here."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

# Python can't fork safely beside threads (the dashboard has many), so a fresh, tiny interpreter does it.
_BETWEEN = """
import os, sys
if pid := os.fork():
    print(pid)
    sys.exit()
os.setsid()
os.dup2(2, 1)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def start_detached(
    arguments: Sequence[str], log: IO[bytes], cwd: Path, environment: Mapping[str, str]
) -> int:
    """Run Python with `arguments` as the leader of a session of its own; returns its pid.

    It is no child of this process: nobody here has to wait for it, and it never stays as a zombie of a
    program that has long forgotten it (`sgm app` starts the demo and then becomes the dashboard).
    """
    between = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _BETWEEN, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=cwd,
        env=environment,
        check=True,
    )
    return int(between.stdout)
