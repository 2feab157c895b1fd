"""Progress for people, on stderr."""

import sys
import time

from sgm_core.progress import Observer, Pace
from sgm_core.units import duration

_LINE_EVERY_S = 10.0
_REDRAW_EVERY_S = 0.2


class StderrObserver(Observer):
    """Prints messages, and the progress as one line that is redrawn (a terminal) or repeated now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = 0.0
        self._drawn = False
        self._pace = Pace()

    def message(self, text: str) -> None:
        """Print one line."""
        self.close()
        print(text, file=sys.stderr, flush=True)

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Show the share that is done, the step, and the time left."""
        clock, left = time.monotonic(), self._pace.left(done, total)
        if clock - self._last < (_REDRAW_EVERY_S if self._terminal else _LINE_EVERY_S) and done < total:
            return
        self._last = clock
        share = f"{100 * done / total:5.1f} %  {what}" if total else what
        if left and done < total:
            share += f", about {duration(left)} left"
        if self._terminal:
            print(f"\r\033[K{share[:100]}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        else:
            print(share, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End a line that is being redrawn."""
        if self._drawn:
            print(file=sys.stderr, flush=True)
            self._drawn = False
