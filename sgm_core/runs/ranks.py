"""A run in several processes, as ``torchrun`` starts them: how they find each other, and what ends them all.

The first process (rank 0) waits for the run's turn, and is the one that the run's folder knows. The others
wait for it, do their part of the training, write nothing, and end with it. Where one ends too early the
others notice: what they wait for breaks off, or, where it does not, they end themselves.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from sgm_core.device import on_gpu, set_threads
from sgm_core.errors import TrainingError
from sgm_core.runs.launchers.torchrun import check_shared
from sgm_core.runs.process import alive, identity
from sgm_core.runs.run import Run
from sgm_core.world import Group, within, world

if TYPE_CHECKING:
    from torch.distributed import Store

_POLL_S = 0.3
_GRACE_S = 10.0
_SEEN_S = 3.0  # from an error to the end of the process that caused it, or its word
_LOST = ("gloo", "nccl", "connection", "socket")  # in the words of an error between processes
_SILENCE = timedelta(minutes=30)  # for which one may wait for another, which writes a checkpoint say


def launched() -> tuple[int, int]:
    """Return rank and number of processes as the launcher says; (0, 1) without one."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


class Ranks:
    """The processes of one launch; each has one of these.

    Attributes
    ----------
    rank, size : number of this process, and how many there are
    """

    def __init__(self) -> None:
        # it warns of a strategy whose parameters all have a gradient, which is well
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from torch.distributed import rendezvous

        self._store: Store
        self._store, self.rank, self.size = next(iter(rendezvous("env://")))
        self._host = socket.gethostname()
        self._put(f"process{self.rank}", json.dumps([self._host, *identity().values()]))

    def _put(self, key: str, text: str) -> None:
        self._store.set(key, text)

    def _got(self, key: str) -> str | None:
        return self._store.get(key).decode() if self._store.check([key]) else None

    def begun(self) -> bool:
        """Wait until the first process has its turn; returns whether it has not given up."""
        while self._got("begun") is None:
            if self._got("end0") is not None or self._fallen():
                return False
            time.sleep(_POLL_S)
        return True

    def end(self, why: str = "") -> None:
        """Leave word that this process ends: in good order, or of itself because of `why`."""
        with suppress(RuntimeError):  # who kept the words is gone
            self._put(f"end{self.rank}", why)

    @contextmanager
    def joined(self, run: Run) -> Iterator[None]:
        """Be one of the processes that train, from the run's turn to the end of its work.

        Raises
        ------
        InputError
            If they can't share a run of this kind.
        TrainingError
            If another of them failed or was killed.
        """
        import torch
        from torch import distributed

        if self.rank == 0:
            check_shared(run.kind, run.parameters)
            self._put("begun", "")
        local = int(os.environ.get("LOCAL_RANK", self.rank))
        set_threads(int(os.environ.get("LOCAL_WORLD_SIZE", self.size)))
        gpu = on_gpu(run.parameters.get("device") or "auto")
        if gpu and local < torch.cuda.device_count():  # else the choice of the device says so in words
            torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
        where = {"rank": self.rank, "world_size": self.size, "store": self._store, "timeout": _SILENCE}
        try:
            distributed.init_process_group(backend, **where)
            if self.rank == 0:
                run.message(f"{self.size} processes train together ({backend})")
                self._say_if_idle(run)
            with within(Group(self.rank, self.size, local)):
                threading.Thread(target=self._watch, args=(run,), daemon=True).start()
                yield
        except RuntimeError as error:
            why = self._why(error)
            if why is None:
                raise
            raise TrainingError(f"{why}; {run.when_resumed}") from error

    def _say_if_idle(self, run: Run) -> None:
        cells = run.parameters.get("batch_size")
        if cells and cells < self.size:
            run.message(
                f"a batch has {cells} cells for {self.size} processes: some have nothing to do; a larger "
                "batch_size uses them, and is another training"
            )

    def _why(self, error: RuntimeError) -> str | None:
        """Return what another process did that `error` comes from, None if it is this one's own."""
        deadline = time.monotonic() + _SEEN_S
        with suppress(RuntimeError):
            while time.monotonic() < deadline:
                if why := self._fallen():
                    return why
                time.sleep(_POLL_S)
        text = " ".join(str(error).split())
        if any(word in text.lower() for word in _LOST):
            return f"the {self.size} processes lost each other ({text[:200]})"
        return None

    def _fallen(self) -> str | None:
        """Say which other process failed or, on this machine, is gone without a word."""
        for rank in range(self.size):
            known, end = self._got(f"process{rank}"), self._got(f"end{rank}")
            if rank == self.rank or known is None or end == "":
                continue
            if end:
                return f"process {rank + 1} of {self.size} failed: {end}"
            host, pid, started = json.loads(known)
            if host == self._host and not alive(pid, started):
                return (
                    f"process {rank + 1} of {self.size} ended without a word: it was killed (SIGKILL), which "
                    "the system does when memory runs out (`dmesg` tells), or crashed"
                )
        return None

    def _watch(self, run: Run) -> None:
        """End this process where it waits for one that is gone, and goes on waiting."""
        why = None
        with suppress(RuntimeError):
            while world().size > 1 and why is None:
                why = self._fallen()
                time.sleep(_POLL_S)
        time.sleep(_GRACE_S)
        if world().size > 1:
            if self.rank == 0:
                run.finish("failed", f"{why or 'the processes lost each other'}; {run.when_resumed}")
            os._exit(1)
