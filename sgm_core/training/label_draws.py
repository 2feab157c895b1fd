"""A few labelled cells a class, drawn from a fold's training donors: what a lab with few labels has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sgm_core.analysis.budgets import ALL
from sgm_core.cells.split import Fold
from sgm_core.training.labelled import LabelledFold
from sgm_core.training.train_cells import every_cell

_TRAIN, _VALIDATION = 48, 49  # purposes of random numbers


@dataclass(frozen=True)
class LabelDraw:
    """The cells that a classifier learns from at one number of labels.

    Parameters
    ----------
    labels : labelled cells a class, `ALL` = all of them
    draw : number of the draw
    part : the cells
    """

    labels: int
    draw: int
    part: LabelledFold

    @property
    def short(self) -> int:
        """Number of classes that have fewer cells than `labels`."""
        return int((np.bincount(self.part.codes) < self.labels).sum())


def some_of_each(codes: np.ndarray, n: int, key: Sequence[int]) -> np.ndarray:
    """Draw `n` cells of each class, or all that a class has.

    Parameters
    ----------
    codes : (cells,) class numbers
    n : cells a class
    key : seed of the draw; a larger `n` holds the cells of a smaller one

    Returns
    -------
    Positions in `codes`, ascending.
    """
    shuffled = np.random.default_rng(list(key)).permutation(len(codes))
    ordered = shuffled[np.argsort(codes[shuffled], kind="stable")]
    sizes = np.bincount(codes)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(ordered[rank < n])


def label_draws(
    part: LabelledFold, fold: Fold, labels: Sequence[int], draws: int, seed: int
) -> list[LabelDraw]:
    """Return the draws of a fold's labelled cells at each number of labels.

    They follow from seed, fold and number of the draw alone, so they are the same in every arm, for every
    scheme and for the baselines. The validation cells, which choose epochs and penalties, are drawn in the
    same way: a lab with few labels has few to choose by.

    Parameters
    ----------
    part, fold : the labelled cells of a fold
    labels : labelled cells a class
    draws : draws at each of them
    seed : the comparison's
    """
    found = []
    for n in labels:
        if n == ALL:
            found.append(LabelDraw(ALL, 0, part))
            continue
        for draw in range(draws):
            key = seed, fold.index, draw
            at = some_of_each(part.codes, n, (*key, _TRAIN))
            chosen_by = some_of_each(part.validation_codes, n, (*key, _VALIDATION))
            few = replace(
                part,
                cells=every_cell(part.cells.rows[at]),
                codes=part.codes[at],
                drawn=np.ones(len(at), bool),
                validation=part.validation[chosen_by],
                validation_codes=part.validation_codes[chosen_by],
            )
            found.append(LabelDraw(n, draw, few))
    return found
