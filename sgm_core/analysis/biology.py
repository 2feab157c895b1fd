"""What the most masked genes are: gene sets, held against expression-matched random lists."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

from sgm_core.analysis.matched_sets import expression_bins, members, overlap
from sgm_core.analysis.rankings import CONTROLS, OWN, Rankings
from sgm_core.analysis.verdict import MIN_SEEDS, Verdict, verdict

LEVEL = 0.05
_KEYS = ["by", "level", "ranking"]
_COLUMNS = [
    *_KEYS, "control", "set", "n_list", "n_set", "n_hits", "share", "share_universe", "p_value", "matched",
    "matched_low", "matched_high", "p_matched", "genes", "q_matched", "beyond_controls",
]  # fmt: skip


def biology(
    ranked: Rankings,
    sets: Mapping[str, Iterable[str]],
    groups: Mapping[str, Rankings] | None = None,
    by: str = "cell_type",
) -> pd.DataFrame:
    """Hold the lists of an arm, and the controls, against gene sets.

    Parameters
    ----------
    ranked
        From `sgm_core.analysis.rankings.rankings`.
    sets
        Name to genes: signatures, transcription factors. A set without a gene in the universe is left out.
    groups, by
        From `sgm_core.analysis.rankings.group_rankings`, and what it grouped by.

    Returns
    -------
    DataFrame
        by, level (``all`` and empty over all cells), ranking, control (bool), set; n_list, n_set (genes in
        the universe), n_hits, share (of the list), share_universe; p_value (hypergeometric, in the universe);
        matched, matched_low, matched_high (hits of expression-matched random lists), p_matched; q_matched
        (Benjamini-Hochberg over the arm's own lists and sets, groups apart; NaN for controls);
        beyond_controls (q_matched under `LEVEL`, and no control of the group has p_matched under it); genes.
    """
    rows = _rows(ranked, sets, "all", "")
    for level, found in (groups or {}).items():
        rows += _rows(found, sets, by, level)
    table = pd.DataFrame(rows)
    if table.empty:
        return pd.DataFrame(columns=_COLUMNS).astype({"control": bool, "beyond_controls": bool})
    table["q_matched"] = np.nan
    own = ~table["control"]
    for _, mine in table[own].groupby("by"):
        table.loc[mine.index, "q_matched"] = false_discovery_control(mine["p_matched"].to_numpy())
    control = table["p_matched"].where(table["control"])
    least = control.groupby([table["by"], table["level"], table["set"]]).transform("min")
    table["beyond_controls"] = own & (table["q_matched"] < LEVEL) & ~(least < LEVEL)
    return table


def biology_sentence(table: pd.DataFrame, ranking: str = "frequency") -> str:
    """Say which sets a list of the arm holds beyond expression-matched random lists and the controls."""
    rows = table[(table["by"] == "all") & (table["ranking"] == ranking)]
    if rows.empty:
        return "No gene set to hold the genes against"
    n, what = len(rows), {"frequency": "most masked genes", "lift": "genes of highest lift"}[ranking]
    more, beyond = rows[rows["q_matched"] < LEVEL], rows[rows["beyond_controls"]]
    of = f"of {n} sets" if n > 1 else "of the one set"
    if more.empty:
        return f"The {what} hold no more {of} than genes of equal expression do"
    head = f"The {what} hold more of {len(more)} {of} than genes of equal expression do"
    if beyond.empty:
        return f"{head}, but the controls do too: nothing beyond them"
    return f"{head}, {len(beyond)} of which no control does: {', '.join(beyond['set'].head(5))}"


def biology_verdict(table: pd.DataFrame, d: Mapping[str, Any], ranking: str = "frequency") -> Verdict:
    """Return `biology_sentence` with how sure it is: no set is proven in masks that are not.

    Parameters
    ----------
    table
        From `biology`.
    d
        The `sgm_core.analysis.diagnostic.diagnostic` of the same arm.
    """
    said = biology_sentence(table, ranking)
    if table.empty:
        return Verdict(said, "undecided")
    if (seeds := d["seeds"]) < MIN_SEEDS:
        few = "one seed" if seeds == 1 else f"{seeds} seeds"
        return Verdict(
            f"{said}; but {few} can't tell what another prefers, it takes {MIN_SEEDS}", "undecided"
        )
    own = table[(table["by"] == "all") & (table["ranking"] == ranking)]
    if not own["beyond_controls"].any():
        return Verdict(said, "chance")
    if verdict(dict(d)).confidence != "proven":
        return Verdict(f"{said}; but that the masks are guided is not proven", "undecided")
    return Verdict(said, "proven")


def _rows(
    ranked: Rankings, sets: Mapping[str, Iterable[str]], by: str, level: str
) -> list[dict[str, object]]:
    universe = ranked.universe
    bins, n, rows = expression_bins(ranked.genes), len(universe), []
    inside = {name: members(universe, set(genes)) for name, genes in sets.items()}
    for ranking in (*OWN, *CONTROLS):
        if not ranked.lists.get(ranking):
            continue
        listed = members(universe, ranked.lists[ranking])
        for name, member in inside.items():
            n_list, n_set = int(listed.sum()), int(member.sum())
            if not n_set:
                continue
            found = overlap(listed, member, bins)
            row = dict(zip(_KEYS, (by, level, ranking))) | {"control": ranking in CONTROLS, "set": name}
            row |= {"n_list": n_list, "n_set": n_set, "n_hits": found.hits}
            row |= {"share": found.hits / n_list, "share_universe": n_set / n}
            row |= {"p_value": float(hypergeom.sf(found.hits - 1, n, n_set, n_list))}
            row |= {"matched": found.expected, "matched_low": found.low, "matched_high": found.high}
            genes = [gene for gene, hit in zip(universe, listed & member) if hit]
            rows.append(row | {"p_matched": found.p, "genes": ";".join(sorted(genes))})
    return rows
