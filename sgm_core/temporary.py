"""Temporary files and folders known by who writes them, so that what a killed process left can be deleted.

As long as a process lives it holds a lock on a file of its own, ``ROOT/.owners/MARK``, and the names of its
temporaries carry that mark. The kernel lets go of the lock however the process ends. (A pid would not do: it
may be another process's by then, or one of another container or host that shares the folder.)
"""

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_OWNERS = ".owners"
_NAME = re.compile(r"\..+\.own-(\d+-[0-9a-f]{12})\.[0-9a-f]{8}")
_FORGET_S = 30 * 86400.0
"""Marks of the dead are kept so long, for temporaries that were written outside the root."""
_held: tuple[Path, int, int, str] | None = None  # root, pid, the locked file's descriptor, mark


def reserve(path: Path, root: Path) -> Path:
    """Return a new name beside `path` for what will be renamed to it; nothing is made there yet."""
    return path.with_name(f".{path.name[:100]}.own-{_mark(root)}.{secrets.token_hex(4)}")


def sweep(root: Path) -> list[Path]:
    """Delete what processes that are gone left anywhere under `root`; returns what that was.

    What a live process writes is never touched, nor anything whose owner is not known.
    """
    swept: list[Path] = []
    for folder, _, _ in os.walk(root):
        swept += sweep_folder(Path(folder), root)
    with suppress(OSError):
        for owner in list((root / _OWNERS).iterdir()):
            if time.time() - owner.stat().st_mtime > _FORGET_S and not _lives(owner.name, root):
                owner.unlink(missing_ok=True)
    return swept


def sweep_folder(folder: Path, root: Path) -> Iterator[Path]:
    """Delete the leftovers that lie in `folder` itself and yield their paths; see `sweep`."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            found = _NAME.fullmatch(entry.name)
            if found is None or _lives(found[1], root):
                continue
            with suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
                yield Path(entry.path)


def _mark(root: Path) -> str:
    """Return this process's mark; its lock is taken when it is first asked for."""
    global _held
    pid = os.getpid()
    if _held is not None and _held[:2] == (root, pid) and (root / _OWNERS / _held[3]).exists():
        return _held[3]
    if _held is not None and _held[1] == pid:
        os.close(_held[2])
    (root / _OWNERS).mkdir(parents=True, exist_ok=True)
    mark = f"{pid}-{secrets.token_hex(6)}"
    lock = os.open(root / _OWNERS / mark, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)
    _held = (root, pid, lock, mark)
    return mark


def _lives(mark: str, root: Path) -> bool:
    """Say whether the process of this mark may still live; yes if its file is not there to tell."""
    try:
        lock = os.open(root / _OWNERS / mark, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
