"""Two lists of genes and what each of them does: the same terms, tested in one universe, side by side."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, fisher_exact

from sgm_core.analysis.confidence import SIGNIFICANT
from sgm_core.analysis.enrichment import over_representation
from sgm_core.analysis.universe import fit_terms
from sgm_core.errors import InputError

BOTH, FIRST, SECOND, NEITHER = "both", "first", "second", "neither"


@dataclass(frozen=True)
class Ranked:
    """Genes in an order, and every gene that could have been among them."""

    genes: tuple[str, ...]
    universe: tuple[str, ...]


@dataclass(frozen=True)
class TermPair:
    """Two lists over the terms of one library and one universe.

    Parameters
    ----------
    table
        One row a term, that of the smallest p in either list first: term, go_id, n_term; n_hits_a, q_a,
        fold_a, genes_a and the same with _b; found (`BOTH`, `FIRST`, `SECOND`, `NEITHER`); p_difference,
        q_difference (whether the genes that only one list has fall into the term unequally).
    lists
        The genes of both lists within the universe, `top` at most.
    universe
        Genes that could have been in either list.
    lost
        How many genes of each side's own universe the other lacks.
    changes
        What was done to the gene sets so that they fit.
    """

    table: pd.DataFrame
    lists: tuple[list[str], list[str]]
    universe: list[str]
    lost: tuple[int, int]
    changes: tuple[str, ...] = ()

    @property
    def shared(self) -> int:
        """How many genes both lists hold."""
        return len(set(self.lists[0]) & set(self.lists[1]))

    def count(self, found: str) -> int:
        """How many terms are found by both, by one, or by neither."""
        return int((self.table["found"] == found).sum())


def pair_terms(
    first: Ranked,
    second: Ranked,
    terms: Mapping[str, Iterable[str]],
    top: int | None = None,
    min_size: int | None = 5,
    max_size: int | None = 500,
) -> TermPair:
    """Test two lists in the genes that both could have held.

    Parameters
    ----------
    first, second
        The genes of each side in their order. Those that the other side's universe lacks are left out before
        the first `top` are taken, so that no list is the poorer for the other's universe.
    terms
        Term name to its genes.
    top
        How many genes of each; None for all.
    min_size, max_size
        As in `sgm_core.analysis.enrichment.over_representation`.

    Raises
    ------
    InputError
        If the universes share too few genes, or a list has none of them.
    """
    known = set(first.universe) & set(second.universe)
    universe = [gene for gene in first.universe if gene in known]
    lists = tuple([gene for gene in side.genes if gene in known][:top] for side in (first, second))
    if len(universe) < 2 or not all(lists):
        raise InputError(
            f"the two sides share {len(universe):,} genes that could be in a list, of "
            f"{len(first.universe):,} and {len(second.universe):,}: compare runs whose genes are named "
            "alike"
        )
    for mine in lists:
        if len(mine) >= len(universe):
            raise InputError(
                f"a list of {len(mine):,} genes is the whole universe of {len(universe):,}: take fewer genes"
            )
    fitted, changes = fit_terms(terms, universe)
    sides = [over_representation(mine, universe, fitted, min_size, max_size) for mine in lists]
    keys = ["term", "go_id", "n_term"]
    kept = ["n_hits", "fold_enrichment", "p_value", "q_value", "genes"]
    renamed = [
        side[keys + kept]
        .rename(columns={"fold_enrichment": "fold", "p_value": "p", "q_value": "q"})
        .assign(again=side.groupby(keys).cumcount())  # files name a term twice
        for side in sides
    ]
    table = renamed[0].merge(renamed[1], on=[*keys, "again"], suffixes=("_a", "_b")).drop(columns="again")
    a, b = table["q_a"] < SIGNIFICANT, table["q_b"] < SIGNIFICANT
    table["found"] = np.select([a & b, a, b], [BOTH, FIRST, SECOND], NEITHER)
    table["p_difference"] = _differences(table, set(lists[0]), set(lists[1]))
    table["q_difference"] = (
        false_discovery_control(table["p_difference"].to_numpy()) if len(table) else table["p_difference"]
    )
    order = table[["p_a", "p_b"]].min(axis=1).sort_values(kind="stable").index
    lost = tuple(len(set(side.universe) - known) for side in (first, second))
    return TermPair(table.loc[order].reset_index(drop=True), lists, universe, lost, changes)  # type: ignore[arg-type]


def _differences(table: pd.DataFrame, first: Collection[str], second: Collection[str]) -> np.ndarray:
    """Return for each term Fisher's exact p that the genes of one list alone fall into it as often.

    Genes that both lists hold tell nothing about a difference, and counting them twice would not be two
    independent lists.
    """
    only_a, only_b = set(first) - set(second), set(second) - set(first)
    known: dict[tuple[int, int], float] = {}
    found = np.ones(len(table))
    for place, (mine, theirs) in enumerate(zip(table["genes_a"], table["genes_b"])):
        hits = len(only_a & set(mine.split(";"))), len(only_b & set(theirs.split(";")))
        if hits not in known:
            rest = len(only_a) - hits[0], len(only_b) - hits[1]
            known[hits] = float(fisher_exact([hits, rest]).pvalue) if any(hits) else 1.0
        found[place] = known[hits]
    return found


def pair_sentence(found: TermPair, first: str, second: str) -> str:
    """Say what two lists have in common, and whether any term tells them apart.

    Parameters
    ----------
    first, second
        What the lists are called.
    """
    n_a, n_b = map(len, found.lists)
    genes = (
        f"They share {found.shared:,} of {n_a:,} genes"
        if n_a == n_b
        else (f"They share {found.shared:,} genes, of {n_a:,} and {n_b:,}")
    )
    chance = n_a * n_b / len(found.universe)
    counts = f"{found.count(BOTH):,} by both, {found.count(FIRST):,} by {first} alone, "
    counts += f"{found.count(SECOND):,} by {second} alone"
    apart = int((found.table["q_difference"] < SIGNIFICANT).sum())
    if not found.count(FIRST) + found.count(SECOND):
        difference = "no term is found by one alone"
    elif apart:
        verb = "tells" if apart == 1 else "tell"
        difference = (
            f"{apart:,} of {len(found.table):,} terms {verb} the two lists apart (adjusted p < {SIGNIFICANT})"
        )
    else:
        difference = "no term tells the two lists apart: one alone being under the limit is no difference"
    return f"{genes} ({chance:.0f} by chance). Terms found: {counts}; {difference}"
