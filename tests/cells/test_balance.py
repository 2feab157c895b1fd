"""Folds by sums are those of the definition, worked out from the start for each change."""

import time

import numpy as np
import pytest

from sgm_core.cells.balance import balanced, validation_donors


def by_definition(table: np.ndarray, strata: np.ndarray, n_folds: int) -> np.ndarray:
    n_donors = len(table)
    share = table / np.maximum(table.sum(axis=0), 1)
    present = (table > 0).astype(float)
    possible = np.minimum(present.sum(axis=0), n_folds)
    member = np.eye(strata.max() + 1)[strata]

    def cost(fold_of):
        inside = np.eye(n_folds + 1)[fold_of][:, :n_folds]
        missing = (possible - (inside.T @ present > 0).sum(axis=0)).sum()
        return (
            4 * missing
            + (inside.T @ member).var(axis=0).sum()
            + n_folds * (inside.T @ share).var(axis=0).sum()
        )

    capacity = np.full(n_folds, n_donors // n_folds)
    capacity[: n_donors % n_folds] += 1
    fold_of = np.full(n_donors, n_folds)
    for donor in np.argsort(-share.max(axis=1), kind="stable"):
        free = np.flatnonzero(np.bincount(fold_of, minlength=n_folds + 1)[:n_folds] < capacity)
        trials = np.repeat(fold_of[None], len(free), axis=0)
        trials[:, donor] = free
        fold_of = trials[np.argmin([cost(trial) for trial in trials])]
    best, improved = cost(fold_of), True
    while improved:
        improved = False
        for a in range(n_donors):
            for b in range(a):
                trial = fold_of.copy()
                trial[[a, b]] = fold_of[[b, a]]
                value = cost(trial)
                if value < best - 1e-12:
                    fold_of, best, improved = trial, value, True
    return fold_of


def validation_by_definition(scored, every, rest):
    chosen = []
    whole = scored[rest].sum(axis=0) / max(scored[rest].sum(), 1)
    for _ in range(max(1, round(0.15 * len(rest)))):

        def rank(donor):
            inside = [*chosen, donor]
            cells = scored[inside].sum(axis=0)
            left = every[np.setdiff1d(rest, inside)].sum(axis=0)
            lost = ((left == 0) & (every[inside].sum(axis=0) > 0)).sum()
            distance = np.abs(cells / max(cells.sum(), 1) - whole).sum()
            return float(lost * len(whole) - (cells > 0).sum()), float(distance)

        chosen.append(min(np.setdiff1d(rest, chosen), key=rank))
    return np.array(chosen)


@pytest.mark.parametrize("seed", range(12))
def test_folds_are_those_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    n, n_classes, n_folds = rng.integers(4, 24), rng.integers(1, 12), rng.integers(2, 5)
    table = rng.poisson(rng.gamma(0.4, 20, (n, n_classes))).astype(float)
    if seed % 3 == 0:  # donors that are copies of others: exchanges that bring nothing
        table = table[rng.integers(0, max(2, n // 3), n)]
    strata = np.unique(rng.integers(0, 5, n), return_inverse=True)[1]
    folds = balanced(table, strata, int(n_folds))
    assert np.array_equal(folds, by_definition(table, strata, int(n_folds)))
    rest = np.flatnonzero(folds != 0)
    every = np.column_stack([table, rng.integers(0, 2, n)])
    got = validation_donors(table, every, rest)
    assert np.array_equal(got, validation_by_definition(table, every, rest))


def test_a_thousand_donors_take_seconds_and_are_balanced():
    rng = np.random.default_rng(1)
    table = rng.poisson(rng.gamma(0.4, 20, (1000, 19))).astype(float)
    strata = np.unique(table.argmax(axis=1), return_inverse=True)[1]
    start = time.process_time()
    folds = balanced(table, strata, 5)
    assert time.process_time() - start < 20  # as it was: some 20 minutes
    assert np.bincount(folds).tolist() == [200] * 5
    cells = np.array([table[folds == fold].sum(axis=0) for fold in range(5)])
    at_random = np.array([table[rng.permutation(1000)[:200]].sum(axis=0) for _ in range(5)])
    assert (cells / table.sum(axis=0)).std() < 0.2 * (at_random / table.sum(axis=0)).std()
