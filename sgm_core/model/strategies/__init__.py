"""Masking strategies: which genes of a cell are hidden. Each is one file here with one class.

A file's name is the strategy's, with ``_`` for ``-``; its class is a `base.Strategy`. Nothing else has to be
told: the configuration, the command, the page and the arms of a comparison take the names from here.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from sgm_core.errors import InputError

if TYPE_CHECKING:
    from sgm_core.model.strategies.base import Strategy

NEED_VALUES = ("reducible-error",)
"""Strategies that hold predictions against the noise of counts: the backbone must predict values."""
_FIRST = ("uniform", "expression", "self-guided")  # in lists; all others follow by name


def strategy_names() -> tuple[str, ...]:
    """Return the names of all strategies; imports none of them, nor torch."""
    files = sorted(module.name.replace("_", "-") for module in iter_modules(__path__))
    return (*_FIRST, *(name for name in files if name not in (*_FIRST, "base")))


def strategy_class(name: str) -> "type[Strategy]":
    """Return the class of a strategy.

    Raises
    ------
    InputError
        If there is none of that name; the message lists them.
    """
    if name not in strategy_names():
        raise InputError(f"masker is {name!r}: choose one of {', '.join(strategy_names())}")
    from sgm_core.model.strategies.base import Strategy

    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    own = [one for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__]
    return next(one for one in own if isinstance(one, type) and issubclass(one, Strategy))
