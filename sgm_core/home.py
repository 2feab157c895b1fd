"""Where the project keeps its files, and how to write them so that they are whole or absent."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core import temporary as temporaries
from sgm_core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def home() -> Path:
    """Return the home folder: ``$SGM_HOME``, by default ``./workspace``."""
    return Path(os.environ.get("SGM_HOME") or "workspace").expanduser().resolve()


def folder(kind: str) -> Path:
    """Return (and make) one of the home's folders: datasets, runs, weights, resources, uploads, downloads."""
    path = home() / kind
    path.mkdir(parents=True, exist_ok=True)
    return path


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it is safe as a folder's name.

    Raises
    ------
    InputError
        If it is empty, longer than 64 characters, or has characters beyond letters, digits, ``. _ -``.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InputError(
            f"{what} {name!r} can't be used: take 1 to 64 letters, digits, '.', '_' or '-', "
            "starting with a letter or digit, without '..'"
        )
    return name


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; flush it to disk and rename it when the block succeeds."""
    temporary = _reserve(path)
    temporary.touch()
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`, which becomes `path` when the block succeeds, else is deleted.

    Raises
    ------
    InputError
        If `path` exists already.
    """
    if path.exists():
        raise InputError(
            f"{path.name!r} exists already in {path.parent}: choose another name or delete it first"
        )
    with scratch(path) as temporary:
        yield temporary
        # A folder that is there must be whole even after a power cut: first all that is in it, then its name.
        for folder, _, files in os.walk(temporary, topdown=False):
            for name in files:
                sync(Path(folder, name))
            sync(Path(folder))
        temporary.chmod(0o755)
        temporary.replace(path)
        sync(path.parent)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; it is deleted when the block ends, or by `sweep`."""
    temporary = _reserve(path)
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep() -> list[Path]:
    """Delete what killed processes left half-written in the home folder; returns what that was."""
    return temporaries.sweep(home())


def _reserve(path: Path) -> Path:
    root = home()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.resolve().is_relative_to(root):
        list(temporaries.sweep_folder(path.parent, root))  # `sweep` does not come here
    return temporaries.reserve(path, root)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write `frame` as parquet (zstd), atomically."""
    with whole_file(path) as temporary:
        frame.to_parquet(temporary, compression="zstd", index=False)
