"""Trainings that stop and go on: their state on disk, when it is written, and which code made it."""

FOLDER = "state"
"""Where a run keeps the states of its trainings, a folder for each."""
ACCEPTED = "accepted.json"
"""Beside them: the code that a person lets go on with states of other code."""
WHOLE = "whole.json"
"""In each state: what it is of, and the hashes of its files; written last."""
