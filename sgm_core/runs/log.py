"""Search a run's log."""

from collections import deque
from typing import NamedTuple

from sgm_core.runs.run import Run, merged, with_times


class Found(NamedTuple):
    """The last lines that fit, how many fit, and how many there are."""

    lines: list[str]
    n_fit: int
    n_lines: int


def search_log(run: Run, text: str, most: int = 200) -> Found:
    """Look for lines that have `text` in them, capitals alike, in the whole log, parts of the run too.

    It is read line by line.

    Parameters
    ----------
    run
        The run.
    text
        What to look for; with blanks around it too.
    most
        Lines to return, the last ones.
    """
    wanted, n_fit, n_lines = text.casefold(), 0, 0
    found: list[deque[tuple[str, str]]] = []
    for path in run.log_paths():
        last = deque[tuple[str, str]](maxlen=most)
        with path.open(errors="replace") as stream:
            for when, line in with_times(stream):
                n_lines += 1
                if wanted in line.casefold():
                    n_fit += 1
                    last.append((when, line.rstrip("\n")))
        found.append(last)
    return Found(merged(found, most), n_fit, n_lines)
