"""Who may do what, kept below pages and commands: people with roles, and a record of what was done."""

from sgm_core.access.acting import (
    acts,
    identify_by,
    may,
    part_of_an_action,
    person,
    require,
    why_not,
)
from sgm_core.access.person import NOBODY, OPERATOR, VIEWER, Forbidden, Person, local_person
from sgm_core.access.reading import read_actions
from sgm_core.access.record import record_action
from sgm_core.access.roles import Access, person_of, read_access

__all__ = [
    "NOBODY",
    "OPERATOR",
    "VIEWER",
    "Access",
    "Forbidden",
    "Person",
    "acts",
    "identify_by",
    "local_person",
    "may",
    "part_of_an_action",
    "person",
    "person_of",
    "read_access",
    "read_actions",
    "record_action",
    "require",
    "why_not",
]
