"""When to say 'unknown': how rare a cell's distance and confidence are among known cells of other donors."""

from dataclasses import dataclass

import numpy as np

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the false alarms that the distance may make; held-out classes choose one."""
TOO_FAR, NOT_LIKELY, TOO_FEW = "too far from the training cells", "no class likely", "too few genes"
REASONS = ("", TOO_FAR, NOT_LIKELY, TOO_FEW)


@dataclass(frozen=True)
class Rarity:
    """The known cells of held-out donors that a new cell is compared with.

    Parameters
    ----------
    distances, confidences : of these cells, sorted (n,)
    weight : share of the false alarms that the distance may make, 0 to 1
    """

    distances: np.ndarray
    confidences: np.ndarray
    weight: float = 0.5

    def shares(self, distance: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the shares of known cells that are as far, and as little likely (conformal p-values)."""
        n = len(self.distances)
        far = (1 + n - np.searchsorted(self.distances, distance, "left")) / (n + 1)
        unlikely = (1 + np.searchsorted(self.confidences, confidence, "right")) / (n + 1)
        return far, unlikely

    def score(self, distance: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how known cells look (m,), smaller is less known, and whether distance decides (m,)."""
        far, unlikely = self.shares(distance, confidence)
        with np.errstate(divide="ignore"):
            a = far / self.weight if self.weight else np.full(len(far), np.inf)
            b = unlikely / (1 - self.weight) if self.weight < 1 else np.full(len(far), np.inf)
        return np.minimum(a, b), a <= b


def rarity_of(distance: np.ndarray, confidence: np.ndarray, weight: float = 0.5) -> Rarity:
    """Return what new cells are compared with, of known cells of held-out donors."""
    return Rarity(np.sort(distance), np.sort(confidence), weight)


def threshold(scores: np.ndarray, false_alarm: float) -> float:
    """Return the score below which a cell is unknown: at most `false_alarm` of these known cells are."""
    ordered = np.sort(scores)
    return float(ordered[min(int(false_alarm * len(ordered)), len(ordered) - 1)])
