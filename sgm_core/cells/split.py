"""Donor-level splits: no donor is ever in two parts of a fold."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sgm_core.cells.balance import balanced, validation_donors
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.kept_folds import Fold, kept_folds
from sgm_core.errors import InputError

MIN_CELLS, MIN_DONORS = 20, 5
SCHEMES = ("cv", "holdout", "authors")
DRAWS = 5
"""Draws of the test cells that the authors' code scores as five folds."""
_PARTS = ("train", "validation", "test")


_KEPT = 64
_kept: dict[tuple[object, ...], list[Fold]] = {}
_tables: dict[tuple[str, str | None], tuple[pd.DataFrame, pd.Series]] = {}


__all__ = ["Fold", "class_coverage", "donor_folds", "fold_cells", "scored_classes"]


def donor_folds(
    ds: Dataset, scheme: str = "cv", n_folds: int = 5, seed: int = 0, label: str | None = None
) -> list[Fold]:
    """Split the donors, stratified by each donor's main (cell type x timepoint).

    ``cv`` gives `n_folds` folds, each donor being tested exactly once; about 15 % of a fold's training donors
    are set apart for validation (early stopping, choices). ``holdout`` gives the paper's one split of
    80 / 10 / 10 % of the donors, strata of one donor being pooled. ``authors`` gives that one split five
    times, each with a draw of as many test cells with replacement: the authors' 'folds', whose spread is the
    noise of drawing cells and says nothing about donors. The same arguments give the same folds; they are
    worked out once and kept beside the dataset.

    Parameters
    ----------
    ds
        The dataset.
    scheme
        ``cv``, ``holdout`` or ``authors``.
    n_folds
        Number of folds of ``cv``.
    seed
        Draws among equally good splits.
    label
        The label column; by default the dataset's cell type.

    Raises
    ------
    InputError
        If there are fewer donors than folds, or fewer than three donors.
    """
    if scheme not in SCHEMES:
        raise InputError(f"scheme {scheme!r} is unknown: take {', '.join(map(repr, SCHEMES))}")
    key = (ds.content_hash, scheme, n_folds if scheme == "cv" else 0, seed, label)
    if key not in _kept:
        one = "cv" if scheme == "cv" else "holdout"
        about = {"scheme": one, "n_folds": key[2], "seed": seed, "label": label}
        folds = kept_folds(ds, about, lambda: _donor_folds(ds, one, n_folds, seed, label))
        if scheme == "authors":
            folds = [replace(folds[0], index=draw, draw=draw) for draw in range(DRAWS)]
        if len(_kept) >= _KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[key] = folds
    return list(_kept[key])


def _donor_folds(ds: Dataset, scheme: str, n_folds: int, seed: int, label: str | None) -> list[Fold]:
    counts, strata = _donor_tables(ds, label)
    n_donors = len(counts)
    if n_donors < 3:
        raise InputError(
            f"dataset {ds.name!r} has {n_donors} donors; a split needs at least 3, "
            "one each to train, validate and test"
        )
    rng = np.random.default_rng([seed, 5])
    order = rng.permutation(n_donors)
    counts, strata = counts.iloc[order], strata.iloc[order]
    if scheme == "holdout":
        return [_holdout(strata)]
    # Beside the tested donors of a fold, one must be left to train and one to validate.
    fewest = next(n for n in range(2, n_donors + 1) if n_donors - -(-n_donors // n) >= 2)
    if not fewest <= n_folds <= n_donors:
        raise InputError(
            f"{n_folds} folds can't be made of {n_donors} donors (a donor is never split): "
            f"take between {fewest} and {n_donors} folds"
        )
    scored, _ = scored_classes(ds, label)
    table = counts.reindex(columns=scored or counts.columns).to_numpy(float)
    fold_of = balanced(table, pd.factorize(strata)[0], n_folds)
    folds = []
    for index in range(n_folds):
        rest = np.flatnonzero(fold_of != index)
        validation = validation_donors(table, counts.to_numpy(), rest)
        parts = (np.setdiff1d(rest, validation), validation, np.flatnonzero(fold_of == index))
        donors = [tuple(sorted(counts.index[part])) for part in parts]
        folds.append(Fold(index, donors[0], donors[1], donors[2]))
    return folds


def fold_cells(ds: Dataset, fold: Fold) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of the training, validation and test cells, unlabelled ones among them.

    Rows ascend; those of a draw with replacement come as often as they were drawn.
    """
    donors = ds.donors()
    train, validation, test = (
        np.flatnonzero(donors.isin(part)) for part in (fold.train, fold.validation, fold.test)
    )
    if fold.draw is not None:
        test = np.sort(np.random.default_rng([fold.draw, 6]).choice(test, len(test)))
    return train, validation, test


def scored_classes(
    ds: Dataset,
    label: str | None = None,
    min_cells: int = MIN_CELLS,
    min_donors: int = MIN_DONORS,
    donors: Sequence[str] | None = None,
) -> tuple[list[str], pd.DataFrame]:
    """Return the classes that the primary score covers, and the others with the reason.

    Parameters
    ----------
    ds, label
        The cells and their label column.
    min_cells, min_donors
        What a class must have.
    donors
        Those that are counted; by default all.

    Returns
    -------
    classes
        Sorted names of the classes with at least `min_cells` cells and `min_donors` donors.
    others
        Columns cell_type, n_cells, n_donors, reason.
    """
    counts, _ = _donor_tables(ds, label)
    if donors is not None:
        counts = counts.loc[list(donors)]
    cells, of_donors = counts.sum(), (counts > 0).sum()
    enough = (cells >= min_cells) & (of_donors >= min_donors)
    others = pd.DataFrame(
        {"cell_type": cells.index, "n_cells": cells.to_numpy(), "n_donors": of_donors.to_numpy()}
    )
    others["reason"] = [
        "; ".join(
            text
            for text, few in (
                (f"{n} cells, {min_cells} needed", n < min_cells),
                (f"{d} donors, {min_donors} needed", d < min_donors),
            )
            if few
        )
        for n, d in zip(cells, of_donors, strict=True)
    ]
    return sorted(cells.index[enough]), others[~enough.to_numpy()].reset_index(drop=True)


def class_coverage(ds: Dataset, folds: Sequence[Fold], label: str | None = None) -> pd.DataFrame:
    """Return, per class and fold, the cells and donors of each part.

    Returns
    -------
    coverage
        Columns cell_type, scored, fold and, for each of train, validation and test, ``PART_cells`` and
        ``PART_donors``.
    """
    counts, _ = _donor_tables(ds, label)
    scored, _ = scored_classes(ds, label)
    frames = []
    for fold in folds:
        frame = pd.DataFrame(
            {"cell_type": counts.columns, "scored": counts.columns.isin(scored), "fold": fold.index}
        )
        for name in _PARTS:
            part = counts.loc[list(getattr(fold, name))]
            frame[f"{name}_cells"] = part.sum().to_numpy()
            frame[f"{name}_donors"] = (part > 0).sum().to_numpy()
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _donor_tables(ds: Dataset, label: str | None) -> tuple[pd.DataFrame, pd.Series]:
    """Return donor x class numbers of labelled cells, and each donor's main (cell type x timepoint)."""
    key = (ds.content_hash, label)
    if key not in _tables:
        if len(_tables) >= _KEPT:
            _tables.pop(next(iter(_tables)))
        _tables[key] = _count(ds, label)
    counts, main = _tables[key]
    return counts.copy(), main.copy()


def _count(ds: Dataset, label: str | None) -> tuple[pd.DataFrame, pd.Series]:
    labels = ds.labels(label)
    donor, donors = pd.factorize(ds.donors(), sort=True)
    kind, kinds = pd.factorize(labels, sort=True)
    counts = _crossed(donor, kind, len(donors), len(kinds))
    pairs = kind, list(kinds)
    if ds.timepoint_column:
        day, days = pd.factorize(ds.annotations[ds.timepoint_column].fillna(""), sort=True)
        # The pairs sorted as texts: of two that are as frequent, a donor's main one is the first.
        joined = [f"{a} | {b}" for a in kinds for b in days]
        place = np.argsort(np.argsort(joined)) if joined else np.zeros(1, np.int64)
        pairs = np.where(kind < 0, -1, place[kind * len(days) + day]), sorted(joined)
    number = _crossed(donor, pairs[0], len(donors), len(pairs[1]))
    main = [pairs[1][row.argmax()] if row.any() else "" for row in number]
    names_of = pd.Index(donors, name=ds.donor_column)
    table = pd.DataFrame(counts, names_of, pd.Index(kinds, name=labels.name, dtype=object))
    return table, pd.Series(main, names_of, dtype=object)


def _crossed(first: np.ndarray, second: np.ndarray, n_first: int, n_second: int) -> np.ndarray:
    """Return how often two codes come together, int64 (n_first, n_second); -1 is left out."""
    known = second >= 0
    both = first[known].astype(np.int64) * n_second + second[known]
    return np.bincount(both, minlength=n_first * n_second).reshape(n_first, n_second)


def _holdout(strata: pd.Series) -> Fold:
    """Split 80 / 10 / 10 by donor within strata; strata of one donor are pooled."""
    sizes = strata.map(strata.value_counts())
    pooled = strata.where(sizes > 1, "pooled")
    rest = list(pooled.index)
    parts = []
    for _ in ("test", "validation"):
        groups = pooled[rest]
        n_part = max(1, round(0.1 * len(strata)))
        # Largest remainders: each stratum gives its share, and the biggest fractions fill up the part.
        wanted = groups.value_counts(sort=False) * n_part / len(rest)
        whole = wanted.astype(int)
        largest = (wanted - whole).sort_values(ascending=False, kind="stable").index
        whole[largest[: n_part - whole.sum()]] += 1
        place = groups.groupby(groups).cumcount()
        part = [donor for donor in rest if place[donor] < whole[groups[donor]]]
        parts.append(tuple(sorted(part)))
        rest = [donor for donor in rest if donor not in part]
    return Fold(0, tuple(sorted(rest)), parts[1], parts[0])
