"""Predictions counted: how many cells of each donor and class were named what.

Every score of a comparison is a sum over such counts, and there are a thousand times fewer of them than
cells: a task's predictions are read once, counted, and not needed again.
"""

from typing import Any

import numpy as np
import pandas as pd

Side = tuple[str, str]  # arm, scheme
KEYS = ["arm", "scheme", "fold", "seed"]


def tally(predictions: pd.DataFrame, donors: pd.Series | np.ndarray | pd.Categorical) -> pd.DataFrame:
    """Count cells by what they are and what they were named.

    Parameters
    ----------
    predictions
        The run table: cell, arm, scheme, fold, seed, true, predicted, scored.
    donors
        Donor of every cell of the dataset (shape ``n_cells``); `predictions["cell"]` indexes it.

    Returns
    -------
    DataFrame
        arm, scheme, fold, seed, donor (categories, in the order of the dataset), true, predicted, scored, and
        the number of such ``cells``. Every function that scores predictions takes it in their place.
    """
    own = donors if isinstance(donors, pd.Categorical) else donor_codes(donors)
    names = [*KEYS, "donor", "true", "predicted", "scored"]
    frame = predictions.assign(donor=own[predictions["cell"].to_numpy()])[names]
    counted = frame.groupby(names, sort=False, observed=True, dropna=False).size().rename("cells")
    table = counted.reset_index()
    text = [name for name in names if isinstance(table[name].dtype, pd.CategoricalDtype) and name != "donor"]
    return table.astype(dict.fromkeys(text, object))


def donor_codes(donors: pd.Series | np.ndarray) -> pd.Categorical:
    """Return each cell's donor as a category, in the order in which the dataset names them."""
    codes, names = pd.factorize(np.asarray(donors, dtype=object), use_na_sentinel=False)
    return pd.Categorical.from_codes(codes, pd.Index(names).fillna("(no donor)").astype(str))


def weights_of(frame: pd.DataFrame) -> np.ndarray:
    """Return how many cells each row stands for: one in a table of predictions, many in a `tally`."""
    return frame["cells"].to_numpy() if "cells" in frame else np.ones(len(frame), np.int64)


class DonorCounts:
    """Per side, seed, fold and donor: cells named right, of the class, and named so, for each scored class.

    Parameters
    ----------
    predictions
        The run table (cell, arm, scheme, fold, seed, true, predicted, scored), or its `tally`.
    donors
        Donor of every cell of the dataset (shape ``n_cells``); a tally names them itself.

    Attributes
    ----------
    counts
        (arm, scheme) -> seed -> fold -> numbers (3, n_donors, n_classes).
    """

    def __init__(
        self, predictions: pd.DataFrame, donors: pd.Series | np.ndarray | pd.Categorical | None = None
    ) -> None:
        if donors is not None and "donor" not in predictions:
            predictions = tally(predictions, donors)
        rows = predictions[predictions["scored"].to_numpy(bool)]
        own = pd.Categorical(rows["donor"])
        donor, self.donors = own.codes.astype(np.int64), own.categories.to_numpy(dtype=object)
        self.n_donors = len(self.donors)
        true, classes = pd.factorize(rows["true"])
        predicted = pd.Index(classes).get_indexer(pd.Index(rows["predicted"]))
        weights = weights_of(rows)
        self.n_classes = len(classes)
        self.counts: dict[Side, dict[int, dict[int, np.ndarray]]] = {}
        groups: Any = rows.groupby(["arm", "scheme", "seed", "fold"], sort=False).indices
        for (arm, scheme, seed, fold), mine in groups.items():
            d, t, p, n = donor[mine], true[mine], predicted[mine], weights[mine]
            right, known = t == p, p >= 0
            found = [
                self._count(d[right], t[right], n[right]),
                self._count(d, t, n),
                self._count(d[known], p[known], n[known]),
            ]
            self.counts.setdefault((arm, scheme), {}).setdefault(seed, {})[fold] = np.stack(found)

    def _count(self, donor: np.ndarray, which: np.ndarray, number: np.ndarray) -> np.ndarray:
        flat = np.bincount(donor * self.n_classes + which, number, self.n_donors * self.n_classes)
        return flat.astype(np.int64).reshape(self.n_donors, self.n_classes)

    def folds(self, side: Side) -> set[int]:
        """Return the folds of the side's seed that has most of them."""
        return max((set(seed) for seed in self.counts.get(side, {}).values()), key=len, default=set())

    def pooled(self, side: Side, folds: set[int]) -> list[np.ndarray]:
        """Return the counts over `folds`, (3, n_donors, n_classes), of each seed that has all of them."""
        seeds = self.counts.get(side, {}).values()
        return [np.sum([seed[f] for f in folds], 0) for seed in seeds if folds and folds <= set(seed)]


def trained_on(folds: pd.DataFrame) -> str:
    """Say how many training cells an epoch took, from the run table `folds`; nothing where it took all."""
    if "n_train_all" not in folds or (folds["n_train"] == folds["n_train_all"]).all():
        return ""
    taken, whole = folds["n_train"], folds["n_train_all"]
    of = f"{whole.min():,}" if whole.nunique() == 1 else f"{whole.min():,} to {whole.max():,}"
    return (
        f"An epoch took {taken.max():,} of the {of} labelled training cells, drawn anew and balanced over "
        "classes and donors; linear probes and baselines trained on one such draw."
    )
