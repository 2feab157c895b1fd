"""What the most masked genes do: over-representation of gene sets, with controls.

The universe is the genes that could have been masked, never the whole genome and never just the annotated
ones.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

from sgm_core.analysis.matched_sets import expression_bins, members, overlap
from sgm_core.analysis.rankings import rankings, within
from sgm_core.analysis.universe import fit_terms
from sgm_core.errors import InputError

_GO_ID = re.compile(r"\s*\((GO:\d{7})\)\s*$")
MATCHED = ["expected_matched", "p_matched", "q_matched"]
COLUMNS = ["term", "go_id", "n_term", "n_hits", "expected", "fold_enrichment", "p_value", "q_value", "genes"]


@dataclass(frozen=True)
class Enrichment:
    """The over-representation of a run's top genes, with its controls.

    Parameters
    ----------
    table
        `over_representation` of each list with `beyond_expression`, and the column ``ranking`` in front.
    lists
        The genes of each ranking, see `sgm_core.analysis.rankings.Rankings`.
    universe
        The genes that could be masked.
    arm
        The arm.
    notes
        What is to be said of a ranking: why it is missing, shorter than asked for, or simulated.
    changes
        What was done to the gene sets so that they fit, a sentence each.
    """

    table: pd.DataFrame
    lists: dict[str, list[str]]
    universe: list[str]
    arm: str
    notes: dict[str, str] = field(default_factory=dict)
    changes: tuple[str, ...] = ()


def split_term(name: str) -> tuple[str, str]:
    """Split ``name (GO:0000000)`` into name and ID; the ID is empty where there is none."""
    found = _GO_ID.search(name)
    return (name[: found.start()], found.group(1)) if found else (name, "")


def over_representation(
    genes: Iterable[str],
    universe: Iterable[str],
    terms: Mapping[str, Iterable[str]],
    min_size: int | None = 5,
    max_size: int | None = 500,
) -> pd.DataFrame:
    """Test each term for more of `genes` than chance brings: P(X >= hits), X hypergeometric.

    List and terms are intersected with the universe. Benjamini-Hochberg runs over every term of eligible
    size; a term without a hit counts with p = 1.

    Parameters
    ----------
    genes
        The list of interest; duplicates count once.
    universe
        The genes that could have been in the list.
    terms
        Term name to its genes.
    min_size, max_size
        Sizes (within the universe) that a term must have to be tested; None for no limit. A term without a
        gene in the universe can't be tested and is left out.

    Returns
    -------
    DataFrame
        Most significant first: term, go_id, n_term (genes in the universe), n_hits, expected (hits by
        chance), fold_enrichment (hits / expected), p_value, q_value, genes (the hits, joined by ``;``).
        ``attrs``: ``n_list`` and ``n_universe`` as tested, ``n_list_outside`` (genes not in the universe),
        ``n_terms``.

    Raises
    ------
    InputError
        If no gene of the list is in the universe.
    """
    pool = set(universe)
    asked = set(genes)
    chosen = asked & pool
    if not chosen:
        raise InputError(
            f"none of the {len(asked)} genes is among the {len(pool)} of the universe: both need gene "
            "symbols "
            f"(the list has {min(asked, default='')!r}, the universe {min(pool, default='')!r})"
        )
    names, sizes, hits = [], [], []
    for name, of in terms.items():
        inside = pool.intersection(of)
        if len(inside) >= max(min_size or 1, 1) and (max_size is None or len(inside) <= max_size):
            names.append(split_term(name))
            sizes.append(len(inside))
            hits.append(sorted(chosen & inside))
    table = pd.DataFrame(names, columns=["term", "go_id"])
    table["n_term"] = np.array(sizes, dtype=int)
    table["n_hits"] = np.array([len(h) for h in hits], dtype=int)
    table["expected"] = table["n_term"] * len(chosen) / len(pool)
    table["fold_enrichment"] = table["n_hits"] / table["expected"]
    table["p_value"] = hypergeom.sf(table["n_hits"] - 1, len(pool), table["n_term"], len(chosen))
    table["q_value"] = (
        false_discovery_control(table["p_value"].to_numpy()) if len(table) else table["p_value"]
    )
    table["genes"] = [";".join(h) for h in hits]
    table = table.sort_values(["p_value", "n_hits", "term"], ascending=[True, False, True], ignore_index=True)
    counts = {"n_list": len(chosen), "n_universe": len(pool), "n_terms": len(table)}
    table.attrs.update(counts | {"n_list_outside": len(asked) - len(chosen)})
    return table[COLUMNS]


def beyond_expression(
    table: pd.DataFrame,
    genes: pd.DataFrame,
    listed: Collection[str],
    terms: Mapping[str, Iterable[str]],
    limit: float = 0.05,
) -> pd.DataFrame:
    """Hold the terms that a list finds against lists of genes that are expressed alike.

    Whatever hides expressed genes finds the terms of expressed genes; what is left here is more than that.

    Parameters
    ----------
    table
        From `over_representation`.
    genes
        The universe: gene, expression, detection (`sgm_core.analysis.rankings.Rankings.genes`).
    listed
        The list that was tested.
    terms
        The terms that were tested.
    limit
        Terms with a q value under it are looked at. The others keep p = 1, which the correction counts, so
        that the choice of the terms can't make a chance find look like one.

    Returns
    -------
    DataFrame
        `table` with expected_matched (hits of such lists; NaN where not looked at), p_matched, and q_matched
        (Benjamini-Hochberg over all terms of the table).
    """
    expected, p = np.full(len(table), np.nan), np.ones(len(table))
    looked = np.flatnonzero(table["q_value"].to_numpy() < limit).tolist()
    if looked:
        bins = expression_bins(genes)
        chosen = members(genes["gene"], listed)
        by_name = {split_term(name): of for name, of in terms.items()}
        for row in looked:
            name = str(table["term"].iat[row]), str(table["go_id"].iat[row])
            found = overlap(chosen, members(genes["gene"], set(by_name[name])), bins)
            expected[row], p[row] = found.expected, found.p
    q = false_discovery_control(p) if len(p) else p
    return table.assign(expected_matched=expected, p_matched=p, q_matched=q)


def group_terms(table: pd.DataFrame, overlap: float = 0.5, limit: int = 200) -> pd.DataFrame:
    """Group terms that are carried by the same genes.

    Greedy, from the most significant on: a term joins the first group whose leader shares enough of its hits,
    else leads a group of its own.

    Parameters
    ----------
    table
        One result of `over_representation`.
    overlap
        Smallest Jaccard index of the hits.
    limit
        Number of terms with hits that are looked at.

    Returns
    -------
    DataFrame
        The first `limit` terms with hits and the columns group (its leader's name) and leads (bool).
    """
    rows = table[table["n_hits"] > 0].head(limit).reset_index(drop=True)
    leaders: list[tuple[str, set[str]]] = []
    groups, leads = [], []
    for term, joined in zip(rows["term"], rows["genes"]):
        mine = set(joined.split(";"))
        leader = next((name for name, g in leaders if len(mine & g) >= overlap * len(mine | g)), None)
        if leader is None:
            leaders.append((term, mine))
        groups.append(leader or term)
        leads.append(leader is None)
    return rows.assign(group=groups, leads=leads)


def enrich_run(
    masks: pd.DataFrame,
    terms: Mapping[str, Iterable[str]],
    arm: str | None = None,
    top: int = 200,
    min_size: int | None = 5,
    max_size: int | None = 500,
    background: Collection[str] | None = None,
    start: pd.DataFrame | None = None,
    without: Collection[str] = (),
) -> Enrichment:
    """Test the `top` genes of a run's arm, by frequency and by lift, with the controls beside them.

    Parameters
    ----------
    masks
        The run table `masks`.
    arm, top, start, without
        As in `sgm_core.analysis.rankings.rankings`.
    min_size, max_size
        As in `over_representation`.
    background
        Restricts the universe; the lists are the first `top` genes within it. By default every gene that
        could be masked.

    Raises
    ------
    InputError
        If `top` is not smaller than the universe, or no gene of the background could be masked.
    """
    if background is None:
        ranked = rankings(masks, arm, top, start, without=without)
    else:
        ranked = within(masks, set(background) - set(without), arm, top, start)
    universe = ranked.universe
    fitted, changes = fit_terms(terms, universe)
    frames = [
        beyond_expression(
            over_representation(genes, universe, fitted, min_size, max_size), ranked.genes, genes, fitted
        ).assign(ranking=name)
        for name, genes in ranked.lists.items()
        if genes
    ]
    table = pd.concat(frames, ignore_index=True)[["ranking", *COLUMNS, *MATCHED]]
    return Enrichment(table, ranked.lists, universe, ranked.arm, ranked.notes, changes)
