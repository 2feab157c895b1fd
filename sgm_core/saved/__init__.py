"""Trainings that stop and go on: their state on disk, when it is written, and which code made it."""
