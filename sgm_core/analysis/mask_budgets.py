"""Do the arms hide equally many genes of a cell? Else a difference in scores may be one of budgets."""

from collections.abc import Callable

import numpy as np
import pandas as pd

_EXACT, _ON_AVERAGE = 1e-9, 0.02  # relative differences between arms


def hidden_rates(mask_cells: pd.DataFrame) -> pd.DataFrame:
    """Return the share of a cell's non-zero and of its zero genes that each arm hides.

    Parameters
    ----------
    mask_cells : the run table

    Returns
    -------
    pandas.DataFrame
        Indexed by arm, in the table's order: nonzero, zero (shares in 0..1), and counts (the hidden share of
        a cell's counts; NaN where the run did not measure it); means over seeds, folds and epochs that all
        arms have, weighted by cells.
    """
    rows = _common(_with_rates(mask_cells))
    means = {
        arm: {name: np.average(part[name], weights=part["cells"]) for name in ("nonzero", "zero", "counts")}
        for arm, part in rows.groupby("arm", sort=False)
    }
    return pd.DataFrame.from_dict(means, orient="index", columns=["nonzero", "zero", "counts"])


def equal_budgets(mask_cells: pd.DataFrame) -> str:
    """Return how equal the arms' numbers of hidden non-zero and of hidden zero genes are.

    Returns
    -------
    str
        ``equal`` where they are the same for the same cells, in every seed, fold and epoch that all arms
        have; ``on average`` where the means are within 2 %; ``unequal``; or empty where there are not two
        arms to compare.
    """
    rows = _common(_with_rates(mask_cells))
    if rows["arm"].nunique() < 2:
        return ""
    keys = [rows[name] for name in ("fold", "seed", "epoch")]
    exact = max(_difference(part) for _, part in rows.groupby(keys))
    if exact <= _EXACT:
        return "equal"
    return "on average" if _difference(hidden_rates(mask_cells)) <= _ON_AVERAGE else "unequal"


def budget_sentence(mask_cells: pd.DataFrame, name: Callable[[str], str] = str) -> str:
    """Say whether the arms hide equally many genes, and what share of a cell's counts each hides.

    Parameters
    ----------
    mask_cells : the run table
    name : how an arm is called
    """
    rates, found = hidden_rates(mask_cells), equal_budgets(mask_cells)
    said = []
    if found in ("equal", "on average"):
        often = " on average" if found == "on average" else ""
        said.append(
            f"All arms hide the same number of genes of a cell{often}: {rates['nonzero'].mean():.0%} of its "
            f"non-zero and {rates['zero'].mean():.1%} of its zero genes"
        )
    elif found:
        span = {each: f"{rates[each].min():.1%} to {rates[each].max():.1%}" for each in ("nonzero", "zero")}
        said.append(
            f"The arms do not hide the same number of genes of a cell, but {span['nonzero']} of its non-zero "
            f"and {span['zero']} of its zero genes: a difference between them may come from that alone"
        )
    counts = rates["counts"].dropna()
    if len(counts):
        parts = ", ".join(f"{name(str(arm))} {share:.0%}" for arm, share in counts.items())
        said.append(f"Hidden share of a cell's counts: {parts}")
    return ". ".join(said)


def _with_rates(mask_cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows after the first update, or those before it, with fold, seed and the three shares."""
    rows = mask_cells[mask_cells["epoch"] > 0]
    rows = (rows if len(rows) else mask_cells).copy()
    for column, value in (("seed", 0), ("fold", -1), ("hidden_counts", np.nan)):
        if column not in rows:
            rows[column] = value
    hidden = rows["masked_share"] * rows["nonzero_share"]
    rows["nonzero"] = hidden / rows["base_rate"].clip(lower=1e-12)
    rows["zero"] = (rows["masked_share"] - hidden) / (1 - rows["base_rate"]).clip(lower=1e-12)
    return rows.rename(columns={"hidden_counts": "counts"})


def _common(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the seeds, folds and epochs that all arms have; all rows where there are none."""
    shared = rows.groupby(["fold", "seed", "epoch"])["arm"].transform("nunique") == rows["arm"].nunique()
    return rows[shared] if shared.any() else rows


def _difference(rates: pd.DataFrame) -> float:
    """Return the largest relative difference between rows in either share."""
    parts = rates[["nonzero", "zero"]].to_numpy(float)
    return float(((parts.max(0) - parts.min(0)) / np.maximum(parts.mean(0), 1e-12)).max())
