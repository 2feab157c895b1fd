"""When to say 'unknown': how rare a cell's distance and evidence are among known cells of other donors."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""What the distance may count beside the evidence; held-out classes choose one."""
TOO_FAR, NOT_LIKELY, TOO_FEW = "too far from the training cells", "no class likely", "too few genes"
REASONS = ("", TOO_FAR, NOT_LIKELY, TOO_FEW)


class Judged(NamedTuple):
    """What 'unknown' goes by (n,): mean distance to the nearest reference cells, and the largest logit.

    The logit and not the probability: of a cell that speaks for no class, the least unlikely one can be
    near certain (Hendrycks et al., ICML 2022, arXiv:1911.11132).
    """

    distance: np.ndarray
    evidence: np.ndarray

    def of(self, which: np.ndarray) -> "Judged":
        """Return some of the cells."""
        return Judged(*(part[which] for part in self))


@dataclass(frozen=True)
class Rarity:
    """The known cells of held-out donors that a new cell is compared with.

    Parameters
    ----------
    distances, evidence : of these cells, sorted (n,)
    weight : what the distance counts, 0 to 1
    """

    distances: np.ndarray
    evidence: np.ndarray
    weight: float = 0.5

    def shares(self, cells: Judged) -> tuple[np.ndarray, np.ndarray]:
        """Return the shares of known cells as far, and of as little evidence (conformal p-values)."""
        n = len(self.distances)
        far = (1 + n - np.searchsorted(self.distances, cells.distance, "left")) / (n + 1)
        unlikely = (1 + np.searchsorted(self.evidence, cells.evidence, "right")) / (n + 1)
        return far, unlikely

    def score(self, cells: Judged) -> tuple[np.ndarray, np.ndarray]:
        """Return how known cells look (m,), smaller is less known, and whether distance decides (m,).

        The weighted geometric mean of both shares, as Fisher combines p-values: what is a little odd in both
        is odd, and one extreme suffices.
        """
        far, unlikely = (np.log(share) for share in self.shares(cells))
        a, b = self.weight * far, (1 - self.weight) * unlikely
        return np.exp(a + b), a < b if self.weight < 1 else np.ones(len(a), bool)


def rarity_of(known: Judged, weight: float = 0.5) -> Rarity:
    """Return what new cells are compared with, of known cells of held-out donors."""
    return Rarity(np.sort(known.distance), np.sort(known.evidence), weight)


def threshold(scores: np.ndarray, false_alarm: float) -> float:
    """Return the score below which a cell is unknown: at most `false_alarm` of these known cells are."""
    ordered = np.sort(scores)
    return float(ordered[min(int(false_alarm * len(ordered)), len(ordered) - 1)])
