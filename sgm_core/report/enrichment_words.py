"""What an enrichment found, and over what it was tested, in words and tables: for pages and reports alike."""

from dataclasses import dataclass

import pandas as pd

from sgm_core.analysis.confidence import SIGNIFICANT
from sgm_core.analysis.enrichment import Enrichment
from sgm_core.figures.style import p_text
from sgm_core.resources.store import Resource, list_resources
from sgm_core.units import count

# The rankings of `sgm_core.analysis.rankings`, and whether they are controls.
RANKINGS = {
    "frequency": ("Most masked", False),
    "lift": ("Highest lift", False),
    "uniform": ("Uniform masks, most masked", True),
    "start": ("Before training, most masked", True),
    "expression": ("Highest mean expression", True),
    "inverse": ("Lowest mean expression", True),
}


@dataclass(frozen=True)
class Sizes:
    """What a test went over: genes in the list and the universe, terms, genes left out; what was assumed.

    `renamed` are the genes of the list that the universe writes otherwise (as written, gene, how it was
    found), `missing` those that it lacks.
    """

    listed: int
    universe: int
    terms: int
    outside: int = 0
    notes: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str, str], ...] = ()
    missing: tuple[str, ...] = ()


def libraries() -> dict[str, Resource]:
    """Return the registered gene sets by name, the user's own before the built-in subset."""
    found = sorted(list_resources("genesets"), key=lambda resource: resource.built_in)
    return {resource.name: resource for resource in found}


def listed(n: int, order: str) -> str:
    """Return what a list of a run's genes is, by its order: ``the 200 most masked genes``."""
    before, after = ("most masked ", "") if order == "frequency" else ("", " of highest lift")
    return f"the {before}gene{after}" if n == 1 else f"the {n:,} {before}genes{after}"


def answer(table: pd.DataFrame, facts: Sizes, what: str) -> str:
    """Say how many terms hold more of the genes than chance, and which is the strongest."""
    found = table[table["q_value"] < SIGNIFICANT]
    if table.empty:
        return f"No term of this library has an eligible size in a universe of {facts.universe:,} genes."
    best = table.iloc[0]
    share = f"{best['n_hits']} of its {best['n_term']} genes"
    strongest = f"{best['term']} ({share}, adjusted p {p_text(best['q_value'])})"
    head = f"{len(found):,} of {count(facts.terms, 'term')} hold more of {what} than chance"
    if found.empty:
        return (
            f"No term of {facts.terms:,} holds more of {what} than chance brings; the closest is {strongest}."
        )
    return f"{head}; the strongest is {strongest}."


def stated(library: Resource, facts: Sizes, universe: str) -> str:
    """State list, universe, library and how it was tested."""
    outside = f"; {count(facts.outside, 'gene')} of it not in the universe" if facts.outside else ""
    return (
        f"List: {count(facts.listed, 'gene')}{outside} · "
        f"Universe: {universe} ({facts.universe:,}) · "
        f"Library: {library.name}, {library.description} · "
        f"{count(facts.terms, 'term')} tested, "
        "hypergeometric test, Benjamini-Hochberg over all of them"
    )


def of_ranking(found: Enrichment, ranking: str) -> tuple[pd.DataFrame, Sizes]:
    """Return one ranking's terms and what its test went over."""
    table = found.table[found.table["ranking"] == ranking].drop(columns="ranking").reset_index(drop=True)
    return table, Sizes(len(found.lists[ranking]), len(found.universe), len(table), notes=found.changes)


def side_by_side(found: Enrichment, arm: str, terms: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how many terms each ranking finds, and the adjusted p of the top terms in every ranking."""
    there = [name for name in RANKINGS if name in found.lists]
    counts = pd.DataFrame(
        {
            "name": [ranking_name(name, arm) for name in there],
            "significant": [
                int((of_ranking(found, name)[0]["q_value"] < SIGNIFICANT).sum()) for name in there
            ],
            "control": [RANKINGS[name][1] for name in there],
        }
    )
    wide = found.table.pivot(index="term", columns="ranking", values="q_value")[there]
    first = found.table.groupby("term")["p_value"].min().nsmallest(terms).index
    wide = wide.loc[first].rename(columns={name: ranking_name(name, arm) for name in there})
    return counts, wide.rename_axis(index="Term", columns=None).reset_index()


def ranking_name(ranking: str, arm: str) -> str:
    """Return a ranking as figures name it; the arm's own rankings carry the arm's name."""
    name, control = RANKINGS[ranking]
    return name if control else f"{arm}, {name.lower()}"
