"""A person who acts, and what a role may do."""

import getpass
import os
from dataclasses import dataclass

from sgm_core.errors import InputError

OPERATOR, VIEWER, NOBODY = "operator", "viewer", "nobody"
OWN = frozenset({"review", "correct", "save a selection"})
"""What a viewer may do: say something under the own name, and keep a selection."""


class Forbidden(InputError):
    """What the role of who asks does not allow."""


@dataclass(frozen=True)
class Person:
    """Who acts.

    Parameters
    ----------
    name
        As it is kept with verdicts, corrections and actions.
    role
        ``operator``, ``viewer``, or ``nobody``, who may see nothing.
    login
        Whether a login says so; else it is whoever uses this machine.
    """

    name: str
    role: str
    login: bool = True

    def may(self, action: str) -> bool:
        """Say whether the role allows an action."""
        return self.role == OPERATOR or (self.role == VIEWER and action in OWN)


def local_person() -> Person:
    """Return the user of this machine, who may do everything that the machine lets them do."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        name = f"user {os.getuid()}"
    return Person(name, OPERATOR, login=False)
