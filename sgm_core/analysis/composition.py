"""What a selection of cells is made of, against the rest, and how far donors vouch for a difference."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

NO_LABEL = "(no label)"
MIN_DONORS = 5
_MIN_EFFECTIVE = 3.0
_LEVEL = 0.05
_RESAMPLES = 2000


@dataclass(frozen=True)
class Composition:
    """What two sides are made of.

    Parameters
    ----------
    table : label, n_selected, share_selected, n_rest, share_rest, difference (of the shares), ratio (infinite
        where the rest has none), low, high (95 % interval of the difference, for all labels together); one
        row a label among all cells, most selected first. Shares are NaN where a side is empty.
    n_donors : donors that the intervals are over; 0 without
    reason : why there are no intervals, empty if there are
    """

    table: pd.DataFrame
    n_donors: int
    reason: str

    @property
    def different(self) -> pd.DataFrame:
        """The labels whose interval leaves out zero, the largest difference first."""
        clear = self.table[(self.table["low"] > 0) | (self.table["high"] < 0)]
        return clear.reindex(clear["difference"].abs().sort_values(ascending=False).index)


def composition(
    labels: pd.Series | np.ndarray | pd.Categorical,
    selected: np.ndarray,
    donors: pd.Series | np.ndarray | pd.Categorical | None = None,
    seed: int = 0,
    why: str = "the dataset has no donor column",
) -> Composition:
    """Return what the selected cells are, against the rest, with intervals by donor bootstrap.

    Donors are resampled with all their cells (each side's own donors where no donor has cells on both sides):
    cells of a donor are not independent. The interval is the difference of the shares +- its bootstrap
    standard error times the 95 % quantile, over resamples, of the largest standardised deviation of any label
    (so it holds for all labels together), widened as Student's t is for the donors that really carry the side
    (Kish's effective number): two equal sides differ in any label in at most about 5 of 100 cases.

    Parameters
    ----------
    labels
        A label for each cell, None or NaN for none.
    selected
        Bool (cells,).
    donors
        The donor of each cell; None gives no intervals.
    seed
        Of the bootstrap.
    why
        Why there are no donors.
    """
    codes, levels = _codes(labels, NO_LABEL)
    side = np.asarray(selected, dtype=bool)
    donor, names = (np.zeros(len(codes), dtype=np.int64), [""]) if donors is None else _codes(donors, "")
    n_donors = len(names)
    n = len(levels)
    place = (donor * n + codes) * 2 + side
    counts = np.bincount(place, minlength=n_donors * n * 2).reshape(n_donors, n, 2).astype(float)
    rest, chosen = counts[..., 0], counts[..., 1]
    total, total_rest = chosen.sum(0), rest.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, share_rest = total / total.sum(), total_rest / total_rest.sum()
        ratio = share / share_rest
    table = pd.DataFrame(
        {
            "label": levels,
            "n_selected": total.astype(np.int64),
            "share_selected": share,
            "n_rest": total_rest.astype(np.int64),
            "share_rest": share_rest,
            "difference": share - share_rest,
            "ratio": ratio,
        }
    )
    reason = why if donors is None else _too_few(chosen, rest)
    half = np.full(n, np.nan) if reason else _half_widths(chosen, rest, seed)
    table["low"] = (table["difference"] - half).clip(lower=-1)
    table["high"] = (table["difference"] + half).clip(upper=1)
    order = ["n_selected", "n_rest", "label"]
    table = table.sort_values(order, ascending=[False, False, True], ignore_index=True)
    return Composition(table, 0 if reason else n_donors, reason)


def _codes(values: pd.Series | np.ndarray | pd.Categorical, missing: str) -> tuple[np.ndarray, list[str]]:
    """Return the number of each cell's level, and the levels in order; `missing` is one where it occurs."""
    if isinstance(values, pd.Categorical):
        kinds: Any = values
    else:
        kinds = pd.Categorical(pd.Series(np.asarray(values, dtype=object)).map(str, na_action="ignore"))
    codes, levels = kinds.codes.astype(np.int64), [str(level) for level in kinds.categories]
    if (codes < 0).any():
        codes, levels = np.where(codes < 0, len(levels), codes), [*levels, missing]
    return codes, levels


def effective_donors(cells: np.ndarray) -> float:
    """Return Kish's effective number of donors: how many equal ones would weigh like these.

    Parameters
    ----------
    cells
        Cells of each donor (donors,).
    """
    return float(cells.sum() ** 2 / np.maximum((cells**2).sum(), 1e-12))


def _too_few(chosen: np.ndarray, rest: np.ndarray) -> str:
    """Say why the donors of two sides (donors x labels each) allow no interval; empty if they do."""
    for name, side in (("selected cells", chosen), ("other cells", rest)):
        cells = side.sum(1)
        n = int((cells > 0).sum())
        if n < MIN_DONORS:
            return f"the {name} come from {n} {'donor' if n == 1 else 'donors'}, and it takes {MIN_DONORS}"
        if effective_donors(cells) < _MIN_EFFECTIVE:
            most = cells.max() / cells.sum()
            return f"few donors carry the {name}: one has {most:.0%} of them"
    return ""


def _half_widths(chosen: np.ndarray, rest: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cells = chosen.sum(1), rest.sum(1)
    apart = not ((cells[0] > 0) & (cells[1] > 0)).any()
    if apart:
        shares = [_resampled(side[side.sum(1) > 0], rng) for side in (chosen, rest)]
        difference = shares[0] - shares[1]
    else:
        weights = _weights(len(chosen), rng)
        difference = _shares(weights, chosen) - _shares(weights, rest)
    error = np.nanstd(difference, axis=0, ddof=1)
    n = min(effective_donors(side) for side in cells)
    centre = chosen.sum(0) / chosen.sum() - rest.sum(0) / rest.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(error > 0, np.abs(difference - centre) / error, 0)
    largest = np.nanquantile(np.nanmax(away, axis=1), 1 - _LEVEL)
    few = student.ppf(1 - _LEVEL / 2, n - 1) / norm.ppf(1 - _LEVEL / 2)
    return largest * few * error * np.sqrt(n / (n - 1))


def _weights(n_donors: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(n_donors, np.full(n_donors, 1 / n_donors), _RESAMPLES).astype(float)


def _resampled(side: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _shares(_weights(len(side), rng), side)


def _shares(weights: np.ndarray, side: np.ndarray) -> np.ndarray:
    sums = weights @ side
    total = sums.sum(axis=1, keepdims=True)
    return sums / np.where(total > 0, total, np.nan)


def sentence(found: Composition, what: str) -> str:
    """Say what sets the selection apart, in one sentence.

    Parameters
    ----------
    found
        From `composition`.
    what
        What the labels are, e.g. ``cell type``.
    """
    table = found.table
    if not len(table) or not table["n_rest"].sum() or not table["n_selected"].sum():
        return "There is nothing to compare with: one side has no cells"
    if table["share_selected"].iloc[0] == 1:
        row = table.iloc[0]
        return (
            f"Every selected cell is {row['label']} by {what}, as are {row['share_rest']:.1%} of the others"
        )
    if found.reason:
        row = table.iloc[int(table["difference"].abs().argmax())]
        return (
            f"Largest difference by {what}: {row['label']}, {row['share_selected']:.1%} here and "
            f"{row['share_rest']:.1%} elsewhere; no interval, since {found.reason}"
        )
    clear = found.different
    row = clear.iloc[0] if len(clear) else _nearest(table)
    shares = f"{row['label']}, {row['share_selected']:.1%} here and {row['share_rest']:.1%} elsewhere"
    bounds = f"{100 * row['difference']:+.1f} points, {100 * row['low']:+.1f} to {100 * row['high']:+.1f}"
    over = f"{bounds}; 95 % interval over {found.n_donors} donors"
    if clear.empty:
        return f"No {what} has a share that differs beyond what donors differ by; nearest {shares} ({over})"
    return f"{len(clear)} of {len(table)} shares by {what} differ; most {shares} ({over})"


def _nearest(table: pd.DataFrame) -> pd.Series:
    """Return the label whose difference is the largest part of its interval's half width."""
    half = (table["high"] - table["difference"]).clip(lower=1e-12)
    return table.iloc[int((table["difference"].abs() / half).argmax())]
