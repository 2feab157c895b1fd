"""What the most masked genes do: over-representation and ranked analysis of gene sets, with controls.

The universe is the genes that could have been masked, never the whole genome and never just the annotated
ones.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

from sgm_core.analysis.rankings import rankings
from sgm_core.analysis.universe import fit_terms
from sgm_core.errors import InputError

_GO_ID = re.compile(r"\s*\((GO:\d{7})\)\s*$")
COLUMNS = ["term", "go_id", "n_term", "n_hits", "expected", "fold_enrichment", "p_value", "q_value", "genes"]


@dataclass(frozen=True)
class Enrichment:
    """The over-representation of a run's top genes, with its controls.

    Parameters
    ----------
    table
        `over_representation` of each list, with the column ``ranking`` in front.
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
    for name, members in terms.items():
        inside = pool.intersection(members)
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


def prerank(
    statistic: pd.Series,
    terms: Mapping[str, Iterable[str]],
    min_size: int = 5,
    max_size: int = 500,
    permutations: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank all genes and ask where each term's genes lie: GSEA prerank, through gseapy.

    Subramanian et al. 2005, doi:10.1073/pnas.0506580102.

    Parameters
    ----------
    statistic
        A value for each gene (index); genes without one are left out. It is centred on its median, so that
        the two ends of the ranking pull in opposite directions.

    Returns
    -------
    DataFrame
        term, go_id, n_term, nes, p_value, q_value, genes (leading edge, joined by ``;``); largest nes first.

    Raises
    ------
    InputError
        If no term has an eligible size among the ranked genes.
    """
    import gseapy

    ranked = statistic.dropna()
    ranked = (ranked - ranked.median()).sort_values(ascending=False, kind="stable")
    sizes = {name: len(set(genes) & set(ranked.index)) for name, genes in terms.items()}
    sets = {name: list(terms[name]) for name, size in sizes.items() if min_size <= size <= max_size}
    if not sets:
        raise InputError(
            f"no term has {min_size} to {max_size} genes among the {len(ranked)} that are ranked"
        )
    result = gseapy.prerank(
        rnk=ranked, gene_sets=sets, min_size=min_size, max_size=max_size, permutation_num=permutations,
        seed=seed, threads=1, outdir=None, verbose=False,
    ).res2d  # fmt: skip
    names = [split_term(name) for name in result["Term"]]
    table = pd.DataFrame(names, columns=["term", "go_id"])
    table["n_term"] = [sizes[name] for name in result["Term"]]
    for column, source in (("nes", "NES"), ("p_value", "NOM p-val"), ("q_value", "FDR q-val")):
        table[column] = result[source].to_numpy(dtype=float)
    table["genes"] = result["Lead_genes"].to_numpy(dtype=str)
    return table.sort_values(["nes", "term"], ascending=[False, True], ignore_index=True)


def enrich_run(
    masks: pd.DataFrame,
    terms: Mapping[str, Iterable[str]],
    arm: str | None = None,
    top: int = 200,
    min_size: int | None = 5,
    max_size: int | None = 500,
    without: Collection[str] = (),
) -> Enrichment:
    """Test the `top` genes of a run's arm, by frequency and by lift, with the controls beside them.

    Parameters
    ----------
    masks
        The run table `masks`.
    arm, top, without
        As in `sgm_core.analysis.rankings.rankings`.
    min_size, max_size
        As in `over_representation`.

    Raises
    ------
    InputError
        If `top` is not smaller than the universe.
    """
    ranked = rankings(masks, arm, top, without=without)
    universe = ranked.universe
    fitted, changes = fit_terms(terms, universe)
    frames = [
        over_representation(genes, universe, fitted, min_size, max_size).assign(ranking=name)
        for name, genes in ranked.lists.items()
        if genes
    ]
    table = pd.concat(frames, ignore_index=True)[["ranking", *COLUMNS]]
    return Enrichment(table, ranked.lists, universe, ranked.arm, ranked.notes, changes)
