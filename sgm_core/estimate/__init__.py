"""What a run will take, time and memory: a formula, and steps that were measured."""
