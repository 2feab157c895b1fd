"""Two processes that work together, forked from the warm one: starting Python and torch takes seconds."""

import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def forked(work: Callable[[], object], log: Path) -> Iterator[list[int]]:
    """Call `work` in two forks, which find each other as ``torchrun`` has it; yields their pids.

    What they print goes to `log`. None outlives the block.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pids = [_fork(work, log, rank, port) for rank in range(2)]
    try:
        yield pids
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def _fork(work: Callable[[], object], log: Path, rank: int, port: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        with log.open("ab") as into:
            for stream in (1, 2):
                os.dup2(into.fileno(), stream)
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank}
        os.environ |= {name: str(value) for name, value in where.items()} | {"WORLD_SIZE": "2"}
        code = int(work() or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int, seconds: float = 240) -> int:
    """Wait for a fork's end, on a busy machine too; returns its exit code, negative for a signal."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    raise AssertionError(f"process {pid} still runs after {seconds} s")
