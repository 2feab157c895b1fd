"""What was done, by whom and when: ``$SGM_HOME/actions.jsonl``, which only grows.

A line an action, written before it is done, so that none is done unrecorded; a second one says if it failed.
No parameters, paths of configurations or contents are kept, only what kind of thing was done to what.
"""

import fcntl
import json
import logging
import os
from datetime import UTC, datetime

from sgm_core import home
from sgm_core.access.person import Person
from sgm_core.errors import InputError

FILE = "actions.jsonl"
COLUMNS = ("time", "who", "role", "action", "what", "outcome", "why")
_LONGEST = 300
_LOG = logging.getLogger("sgm.access")


def record_action(who: Person, action: str, what: str, outcome: str, why: str = "") -> None:
    """Add a line.

    Raises
    ------
    InputError
        If it can't be written and `who` is logged in: what can't be recorded is not done for them. The user
        of this machine may go on, to cancel a run when the disk is full for instance.
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    row = dict(zip(COLUMNS, (time, who.name, who.role, action, what[:_LONGEST], outcome, why[:_LONGEST])))
    line = json.dumps({name: value for name, value in row.items() if value}, ensure_ascii=False) + "\n"
    path = home.home() / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a power cut within a line
            data = ("\n" * torn + line).encode()
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if who.login:
            raise InputError(
                f"this can't be recorded in {path} ({error.strerror or error}), so it is not done"
            ) from error
        _LOG.warning("an action is not recorded in %s: %s", path, error.strerror or error)
