"""Where the truth is known: do the most hidden genes of a simulated run hold what the simulator planted?"""

from collections.abc import Collection, Mapping

import pandas as pd
from scipy.stats import hypergeom

from sgm_core.analysis.matched_sets import expression_bins, members, overlap
from sgm_core.analysis.rankings import Rankings
from sgm_core.analysis.verdict import Verdict

TOP = 50
LIMIT = 0.01
"""Of the p value against genes of equal expression: a model has one such look at the truth, not many."""
_UNTAUGHT = ("uniform", "start")
COLUMNS = [
    "planted", "ranking", "n_listed", "n_hits", "precision", "chance", "p_chance", "expected_matched",
    "low_matched", "high_matched", "p_matched",
]  # fmt: skip


def planted_precision(
    ranked: Rankings, planted: Mapping[str, Collection[str]], top: int = TOP
) -> pd.DataFrame:
    """Return how much of the first genes of each ranking was planted, against chance and equal expression.

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
        p_matched (exact, see `sgm_core.analysis.matched_sets.overlap`).
    """
    universe, bins, rows = ranked.universe, expression_bins(ranked.genes), []
    for name, genes in planted.items():
        inside = members(universe, genes)
        for ranking, found in ranked.lists.items():
            first = found[:top]
            if not first:
                continue
            n = len(first)
            held = overlap(members(universe, first), inside, bins)
            chance = hypergeom.sf(held.hits - 1, len(universe), inside.sum(), n)
            matched = (held.expected / n, held.low / n, held.high / n, held.p)
            rows.append((name, ranking, n, held.hits, held.hits / n, inside.mean(), chance, *matched))
    return pd.DataFrame(rows, columns=COLUMNS)


def planted_sentence(table: pd.DataFrame, planted: str) -> Verdict:
    """Say whether the masks find planted genes, or follow expression, or neither.

    Found is said only of a ranking by frequency that holds more planted genes than lists of equal
    expression (p < `LIMIT`), and more than the same maskers did before training and than uniform masks.

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
    others = {
        "start": "before training", "uniform": "uniform masks", "expression": "the most expressed genes",
    }  # fmt: skip
    shares += [f"{words} {rows[name]['precision']:.0%}" for name, words in others.items() if name in rows]
    n, hits = int(mine["n_listed"]), int(mine["n_hits"])
    head = f"{hits} of the {n} most masked genes are planted in {planted}: {mine['precision']:.0%} "
    head += f"({', '.join(shares)})"
    equal = f"genes of equal expression {mine['expected_matched']:.0%} "
    equal += f"({mine['low_matched']:.0%} to {mine['high_matched']:.0%})"
    untaught = [name for name in _UNTAUGHT if name in rows]
    more = all(mine["n_hits"] > rows[name]["n_hits"] for name in untaught)
    if mine["p_matched"] < LIMIT and more and "start" in untaught:
        return Verdict(f"{head}. {_upper(equal)}: the masks find planted genes beyond expression", "proven")
    if mine["p_chance"] < LIMIT and mine["p_matched"] >= LIMIT:
        return Verdict(
            f"{head}. {_upper(equal)}: the masks follow expression, not what was planted", "chance"
        )
    if mine["p_matched"] < LIMIT:
        said = (
            "no more than masks that nothing was learned for" if untaught else "what training did is unknown"
        )
        return Verdict(f"{head}. {_upper(equal)}; but {said}", "chance" if untaught else "undecided")
    return Verdict(f"{head}. {_upper(equal)}: the masks don't find what was planted", "chance")


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
