"""JSON documents that are asked for again and again: read once, and again only when the file is another one.

A file that is replaced (`sgm_core.home.write_json` renames a new one into its place) has another inode, so a
change is seen at once and looking costs one `stat`.
"""

import threading
from pathlib import Path
from typing import Any

from sgm_core import home

_MOST = 20_000
_kept: dict[str, tuple[tuple[int, int, int], Any]] = {}
_lock = threading.Lock()


def document(path: Path) -> Any:
    """Return the content of a JSON file; it is shared by all who ask, so don't change it.

    Raises
    ------
    OSError
        If the file can't be read.
    ValueError
        If it is no JSON.
    """
    seen = path.stat()
    mark = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
    known = _kept.get(str(path))
    if known is not None and known[0] == mark:
        return known[1]
    value = home.read_json(path)
    with _lock:
        if len(_kept) >= _MOST:
            _kept.clear()
        _kept[str(path)] = (mark, value)
    return value
