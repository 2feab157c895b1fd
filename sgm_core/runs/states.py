"""The states of a run, and which may follow which; the words for its place among others."""

from sgm_core.errors import InputError

ACTIVE = ("queued", "running")
ENDED = ("paused", "failed", "cancelled", "lost")
"""Those that resuming goes on from."""
STATES = (*ACTIVE, "paused", "done", "failed", "cancelled", "lost")
LATEST = "latest"
"""Stands for the ID of the training (pretrain, finetune, compare, sweep) that was asked for last."""
HIGHEST = 100
"""Priorities go from -100 to 100; higher ones are served sooner."""
MOVES = ("first", "up", "down", "last")
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


def check_priority(priority: int) -> int:
    """Return `priority` if it can be one.

    Raises
    ------
    InputError
        If it is below -100 or above 100.
    """
    if not -HIGHEST <= priority <= HIGHEST:
        raise InputError(f"priority {priority} can't be used: take {-HIGHEST} to {HIGHEST}, higher is sooner")
    return priority
