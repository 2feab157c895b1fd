"""Where the truth is known: do the most hidden genes of a simulated run hold what the simulator planted?

Genes that are planted in a cell type are expressed there, and whatever hides expressed genes finds them. So a
list is held against chance, against lists of genes that are expressed alike, and against the lists of masks
that nothing was learned for. Only the last can show that something was found: within the cells of one type
even uniform masks hold more planted genes than a coarse match by expression expects.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, fisher_exact, hypergeom

from sgm_core.analysis.matched_sets import expression_bins, members, overlap
from sgm_core.analysis.rankings import Rankings, group_rankings
from sgm_core.analysis.verdict import Verdict

TOP = 50
LIMIT = 0.01
"""Of the p values that a find takes."""
UNTAUGHT = ("uniform", "start")
"""Rankings of masks that nothing was learned for."""
_WORDS = {"start": "before training", "uniform": "uniform masks", "expression": "the most expressed genes"}
COLUMNS = [
    "planted", "ranking", "n_listed", "n_hits", "precision", "chance", "p_chance", "expected_matched",
    "low_matched", "high_matched", "p_matched", "p_over_uniform", "p_over_start",
]  # fmt: skip
GROUP_COLUMNS = [
    "level", "n_listed", "n_hits", "precision", "chance", "p_chance", "expected_matched", "low_matched",
    "high_matched", "p_matched", "precision_uniform", "precision_expression", "p_over_uniform",
    "q_over_uniform",
]  # fmt: skip


def planted_precision(
    ranked: Rankings, planted: Mapping[str, Collection[str]], top: int = TOP
) -> pd.DataFrame:
    """Return how much of the first genes of each ranking was planted, against chance and controls.

    Parameters
    ----------
    ranked
        From `sgm_core.analysis.rankings.rankings`, with `top` genes or more.
    planted
        Sets of planted genes by name (`sgm_core.resources.panel.planted_genes`).
    top
        How many genes of each ranking.

    Returns
    -------
    DataFrame
        A row a set and ranking: planted, ranking, n_listed, n_hits, precision (hits / listed), chance (share
        of planted genes among those that could be hidden), p_chance (hypergeometric), expected_matched,
        low_matched, high_matched (precision of lists that are expressed alike: mean and 95 % range),
        p_matched (exact, see `sgm_core.analysis.matched_sets.overlap`), p_over_uniform and p_over_start
        (`more_than`; NaN without that ranking and for it itself).
    """
    universe, bins, rows = ranked.universe, expression_bins(ranked.genes), []
    for name, genes in planted.items():
        inside = members(universe, genes)
        known = set(np.asarray(universe, dtype=object)[inside])
        for ranking, found in ranked.lists.items():
            first = found[:top]
            if not first:
                continue
            n = len(first)
            held = overlap(members(universe, first), inside, bins)
            chance = hypergeom.sf(held.hits - 1, len(universe), inside.sum(), n)
            matched = (held.expected / n, held.low / n, held.high / n, held.p)
            over = [
                np.nan
                if other == ranking or other not in ranked.lists
                else more_than(first, ranked.lists[other][:top], known)
                for other in UNTAUGHT
            ]
            rows.append((name, ranking, n, held.hits, held.hits / n, inside.mean(), chance, *matched, *over))
    return pd.DataFrame(rows, columns=COLUMNS)


def more_than(first: Sequence[str], second: Sequence[str], planted: Collection[str]) -> float:
    """Return Fisher's exact p that the first list holds no more planted genes than the second, one-sided.

    Genes that both hold tell nothing about a difference and are left out.
    """
    wanted, a, b = set(planted), set(first), set(second)
    counts = [[len(mine & wanted), len(mine - wanted)] for mine in (a - b, b - a)]
    return float(fisher_exact(counts, alternative="greater").pvalue)


def planted_sentence(table: pd.DataFrame, planted: str) -> Verdict:
    """Say whether the masks find planted genes, or follow expression, or neither.

    Found is said only of a ranking by frequency that holds more planted genes than lists of equal
    expression, than uniform masks and than the same maskers before training, each with p < `LIMIT`.

    Parameters
    ----------
    table
        From `planted_precision`.
    planted
        Which of its sets.
    """
    rows = table[table["planted"] == planted].set_index("ranking").to_dict("index")
    mine = rows["frequency"]
    shares = [f"chance {mine['chance']:.0%}"]
    shares += [f"{words} {rows[name]['precision']:.0%}" for name, words in _WORDS.items() if name in rows]
    head = f"{mine['n_hits']} of the {mine['n_listed']} most masked genes are planted in {planted}: "
    head += f"{mine['precision']:.0%} ({', '.join(shares)}). Genes of equal expression "
    head += f"{mine['expected_matched']:.0%} ({mine['low_matched']:.0%} to {mine['high_matched']:.0%})"
    untaught = [mine[f"p_over_{name}"] for name in UNTAUGHT]
    if mine["p_matched"] < LIMIT and all(p < LIMIT for p in untaught):
        return Verdict(f"{head}: the masks find planted genes beyond expression", "proven")
    if np.isnan(mine["p_over_start"]) and mine["p_matched"] < LIMIT and mine["p_over_uniform"] < LIMIT:
        return Verdict(f"{head}: what training did of it is unknown", "undecided")
    if mine["p_chance"] < LIMIT:
        return Verdict(f"{head}: the masks follow expression, not what was planted", "chance")
    return Verdict(f"{head}: no more than chance may bring", "chance")


def planted_by_group(
    masks: pd.DataFrame,
    planted: Mapping[str, Collection[str]],
    arm: str | None = None,
    by: str = "cell_type",
    top: int = TOP,
) -> pd.DataFrame:
    """Ask of each cell type whether the genes hidden most in its cells are those planted in it.

    Parameters
    ----------
    masks
        The run table `masks`, with the rows of `by`.
    planted
        The genes planted in each level of `by`.
    arm, top
        As in `planted_precision`.

    Returns
    -------
    DataFrame
        A row a level: level and the columns of `planted_precision`; precision_uniform and
        precision_expression, of the controls in the same cells; q_over_uniform (Benjamini-Hochberg over the
        levels).
    """
    parts = []
    for level, ranked in group_rankings(masks, by, arm, top).items():
        if not set(planted.get(level, ())) & set(ranked.universe):
            continue
        rows = planted_precision(ranked, {level: planted[level]}, top).set_index("ranking")
        mine = rows.loc[["frequency"]].rename(columns={"planted": "level"})
        held = rows["precision"].to_dict()
        parts.append(mine.assign(precision_uniform=held["uniform"], precision_expression=held["expression"]))
    if not parts:
        return pd.DataFrame(columns=GROUP_COLUMNS)
    table = pd.concat(parts, ignore_index=True)
    table["q_over_uniform"] = false_discovery_control(table["p_over_uniform"].to_numpy())
    return table[GROUP_COLUMNS].sort_values(["q_over_uniform", "level"], ignore_index=True)


def group_sentence(table: pd.DataFrame, what: str = "cell types") -> Verdict:
    """Say in how many groups the masks find what was planted there, and what uniform masks hold of it.

    Parameters
    ----------
    table
        From `planted_by_group`.
    """
    if table.empty:
        return Verdict(f"Too few masks were drawn in each of the {what} to ask", "undecided")
    n, better = len(table), table[table["q_over_uniform"] < LIMIT]
    chance = int((table["p_chance"] < LIMIT).sum())
    head = f"Within its own cells, what was planted in a type is {table['precision'].mean():.0%} of the "
    head += f"{table['n_listed'].max()} most masked genes on average (chance {table['chance'].mean():.0%}, "
    head += f"uniform masks {table['precision_uniform'].mean():.0%}, the most expressed genes "
    head += f"{table['precision_expression'].mean():.0%})"
    if better.empty:
        said = (
            f"more than chance in {chance} of {n} {what}, more than uniform masks in none: planted genes are "
        )
        return Verdict(f"{head}: {said}found because they are expressed", "chance")
    names = ", ".join(better["level"].head(4)) + (" ..." if len(better) > 4 else "")
    return Verdict(f"{head}: more than uniform masks in {len(better)} of {n} {what}: {names}", "proven")
