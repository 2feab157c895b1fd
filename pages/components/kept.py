"""What pages have read or computed, kept for all sessions: one version of each thing, and bounded in bytes.

``st.cache_resource`` keeps a number of entries, whatever their size, and the old version of a table beside
the new one until then; six versions of one table of predictions took half a gigabyte.
"""

import functools
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import nullcontext
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import streamlit as st

MOST_BYTES = 250_000_000
F = TypeVar("F", bound=Callable[..., Any])


class Kept:
    """Values by name and stamp; the least recently used ones go when there are too many bytes.

    Parameters
    ----------
    most : bytes to keep at most; a single value above them is given out and not kept
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self.bytes = 0
        self._values: OrderedDict[Hashable, tuple[Hashable, Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, name: Hashable, stamp: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of `name` if it was kept with this `stamp`, else make and keep it."""
        with self._lock:
            found = self._values.get(name)
            if found is not None and found[0] == stamp:
                self._values.move_to_end(name)
                return found[1]
            making = self._making.setdefault(name, threading.Lock())
        with making:  # sessions that want the same thing wait for the one that makes it
            with self._lock:
                found = self._values.get(name)
            if found is not None and found[0] == stamp:
                return found[1]
            value = make()
            self._put(name, stamp, value)
            return value

    def _put(self, name: Hashable, stamp: Hashable, value: Any) -> None:
        size = weight(value)
        with self._lock:
            self._making.pop(name, None)
            self._drop(name)
            if size > self.most:
                return
            self._values[name] = (stamp, value, size)
            self.bytes += size
            while self.bytes > self.most:
                self._drop(next(iter(self._values)))

    def _drop(self, name: Hashable) -> None:
        old = self._values.pop(name, None)
        if old is not None:
            self.bytes -= old[2]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self.bytes = 0

    def __len__(self) -> int:
        return len(self._values)


def weight(value: Any) -> int:
    """Return about how many bytes a value takes: its arrays and tables; text that rows share counts once."""
    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage(deep=False).sum())
    if isinstance(value, pd.Series):
        return int(value.memory_usage(deep=False))
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(weight, value.values())) + sys.getsizeof(value)
    if is_dataclass(value):
        return sum(weight(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, list | tuple):
        return sum(map(weight, value)) + sys.getsizeof(value)
    return sys.getsizeof(value)


everything = Kept()


def kept(spinner: str = "") -> Callable[[F], F]:
    """Keep what a function returns, which is shared by all sessions: don't change it.

    The function's first two arguments are what it reads (paths) and the stamp of that, which changes when it
    does; the others are hashable. What it returned for an older stamp is forgotten.

    Parameters
    ----------
    spinner : words to show while it works
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(source: Any, stamp: Any, *rest: Any, **named: Any) -> Any:
            def make() -> Any:
                with st.spinner(spinner) if spinner else nullcontext():
                    return function(source, stamp, *rest, **named)

            where = (f"{function.__module__}.{function.__qualname__}", source, rest, *sorted(named.items()))
            return everything.get(where, stamp, make)

        return wrapper  # type: ignore[return-value]

    return decorate
