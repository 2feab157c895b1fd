"""Which donors go together: folds of equal classes, and validation donors that resemble the rest."""

import numpy as np

_VALIDATION_SHARE = 0.15
_GAIN = 1e-12
_NEAR = 1e-9
_EXACT = 4000
"""Donors x folds up to which folds that are equally good but for the rounding are told apart by it."""


def balanced(table: np.ndarray, strata: np.ndarray, n_folds: int) -> np.ndarray:
    """Assign donors to folds, first greedily, then by exchanging pairs.

    Fold sizes differ by one donor at most. What is made small, in this order of weight: classes that a fold
    misses though they have donors enough, the spread of a stratum's donors, the spread of each class's cells.
    What a change brings is worked out from the sums of the two folds that it touches.

    Parameters
    ----------
    table
        Cells, donor x class.
    strata
        Number of each donor's stratum (n_donors,).
    n_folds
        The number of folds.

    Returns
    -------
    fold_of : int64 (n_donors,)
    """
    n_donors = len(table)
    state = _Folds(table, strata, n_folds)
    capacity = np.full(n_folds, n_donors // n_folds)
    capacity[: n_donors % n_folds] += 1
    exact = n_donors * n_folds <= _EXACT
    # Rare classes first: donors that hold much of some class leave the least choice.
    for donor in np.argsort(-state.share.max(axis=1, initial=0), kind="stable"):
        free = np.flatnonzero(np.bincount(state.fold_of, minlength=n_folds + 1)[:n_folds] < capacity)
        rise = state.rise(int(donor), free)
        near = free[rise <= rise.min() + _NEAR]
        if exact and len(near) > 1:
            near = near[[np.argmin([state.cost({int(donor): int(fold)}) for fold in near])]]
        state.move(int(donor), int(near[0]))
    _exchange_pairs(state, exact)
    return state.fold_of


def _exchange_pairs(state: "_Folds", exact: bool) -> None:
    """Exchange pairs of donors as long as that makes the cost smaller, the first such pair first."""
    best, improved = state.cost() if exact else 0.0, True
    while improved:
        improved = False
        for a in range(1, len(state.fold_of)):
            first = 0
            while first < a:
                # Exchanges that bring nothing differ from 0 by the rounding only.
                better = state.exchange(a)[first:a] < (-_GAIN / 2 if exact else -_NEAR)
                for b in map(int, first + np.flatnonzero(better)):
                    first = b + 1
                    pair = {a: int(state.fold_of[b]), b: int(state.fold_of[a])}
                    value = state.cost(pair) if exact else -np.inf
                    if value < best - _GAIN:
                        best, improved = value if exact else best, True
                        for donor, fold in pair.items():
                            state.move(donor, fold)
                        break
                else:
                    break


class _Folds:
    """Donors in folds, and the sums by which a change is judged; fold `n_folds` is 'none yet'."""

    def __init__(self, table: np.ndarray, strata: np.ndarray, n_folds: int) -> None:
        self.n_folds, n_donors = n_folds, len(table)
        self.share = table / np.maximum(table.sum(axis=0), 1)
        self.present = (table > 0).astype(float)
        self.possible = np.minimum(self.present.sum(axis=0), n_folds)
        self.strata = strata
        self.member = np.eye(strata.max() + 1)[strata]
        self.fold_of = np.full(n_donors, n_folds)
        # Per fold: the sums over its donors; the last row is for those without a fold.
        self.sums = np.zeros((n_folds + 1, table.shape[1]))
        self.held = np.zeros((n_folds + 1, table.shape[1]))
        self.sizes = np.zeros((n_folds + 1, self.member.shape[1]))
        self.square = (self.share**2).sum(axis=1)
        self.products = self.share @ self.share.T

    def cost(self, moved: dict[int, int] | None = None) -> float:
        """Return what is made small, from the start, with some donors moved."""
        fold_of = self.fold_of.copy()
        for donor, fold in (moved or {}).items():
            fold_of[donor] = fold
        inside = np.eye(self.n_folds + 1)[fold_of][:, : self.n_folds]
        missing = (self.possible - (inside.T @ self.present > 0).sum(axis=0)).sum()
        return (
            4 * missing
            + (inside.T @ self.member).var(axis=0).sum()
            + self.n_folds * (inside.T @ self.share).var(axis=0).sum()
        )

    def move(self, donor: int, fold: int) -> None:
        """Put a donor into a fold."""
        for sums, values in ((self.sums, self.share), (self.held, self.present), (self.sizes, self.member)):
            sums[self.fold_of[donor]] -= values[donor]
            sums[fold] += values[donor]
        self.fold_of[donor] = fold

    def rise(self, donor: int, folds: np.ndarray) -> np.ndarray:
        """Return, for each of `folds`, what a donor without a fold adds to the cost there (but a constant).

        The sum over folds grows by the same wherever the donor goes, so that of the variance only the
        squares differ: (s + x)^2 - s^2 = 2 s x + x^2.
        """
        new = ((self.held[folds] == 0) * self.present[donor]).sum(axis=1)
        spread = 2 * self.sizes[folds, self.strata[donor]] / self.n_folds
        return -4 * new + spread + 2 * self.sums[folds] @ self.share[donor]

    def exchange(self, a: int) -> np.ndarray:
        """Return what exchanging donor `a` with each other donor adds to the cost, infinite within a fold.

        With d the difference of the two, (s + d)^2 - s^2 + (t - d)^2 - t^2 = 2 d (s - t + d).
        """
        mine, fold_of = int(self.fold_of[a]), self.fold_of
        alone, absent = self.held == 1, self.held == 0
        lost_here = self.present @ (alone[mine] * self.present[a])
        lost_here = lost_here[a] - lost_here
        lost_there = ((alone[fold_of] * self.present) * (1 - self.present[a])).sum(axis=1)
        won = self.present @ absent[mine] + absent[fold_of] @ self.present[a]
        missing = lost_here + lost_there - won

        at = self.share @ self.sums[mine]  # each donor's share times the sums of a's fold
        own = np.einsum("ij,ij->i", self.share, self.sums[fold_of])
        cross = self.sums[fold_of] @ self.share[a]
        squares = self.square + self.square[a] - 2 * self.products[a]
        spread = 2 * (at - at[a] - own + cross + squares)

        s, other = self.strata[a], self.strata
        gap = self.sizes[mine, other] - self.sizes[fold_of, other] + 1
        gap -= self.sizes[mine, s] - self.sizes[fold_of, s] - 1
        strata = np.where(other == s, 0.0, 2 * gap / self.n_folds)
        change = 4 * missing + spread + strata
        change[fold_of == mine] = np.inf
        return change


def validation_donors(scored: np.ndarray, every: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Choose validation donors out of the training donors `rest`, about 15 %.

    They cover as many scored classes as they can without taking a class's last training donor, and then
    resemble the whole in the shares of their classes.

    Parameters
    ----------
    scored, every
        Cells, donor x scored class and donor x class.
    rest
        Rows of the training donors, ascending.
    """
    chosen: list[int] = []
    whole = scored[rest].sum(axis=0) / max(scored[rest].sum(), 1)
    left = rest
    for _ in range(max(1, round(_VALIDATION_SHARE * len(rest)))):
        cells = scored[chosen].sum(axis=0) + scored[left]
        inside = every[chosen].sum(axis=0) + every[left]
        lost = ((every[rest].sum(axis=0) == inside) & (inside > 0)).sum(axis=1)
        distance = np.abs(cells / np.maximum(cells.sum(axis=1, keepdims=True), 1) - whole).sum(axis=1)
        best = np.lexsort((distance, lost * len(whole) - (cells > 0).sum(axis=1)))[0]
        chosen.append(int(left[best]))
        left = np.delete(left, best)
    return np.array(chosen)
