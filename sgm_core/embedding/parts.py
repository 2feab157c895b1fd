"""Finished blocks of an embedding, kept beside the output until it is whole, so that a run can go on."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sgm_core.errors import InputError
from sgm_core.home import read_json, whole_file, write_json
from sgm_core.progress import Observer


class Parts:
    """The folder ``.X.h5ad.parts`` of an output ``X.h5ad``; `open_parts` opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def count(self) -> int:
        """Return how many blocks are finished, from the first on."""
        done = 0
        while (self.folder / f"{done:06d}.npy").is_file():
            done += 1
        return done

    def sums(self, n_blocks: int) -> np.ndarray | None:
        """Return the sum over cells of the first `n_blocks` that was kept beside them."""
        file = self.folder / f"sum-{n_blocks:06d}.npy"
        return np.load(file) if file.is_file() else None

    def add(self, number: int, block: np.ndarray, sums: np.ndarray | None) -> None:
        """Keep a finished block, and the sum so far."""
        if sums is not None:
            _save(self.folder / f"sum-{number + 1:06d}.npy", sums)
        # the block comes last: it says that everything of it is there
        _save(self.folder / f"{number:06d}.npy", block)
        (self.folder / f"sum-{number:06d}.npy").unlink(missing_ok=True)

    def read(self, n_blocks: int) -> np.ndarray:
        """Return the first `n_blocks` as one matrix."""
        return np.concatenate([np.load(self.folder / f"{i:06d}.npy") for i in range(n_blocks)])

    def delete(self) -> None:
        """Delete the folder: the output is whole."""
        shutil.rmtree(self.folder)


def parts_folder(out: Path) -> Path:
    """Return the folder of an output's finished blocks."""
    return out.with_name(f".{out.name}.parts")


def begun_outputs(out: Path) -> list[str]:
    """Return the outputs of the interrupted run of `out`, none if there was none."""
    try:
        return [str(path) for path in read_json(parts_folder(out) / "settings.json")["outputs"]]
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return []


@contextmanager
def open_parts(out: Path, settings: dict[str, Any], observer: Observer) -> Iterator[Parts]:
    """Open what an earlier run of the same settings has finished; with other settings, start over.

    Raises
    ------
    InputError
        If another process is writing the same output.
    """
    folder = parts_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is writing {out}: wait for it, or choose another name") from None
        changed = _changed(folder / "settings.json", settings)
        if changed:
            observer.message(
                f"what was kept in {folder.name} had another {', '.join(changed)}: starting over"
            )
        if changed or not (folder / "settings.json").is_file():
            for file in folder.iterdir():
                file.unlink()
            write_json(folder / "settings.json", settings)
        yield Parts(folder)
    finally:
        os.close(lock)


def _changed(file: Path, settings: dict[str, Any]) -> list[str]:
    """Return which settings differ from those in a file; none if there is no file."""
    if not file.is_file():
        return []
    try:
        before = read_json(file)
        return [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError):
        return ["settings"]


def _save(path: Path, array: np.ndarray) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array)
