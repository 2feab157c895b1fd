"""Two processes that work together, forked from a clean server.

Not from the tests' own process: its numerical libraries have threads, which a fork leaves behind, and for
which it may wait for ever.
"""

import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch", "sgm_core.runs.worker", "sgm_core.training.pretrain"])


@contextmanager
def together(work: Callable[..., object], *arguments: object, log: Path) -> Iterator[list[BaseProcess]]:
    """Call `work`, a function of a module, in two processes, which find each other as ``torchrun`` has it.

    What they print goes to `log`. None outlives the block.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes: list[BaseProcess] = []
    try:
        for rank in range(2):
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank}
            environment = dict(os.environ) | {name: str(value) for name, value in where.items()}
            process = _CONTEXT.Process(
                target=_work, args=(work, arguments, log, environment | {"WORLD_SIZE": "2"})
            )
            process.start()
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.join()


def _work(
    work: Callable[..., object], arguments: tuple[object, ...], log: Path, environment: dict[str, str]
) -> None:
    os.setsid()
    os.environ.clear()
    os.environ |= environment
    with log.open("ab") as into:
        for stream in (1, 2):
            os.dup2(into.fileno(), stream)
    try:
        code = int(work(*arguments) or 0)  # type: ignore[call-overload]
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def ended(process: BaseProcess, seconds: float = 240) -> int:
    """Wait for a process's end, on a busy machine too; returns its exit code, negative for a signal."""
    process.join(seconds)
    assert process.exitcode is not None, f"process {process.pid} still runs after {seconds} s"
    return process.exitcode
