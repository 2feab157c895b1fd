"""UMAP in a process of its own, which can be ended at any moment, unlike compiled code in this one.

The parent puts vectors on the disk and names their file on the child's stdin; the child answers on its
stdout, one JSON object a line, with how far it is. What it has compiled serves all maps that it is asked for.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from sgm_core import home
from sgm_core.analysis.neighbours import Tell
from sgm_core.analysis.umap_map import check_cells, threads_of, umap
from sgm_core.errors import SGMError
from sgm_core.progress import Observer

_LOOK_S = 0.25  # how often the parent looks whether it should stop


class UmapProcess:
    """The parent's side; get one with `umap_process`."""

    def __init__(
        self, child: subprocess.Popen[bytes], folder: Path, seed: int | None, observer: Observer
    ) -> None:
        self._child, self._folder, self._seed, self._observer = child, folder, seed, observer
        self._rest = b""

    def umap(self, vectors: np.ndarray, tell: Tell) -> np.ndarray:
        """Do as `sgm_core.analysis.umap_map.umap` does; the observer can stop it at any moment.

        Raises
        ------
        Cancelled
            If the observer says so.
        SGMError
            If it can't be computed, or the process ended before its time.
        """
        check_cells(len(vectors))
        source, target = self._folder / "vectors.npy", self._folder / "xy.npy"
        np.save(source, vectors)
        stream = self._child.stdin
        assert stream is not None
        try:
            stream.write(json.dumps([str(source), str(target), self._seed]).encode() + b"\n")
            stream.flush()
        except BrokenPipeError:
            raise self._died() from None
        said: tuple[float, str] | None = None
        for answer in self._answers():
            if "done" in answer:
                return np.load(target)
            if "error" in answer:
                raise SGMError(f"the map can't be computed: {answer['error']}")
            if answer:
                said = answer["share"], answer["what"]
            if said:
                tell(*said)
        raise self._died()

    def _answers(self) -> Iterator[dict[str, Any]]:
        """Give what the child says, until it ends; an empty answer where it has nothing new to say."""
        out = self._child.stdout
        assert out is not None
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while True:
                self._observer.check()
                if not selector.select(_LOOK_S):
                    yield {}
                    continue
                read = os.read(out.fileno(), 65536)
                if not read:
                    return
                *lines, self._rest = (self._rest + read).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    def _died(self) -> SGMError:
        code = self._child.wait()
        text = (self._folder / "errors.txt").read_text(errors="replace").strip()
        if text:
            self._observer.message(text)
        reason = text.splitlines()[-1] if text else f"exit code {code}"
        if code == -9:
            reason = "the system killed it, which it does when memory runs out: end other programs"
        return SGMError(f"the process that computes the map ended before it was done ({reason})")


@contextmanager
def umap_process(seed: int | None, observer: Observer) -> Iterator[UmapProcess]:
    """Start the process, and end it with the block.

    Parameters
    ----------
    seed
        As in `sgm_core.analysis.umap_map.umap`.
    observer
        Is asked whether to stop, four times a second.
    """
    with home.scratch(home.folder("runs") / "umap") as folder, (folder / "errors.txt").open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "sgm_core.analysis.umap_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(threads_of(seed)),
        )
        try:
            yield UmapProcess(child, folder, seed, observer)
        finally:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()


def _environment(threads: int) -> dict[str, str]:
    environment = dict(os.environ)
    for library in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
        environment[f"{library}_NUM_THREADS"] = str(threads)
    package_root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, environment.get("PYTHONPATH")]))
    environment["PYTHONWARNINGS"] = "ignore"
    return environment


def serve(asked: IO[str], answers: IO[str]) -> None:
    """Make the maps that are asked for, one a line, until there are no more: the child's side."""

    def say(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    for line in asked:
        source, target, seed = json.loads(line)
        try:
            xy = umap(np.load(source), seed, lambda share, what: say(share=share, what=what))
        except Exception as error:
            say(error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
            continue
        np.save(target, xy)
        say(done=True)


if __name__ == "__main__":
    # What libraries print must not get between the answers.
    with os.fdopen(os.dup(1), "w") as stdout:
        os.dup2(2, 1)
        serve(sys.stdin, stdout)
