"""The one place where an action is allowed or refused, whoever asks: a page, a command, a script.

What changes something for others carries ``@acts("delete")``: it is done only if the role of who acts allows
it, and is recorded either way. Who acts is the user of this machine, until a server that has a login says
who asks (`identify_by`). Actions within an action are part of it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sgm_core.access.person import NOBODY, Forbidden, Person, local_person
from sgm_core.access.record import record_action
from sgm_core.errors import SGMError

P = ParamSpec("P")
R = TypeVar("R")
_identify: Callable[[], Person] = local_person
_within: ContextVar[bool] = ContextVar("within an action", default=False)


def identify_by(who: Callable[[], Person]) -> None:
    """Ask `who` from now on who acts; it is called for each action, in the thread that acts."""
    global _identify
    _identify = who


def person() -> Person:
    """Return who acts."""
    return _identify()


def may(action: str) -> bool:
    """Say whether who acts may do it."""
    return person().may(action)


def why_not(action: str) -> str:
    """Say why who acts may not do it, and what to do; empty where they may."""
    who = person()
    if who.may(action):
        return ""
    if who.role == NOBODY:
        return "log in with an address that the configuration of this dashboard names"
    return f"a {who.role} can't {action}: ask an operator of this dashboard"


def require(action: str, what: str = "") -> None:
    """Refuse an action that the role of who acts does not allow; the refusal is recorded.

    Raises
    ------
    Forbidden
        If it does not.
    """
    who = person()
    if not _within.get() and not who.may(action):
        record_action(who, action, what, "refused")
        raise Forbidden(why_not(action))


@contextmanager
def part_of_an_action() -> Iterator[None]:
    """Take what is done in the block for a part of what was allowed and recorded before."""
    token = _within.set(True)
    try:
        yield
    finally:
        _within.reset(token)


def acts(
    action: str,
    what: Callable[..., str | None] | None = None,
    whose: Callable[..., str] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function an action: done only by who may, and recorded before it is done.

    Parameters
    ----------
    action
        What it does, as a verb: ``delete``.
    what
        Says from its arguments to what it is done; by default its first argument, or the name of that. None
        for what nobody asked for, which is allowed or refused and not recorded.
    whose
        Says from its arguments in whose name it is done, which for who is logged in is the login's.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if _within.get():
                return function(*args, **kwargs)
            who, of = person(), what(*args, **kwargs) if what else _named(*args, **kwargs)
            require(action, of or "")
            if whose is not None and who.login and (name := whose(*args, **kwargs)) != who.name:
                record_action(who, action, of or "", "refused")
                raise Forbidden(f"you are logged in as {who.name}: nothing is said in the name of {name!r}")
            if of is None:
                return function(*args, **kwargs)
            record_action(who, action, of, "allowed")
            try:
                with part_of_an_action():
                    return function(*args, **kwargs)
            except Exception as error:
                why = str(error) if isinstance(error, SGMError) else type(error).__name__
                record_action(who, action, of, "failed", why)
                raise

        return wrapper

    return decorate


def _named(*args: Any, **kwargs: Any) -> str:
    first = next(iter((*args, *kwargs.values())), "")
    return str(getattr(first, "id", None) or getattr(first, "name", None) or first)
