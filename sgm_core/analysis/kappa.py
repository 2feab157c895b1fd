"""Agreement between people who put things into classes, beyond chance: Cohen's and Fleiss' kappa."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

_Z2 = 1.959963984540054**2


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance, with a 95 % interval over things.

    Parameters
    ----------
    value
        1 = perfect, 0 = as by chance; NaN where it is undefined: nothing judged twice, or one class only.
    low, high
        The interval; NaN with fewer than two things.
    observed, expected
        Share of pairs of verdicts that agree, and that of chance.
    n
        Things that two people or more judged.
    raters
        People.
    """

    value: float
    low: float
    high: float
    observed: float
    expected: float
    n: int
    raters: int


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> Kappa:
    """Return Cohen's kappa of two people (Cohen 1960, doi:10.1177/001316446002000104).

    The interval is kappa +- t(n - 1) times the standard error of Fleiss, Cohen and Everitt 1969
    (doi:10.1037/h0028106); where both agree on everything that is 0, and its lower end comes from Wilson's
    interval of the observed agreement.

    Parameters
    ----------
    first, second
        The class of each thing (n,), by either.
    """
    n = len(first)
    classes, codes = np.unique([*first, *second], return_inverse=True)
    table = np.zeros((len(classes), len(classes)))
    np.add.at(table, (codes[:n], codes[n:]), 1 / max(n, 1))
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    observed, expected = float(np.trace(table)), float(rows @ columns)
    if n == 0 or expected > 1 - 1e-12:
        return _undefined(observed, expected, n, 2)
    value = (observed - expected) / (1 - expected)
    chance = 1 - value
    diagonal = (np.diag(table) * (1 - (rows + columns) * chance) ** 2).sum()
    crossed = table * (columns[:, None] + rows[None]) ** 2
    off = chance**2 * (crossed.sum() - np.trace(crossed))
    variance = (diagonal + off - (value - expected * chance) ** 2) / (n * (1 - expected) ** 2)
    return _with_interval(value, variance, observed, expected, n, 2)


def fleiss_kappa(counts: np.ndarray) -> Kappa:
    """Return Fleiss' kappa of several people, not all of whom judged everything.

    Fleiss 1971 (doi:10.1037/h0031619), in Gwet's form for missing verdicts, with the standard error of Gwet
    2021 (doi:10.1177/0013164420973080); t and perfect agreement as in `cohen_kappa`.

    Parameters
    ----------
    counts
        How many people put each thing into each class (things, classes); things without a verdict are left
        out.
    """
    counts = np.asarray(counts, dtype=float)
    counts = counts[counts.sum(axis=1) > 0]
    given = counts.sum(axis=1)
    twice = given >= 2
    n, n_twice, raters = len(counts), int(twice.sum()), int(given.max(initial=0))
    if n_twice == 0:
        return _undefined(np.nan, np.nan, 0, raters)
    pairs = np.where(twice, given * (given - 1), 1)
    agreed = (counts * (counts - 1)).sum(axis=1) / pairs
    shares = (counts / given[:, None]).mean(axis=0)
    observed, expected = float(agreed[twice].mean()), float(shares @ shares)
    if expected > 1 - 1e-12:
        return _undefined(observed, expected, n_twice, raters)
    value = (observed - expected) / (1 - expected)
    own = n / n_twice * (agreed - expected * twice) / (1 - expected)
    moved = (counts / given[:, None]) @ shares - expected
    parts = own - 2 * (1 - value) * moved / (1 - expected)
    variance = ((parts - value) ** 2).sum() / (n * (n - 1)) if n > 1 else np.nan
    return _with_interval(value, variance, observed, expected, n_twice, raters)


def _with_interval(
    value: float, variance: float, observed: float, expected: float, n: int, raters: int
) -> Kappa:
    if n < 2:
        return Kappa(value, np.nan, np.nan, observed, expected, n, raters)
    if observed > 1 - 1e-12:
        low = (n / (n + _Z2) - expected) / (1 - expected)  # Wilson's lower bound of n of n
        return Kappa(value, float(low), 1.0, observed, expected, n, raters)
    half = float(student.ppf(0.975, n - 1) * np.sqrt(max(variance, 0.0)))
    return Kappa(value, max(-1.0, value - half), min(1.0, value + half), observed, expected, n, raters)


def _undefined(observed: float, expected: float, n: int, raters: int) -> Kappa:
    return Kappa(np.nan, np.nan, np.nan, observed, expected, n, raters)
