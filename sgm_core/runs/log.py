"""Search a run's log."""

from collections import deque
from typing import NamedTuple

from sgm_core.runs.run import Run


class Found(NamedTuple):
    """The last lines that fit, how many fit, and how many there are."""

    lines: list[str]
    n_fit: int
    n_lines: int


def search_log(run: Run, text: str, most: int = 200) -> Found:
    """Look for lines that have `text` in them, capitals alike, in the whole log; it is read line by line.

    Parameters
    ----------
    run
        The run.
    text
        What to look for; with blanks around it too.
    most
        Lines to return, the last ones.
    """
    wanted, lines, n_fit, n_lines = text.casefold(), deque[str](maxlen=most), 0, 0
    path = run.path / "log.txt"
    if path.exists():
        with path.open(errors="replace") as stream:
            for line in stream:
                n_lines += 1
                if wanted in line.casefold():
                    n_fit += 1
                    lines.append(line.rstrip("\n"))
    return Found(list(lines), n_fit, n_lines)
