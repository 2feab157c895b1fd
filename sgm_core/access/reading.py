"""Read what was done, by whom and when."""

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from sgm_core import home
from sgm_core.access.acting import require
from sgm_core.access.record import COLUMNS, FILE


def read_actions(last: int = 200, who: str = "", action: str = "") -> list[dict[str, str]]:
    """Return the latest actions, the newest first: time (UTC), who, role, action, what, outcome, why.

    Parameters
    ----------
    last
        How many at most.
    who, action
        Those of one person, or of one kind, alone. A part of the name is enough.

    Raises
    ------
    Forbidden
        If the role of who asks does not allow it.
    """
    require("read the record of actions")
    path = home.home() / FILE
    found: deque[dict[str, str]] = deque(maxlen=max(last, 0))
    if path.is_file():
        for row in _rows(path):
            if who.casefold() in row["who"].casefold() and action.casefold() in row["action"].casefold():
                found.append(row)
    return list(reversed(found))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                row = json.loads(line)
                yield {name: str(row.get(name, "")) for name in COLUMNS}
            except (ValueError, AttributeError):
                continue  # the line of a power cut
