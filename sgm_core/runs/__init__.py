"""Runs as folders and processes: made, queued, carried out, measured, packed."""

EXPORTED = (
    "configuration, log, metrics, tables, pooled vectors and checkpoints (of an "
    "unfinished training too); of a comparison those of each finished task"
)
"""What an export of a run holds, for page and command alike."""
