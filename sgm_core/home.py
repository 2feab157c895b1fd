"""Where the project keeps its files, and how to write them so that they are whole or absent."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from sgm_core.errors import InputError

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
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`; rename it to `path` when the block succeeds, else delete it.

    Raises
    ------
    InputError
        If `path` exists already.
    """
    if path.exists():
        raise InputError(
            f"{path.name!r} exists already in {path.parent}: choose another name or delete it first"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
