"""The states of a run, and which may follow which."""

from sgm_core.errors import InputError

ACTIVE = ("queued", "running")
ENDED = ("paused", "failed", "cancelled", "lost")
"""Those that resuming goes on from."""
STATES = (*ACTIVE, "paused", "done", "failed", "cancelled", "lost")
_FOLLOWERS = {
    "queued": STATES,  # begins, or ends while it waits; what another process did may be written down at once
    "running": STATES,
    **dict.fromkeys(ENDED, ("queued",)),
    "done": (),
}


def check_move(run_id: str, before: str, after: str) -> None:
    """Refuse a change of state that can't be, such as that of a worker that was given up and comes late.

    Raises
    ------
    InputError
        If `after` may not follow `before`.
    """
    if after != before and after not in _FOLLOWERS[before]:
        raise InputError(f"run {run_id} is {before}: it can't become {after}")
