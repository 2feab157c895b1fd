"""Does a classifier say more of a cell than whose it is? Its macro F1 against shuffled predictions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

LEVEL = 0.005
MARGIN = 0.03
"""Macro F1 that a model must have beyond chance: a hair above it is no use to anybody."""
_SHUFFLES = 400


@dataclass(frozen=True)
class Chance:
    """A macro F1, and what shuffled predictions have.

    Parameters
    ----------
    macro_f1 : of the predictions
    expected : mean of the predictions shuffled among the cells of a donor
    p : share of shuffles that are as good
    """

    macro_f1: float
    expected: float
    p: float

    @property
    def useful(self) -> bool:
        """Whether the predictions say more than chance."""
        return self.p <= LEVEL and self.macro_f1 - self.expected >= MARGIN

    @property
    def sentence(self) -> str:
        """The same in one sentence."""
        numbers = f"macro F1 {self.macro_f1:.3f}, shuffled predictions {self.expected:.3f}"
        if self.useful:
            return f"names cells of donors that it never saw better than chance ({numbers})"
        return f"USELESS: names cells of donors that it never saw no better than chance ({numbers})"


def chance(true: np.ndarray, predicted: np.ndarray, donors: np.ndarray, seed: int = 0) -> Chance:
    """Compare predictions with the same predictions shuffled within each donor.

    Shuffling within donors leaves whatever a model knows of a donor as a whole, and takes what it knows of
    its cells: a model of shuffled labels stays at it.

    Parameters
    ----------
    true, predicted, donors : of each cell (n,)
    seed : of the shuffles
    """
    classes, codes = np.unique(np.asarray(true, str), return_inverse=True)
    named = pd.Index(classes).get_indexer(pd.Index(np.asarray(predicted, str)))
    named = np.where(named < 0, len(classes), named)
    donor = pd.factorize(np.asarray(donors, str))[0]
    order = np.argsort(donor, kind="stable")
    codes, named, donor = codes[order], named[order], donor[order]
    rng = np.random.default_rng([seed, 71])
    own = _macro_f1(codes, named, len(classes))
    shuffled = np.array(
        [
            _macro_f1(codes, named[np.lexsort((rng.random(len(donor)), donor))], len(classes))
            for _ in range(_SHUFFLES)
        ]
    )
    p = (1 + int((shuffled >= own).sum())) / (_SHUFFLES + 1)
    return Chance(own, float(shuffled.mean()), p)


def _macro_f1(codes: np.ndarray, named: np.ndarray, n: int) -> float:
    support, so = np.bincount(codes, minlength=n), np.bincount(named, minlength=n + 1)[:n]
    hits = np.bincount(codes[codes == named], minlength=n)
    return float((2 * hits / np.maximum(support + so, 1)).mean())
