"""How the process handles memory that it has freed."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


def keep_freed_memory() -> bool:
    """Let the allocator reuse freed memory at once, on Linux with glibc; returns whether it took effect.

    By default glibc gives every large block back to the kernel and gets it again page by page, all of it
    zeroed. A training step of the full-size model allocates and frees tens of gigabytes, and the pages cost
    as much as a third of its time (`benchmarks/results/backbone.md`). The process keeps its peak until it
    ends, so this is for workers, not for the dashboard.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
