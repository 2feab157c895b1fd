"""Which training cells an epoch takes where it does not take all: balanced over classes and donors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.errors import InputError
from sgm_core.training.config.settings import ALL_UP_TO, BEYOND, BY_SIZE

ONE_DRAW = 0
"""Seed of the one draw that linear probes and baselines train on, the same in every arm."""
PRETRAINING, FINETUNING = 32, 33
"""Purposes of random numbers, apart from those of `sgm_core.training.pretrain`."""


def cells_an_epoch(asked: int | None, dataset: Dataset, n_train: int, others: Sequence[Dataset] = ()) -> int:
    """Return how many of `n_train` training cells an epoch takes.

    Parameters
    ----------
    asked : the field ``train_cells``: a number, None = all, `BY_SIZE` = as the dataset's size says
    dataset : what the cells are of
    n_train : number of training cells there are
    others : further datasets of its corpus
    """
    if asked == BY_SIZE:
        n_cells = sum(one.n_cells for one in (dataset, *others))
        asked = BEYOND if n_cells > ALL_UP_TO else None
    return n_train if asked is None else min(asked, n_train)


@dataclass(frozen=True)
class _Class:
    """The cells of one class: those of a donor lie behind each other, in random order.

    Parameters
    ----------
    rows : the cells (n,)
    starts, sizes : where each donor's begin, and how many they are (D,)
    cap, more : each donor gives `cap` cells an epoch or all; `more` of those with further cells one more
    """

    rows: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    cap: int
    more: int

    def epoch(self, epoch: int) -> np.ndarray:
        take = np.minimum(self.sizes, self.cap)
        larger = np.flatnonzero(self.sizes > self.cap)
        if self.more:  # not the same donors each time
            take[larger[(epoch * self.more + np.arange(self.more)) % len(larger)]] += 1
        within = np.arange(take.sum()) - np.repeat(np.cumsum(take) - take, take)
        begin = epoch * (self.cap + 1) % self.sizes  # behind what the epochs before took
        at = (within + np.repeat(begin, take)) % np.repeat(self.sizes, take)
        return self.rows[np.repeat(self.starts, take) + at]


class TrainCells:
    """The training cells of each epoch.

    Every class gives the same number of cells, or all it has where that is fewer, and so does every donor
    within a class. Cells come again only when a donor's are used up. What an epoch takes follows from the
    seed, the purpose and the epoch's number alone.

    Parameters
    ----------
    rows : row numbers of all training cells (n,), ascending
    classes, donors : (n,) numbers of each cell's class and donor, from 0
    size : cells an epoch; with n or more, every epoch takes `rows` as they are
    seed, purpose : key of the random numbers

    Raises
    ------
    InputError
        If an epoch can't have a cell of every class.
    """

    def __init__(
        self, rows: np.ndarray, classes: np.ndarray, donors: np.ndarray, size: int, seed: int, purpose: int
    ) -> None:
        self.rows, self.size = rows, min(size, len(rows))
        self._classes: list[_Class] = []
        if self.size == len(rows):
            return
        number, sizes = np.unique(classes, return_counts=True)
        if self.size < len(number):
            raise InputError(
                f"train_cells is {size:,} and the training donors have {len(number)} classes, of which none "
                f"is left out: give {len(number)} or more"
            )
        cap, more = even(sizes, self.size)
        quota = np.minimum(sizes, cap)
        larger = np.flatnonzero(sizes > cap)
        quota[larger[:more]] += 1
        shuffled = np.random.default_rng([seed, purpose]).permutation(len(rows))
        ordered = shuffled[np.lexsort((donors[shuffled], classes[shuffled]))]
        for cells, n_cells in zip(np.split(ordered, np.cumsum(sizes)[:-1]), quota, strict=True):
            own = np.bincount(donors[cells])
            own = own[own > 0]
            self._classes.append(_Class(rows[cells], np.cumsum(own) - own, own, *even(own, int(n_cells))))

    def epoch(self, epoch: int) -> np.ndarray:
        """Return the row numbers of an epoch's cells, ascending; epochs count from 0."""
        if not self._classes:
            return self.rows
        return np.sort(np.concatenate([one.epoch(epoch) for one in self._classes]))

    def over(self, epochs: int) -> np.ndarray:
        """Return the row numbers of all cells of the first `epochs` epochs, ascending."""
        return np.unique(np.concatenate([self.epoch(epoch) for epoch in range(epochs)]))


def even(sizes: np.ndarray, total: int) -> tuple[int, int]:
    """Return the number that every group gives so that they give `total` together, and what is left over.

    Parameters
    ----------
    sizes : how many each group has; a group with fewer than that number gives all
    total : at most their sum

    Returns
    -------
    tuple
        The number, and how many of the groups with more than that give one more.
    """
    ordered = np.sort(sizes)
    before = np.cumsum(ordered) - ordered
    shares = (total - before) // np.arange(len(ordered), 0, -1)
    full = np.flatnonzero(ordered > shares)
    if not len(full):
        return int(ordered[-1]), 0
    first = full[0]
    return int(shares[first]), int(total - before[first] - shares[first] * (len(ordered) - first))


def every_cell(rows: np.ndarray) -> TrainCells:
    """Return training cells of which every epoch takes all."""
    return TrainCells(rows, np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), len(rows), 0, 0)


def train_cells(
    dataset: Dataset, rows: np.ndarray, classes: np.ndarray, asked: int | None, seed: int, purpose: int
) -> TrainCells:
    """Return the training cells of each epoch; see `cells_an_epoch` and `TrainCells`.

    Parameters
    ----------
    dataset, rows : the dataset and its training cells (n,), ascending
    classes : (n,) number of each one's class
    asked : the field ``train_cells``
    seed, purpose : key of the random numbers
    """
    size = cells_an_epoch(asked, dataset, len(rows))
    donors = pd.factorize(dataset.donors().iloc[rows])[0]
    return TrainCells(rows, classes, donors, size, seed, purpose)
