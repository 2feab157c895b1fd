"""When to say 'unknown': how rare a cell's distance and confidence are among known cells of other donors."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the false alarms that the distance may make; held-out classes choose one."""
TOO_FAR, NOT_LIKELY, TOO_FEW = "too far from the training cells", "no class likely", "too few genes"
REASONS = ("", TOO_FAR, NOT_LIKELY, TOO_FEW)


_FEWEST = 30


class Judged(NamedTuple):
    """What 'unknown' goes by: mean distance to the nearest reference cells, and the likeliest class (n,)."""

    distance: np.ndarray
    confidence: np.ndarray
    best: np.ndarray

    def of(self, which: np.ndarray) -> "Judged":
        """Return some of the cells."""
        return Judged(*(part[which] for part in self))


def usual_distances(distance: np.ndarray, best: np.ndarray, n_classes: int) -> np.ndarray:
    """Return mean and SD of the log distance of known cells by the class that they are named (C, 2).

    Some classes lie loosely in the space: without this most of their cells would be too far. A class that
    names fewer than 30 of the cells has the mean and SD of all.
    """
    logs = np.log(np.maximum(distance, 1e-9))
    table = np.tile([logs.mean(), max(logs.std(), 1e-3)], (n_classes, 1))
    for number in range(n_classes):
        own = logs[best == number]
        if len(own) >= _FEWEST:
            table[number] = own.mean(), max(own.std(), 1e-3)
    return table


def standardised(distance: np.ndarray, best: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return how many SDs farther than usual for cells named so the cells are (n,)."""
    centre, spread = usual[best].T
    return (np.log(np.maximum(distance, 1e-9)) - centre) / spread


@dataclass(frozen=True)
class Rarity:
    """The known cells of held-out donors that a new cell is compared with.

    Parameters
    ----------
    distances, confidences : of these cells, sorted (n,); distances are `standardised`
    usual : see `usual_distances` (C, 2)
    weight : share of the false alarms that the distance may make, 0 to 1
    """

    distances: np.ndarray
    confidences: np.ndarray
    usual: np.ndarray
    weight: float = 0.5

    def shares(self, cells: Judged) -> tuple[np.ndarray, np.ndarray]:
        """Return the shares of known cells that are as far, and as little likely (conformal p-values)."""
        n, own = len(self.distances), standardised(cells.distance, cells.best, self.usual)
        far = (1 + n - np.searchsorted(self.distances, own, "left")) / (n + 1)
        unlikely = (1 + np.searchsorted(self.confidences, cells.confidence, "right")) / (n + 1)
        return far, unlikely

    def score(self, cells: Judged) -> tuple[np.ndarray, np.ndarray]:
        """Return how known cells look (m,), smaller is less known, and whether distance decides (m,)."""
        far, unlikely = self.shares(cells)
        with np.errstate(divide="ignore"):
            a = far / self.weight if self.weight else np.full(len(far), np.inf)
            b = unlikely / (1 - self.weight) if self.weight < 1 else np.full(len(far), np.inf)
        return np.minimum(a, b), a <= b


def rarity_of(known: Judged, n_classes: int, weight: float = 0.5) -> Rarity:
    """Return what new cells are compared with, of known cells of held-out donors."""
    usual = usual_distances(known.distance, known.best, n_classes)
    far = standardised(known.distance, known.best, usual)
    return Rarity(np.sort(far), np.sort(known.confidence), usual, weight)


def threshold(scores: np.ndarray, false_alarm: float) -> float:
    """Return the score below which a cell is unknown: at most `false_alarm` of these known cells are."""
    ordered = np.sort(scores)
    return float(ordered[min(int(false_alarm * len(ordered)), len(ordered) - 1)])
