"""The learning rate over a run."""

import math


def schedule(kind: str, step: int, steps: int) -> float:
    """Return the learning rate's factor at `step` of `steps`: constant, or 5 % warm-up and cosine decay."""
    if kind == "constant":
        return 1.0
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
