"""The roles of people who log in: ``[access]`` of the configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sgm_core.access.person import NOBODY, OPERATOR, VIEWER, Person
from sgm_core.configuration import configuration_file, read_configuration, texts
from sgm_core.errors import InputError

_PATTERN = re.compile(r"(?:\*?@|[^\s@*]+@)[^\s@*]+")
_UNKNOWN = {"refused": NOBODY, "viewer": VIEWER}
_FIELDS = ("operators", "viewers", "unknown")


@dataclass(frozen=True)
class Access:
    """Who has which role.

    Parameters
    ----------
    operators, viewers
        E-mail addresses, or ``@example.org`` for everybody of a domain. An operator is not a viewer.
    unknown
        What becomes of everybody else who can log in: ``refused``, or ``viewer``.
    """

    operators: tuple[str, ...] = ()
    viewers: tuple[str, ...] = ()
    unknown: str = "refused"

    def __post_init__(self) -> None:
        if self.unknown not in _UNKNOWN:
            raise InputError(f'{_where()}: unknown must be "refused" or "viewer", not {self.unknown!r}')
        for pattern in (*self.operators, *self.viewers):
            if not _PATTERN.fullmatch(pattern):
                raise InputError(
                    f"{_where()}: {pattern!r} is no e-mail address and no domain: write ada@example.org, or "
                    '@example.org for everybody there; unknown = "viewer" lets everybody look'
                )

    def role_of(self, email: str) -> str:
        """Return the role of an address."""
        email = email.strip().casefold()
        for role, patterns in ((OPERATOR, self.operators), (VIEWER, self.viewers)):
            if any(_is(email, pattern) for pattern in patterns):
                return role
        return _UNKNOWN[self.unknown]


def read_access() -> Access | None:
    """Return who has which role as the configuration says now; None where it says nothing of it.

    Raises
    ------
    InputError
        If a field is unknown or has a value that it can't have.
    """
    table = read_configuration().get("access")
    if table is None:
        return None
    if not isinstance(table, dict) or set(table) - set(_FIELDS):
        raise InputError(f"{_where()} is a table with the fields {', '.join(_FIELDS)} and no others")
    people = {field: texts(table, field, "ada@example.org") for field in ("operators", "viewers")}
    return Access(**people, unknown=str(table.get("unknown", "refused")))


def person_of(claims: Mapping[str, Any]) -> Person:
    """Return who logged in, by the claims of an OpenID Connect token; nobody where they are not to be told.

    The role goes by ``email``, unless the provider says that it was not verified. The name has the address
    in it, for names are chosen freely and two people may have the same.
    """
    if claims.get("is_logged_in") is not True:
        return Person("nobody", NOBODY)
    email = _text(claims, "email")
    known = email and claims.get("email_verified") not in (False, "false")
    called, key = _text(claims, "name"), email or _text(claims, "sub")
    if not key:
        return Person("nobody", NOBODY)
    access = read_access() or Access()
    name = f"{called[: 77 - len(key)]} ({key})" if called and called != key and len(key) < 60 else key[:80]
    return Person(name, access.role_of(email if known else ""))


def _text(claims: Mapping[str, Any], field: str) -> str:
    """Return a claim as one line without control characters."""
    value = claims.get(field)
    text = value if isinstance(value, str) else ""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _is(email: str, pattern: str) -> bool:
    pattern = pattern.casefold().removeprefix("*")
    return email == pattern or (pattern.startswith("@") and email.count("@") == 1 and email.endswith(pattern))


def _where() -> str:
    return f"[access] in {configuration_file()}"
