"""Why a run ended, in words: what the system said, and what can be told of a process that said nothing."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_FULL_WORDS = ("no space left", "disk quota")


def is_full(error: BaseException) -> bool:
    """Say whether an error means that the disk is full, whoever raised it (safetensors has its own)."""
    text = str(error).lower()
    return (isinstance(error, OSError) and error.errno in FULL) or any(word in text for word in _FULL_WORDS)


def reason(error: BaseException) -> str:
    """Return what went wrong and what to do, in one line."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        return f"memory ran out ({text}): take a smaller batch_size or backbone, or end other programs"
    if is_full(error):
        return f"the disk is full{_where(error)}: free some space (`sgm runs list` shows what runs take)"
    if isinstance(error, OSError) and error.errno in _CLOSED:
        what = f"{error.strerror or text}{_where(error)}"
        return f"{what}: make the folder writable, or set SGM_HOME to one that is"
    return text


def _where(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f" ({name})" if name else ""


def evidence() -> dict[str, Any]:
    """Return what is noted as a run begins, so that its silent end can be told from later."""
    return {"boot": _boot(), "oom_kills": _oom_kills()}


def why_silent(before: dict[str, Any] | None) -> str:
    """Return why a process ended without a word, as far as the `evidence` of its beginning tells."""
    before = before or {}
    ended = "its process ended without a word: "
    if before.get("boot") and _boot() and before["boot"] != _boot():
        return ended + "the machine was started again since"
    kills, now = before.get("oom_kills"), _oom_kills()
    if kills is not None and now is not None and now > kills:
        return (
            f"{ended}memory ran out, and the system killed processes on this machine since it began "
            f"({now - kills}; `dmesg` names them): take a smaller batch_size or backbone"
        )
    return (
        ended
        + "it was killed (SIGKILL), which the system does when memory runs out (`dmesg` tells), or crashed"
    )


def _boot() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _oom_kills() -> int | None:
    with suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None
