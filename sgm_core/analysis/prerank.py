"""Where a term's genes lie among all genes, from the first to the last: GSEA prerank and its running sum."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sgm_core import tables
from sgm_core.analysis.enrichment import split_term
from sgm_core.analysis.universe import fit_terms
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.resources.gmt import read_gmt

PERMUTATIONS = 1000
TABLE, RANKED = "prerank", "ranked"
"""Tables of a run of this kind: what was found, and the genes with what they are ranked by."""
VERSION = 1
"""Of what is computed; another one makes other runs."""


def centred(statistic: pd.Series) -> pd.Series:
    """Return a statistic of genes in the order that `prerank` reads: less its median, largest first.

    Genes without a value are left out; without the median the two ends would not pull in opposite directions.
    """
    ranked = statistic.dropna()
    return (ranked - ranked.median()).sort_values(ascending=False, kind="stable")


def prerank(
    statistic: pd.Series,
    terms: Mapping[str, Iterable[str]],
    min_size: int = 5,
    max_size: int = 500,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank all genes and ask where each term's genes lie: GSEA prerank, through gseapy.

    Subramanian et al. 2005, doi:10.1073/pnas.0506580102.

    Parameters
    ----------
    statistic
        A value for each gene (index), read as `centred` has it.

    Returns
    -------
    DataFrame
        term, go_id, n_term, nes, p_value, q_value, genes (leading edge, joined by ``;``); largest nes first.
        A p value of 0 means under 1 / `permutations`.

    Raises
    ------
    InputError
        If no term has an eligible size among the ranked genes.
    """
    import gseapy

    ranked = centred(statistic)
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


def running_sum(statistic: pd.Series, genes: Iterable[str]) -> pd.DataFrame:
    """Return the running sum of one term: up at each of its genes, by their statistic, and down between them.

    Its extreme is the enrichment score (Subramanian et al. 2005, weight 1).

    Parameters
    ----------
    statistic
        As in `prerank`.
    genes
        The term's genes.

    Returns
    -------
    DataFrame
        One row a ranked gene, the first first: gene, statistic (centred), hit (bool), running, leading (bool:
        a gene of the term up to the extreme). ``attrs``: ``score``, the extreme, and ``at``, its row.

    Raises
    ------
    InputError
        If none or all of the ranked genes are in the term.
    """
    ranked = centred(statistic)
    hit = ranked.index.isin(list(genes))
    if not 0 < hit.sum() < len(hit):
        raise InputError(f"{int(hit.sum())} of the {len(hit)} ranked genes are in the term: no running sum")
    weight = np.where(hit, ranked.abs().to_numpy(), 0.0)
    if not weight.any():
        weight = hit.astype(float)
    up, down = np.cumsum(weight) / weight.sum(), np.cumsum(~hit) / (~hit).sum()
    running = up - down
    at = int(np.argmax(np.abs(running)))
    place = np.arange(len(hit))
    leading = hit & ((place <= at) if running[at] >= 0 else (place >= at))
    table = pd.DataFrame({"gene": ranked.index, "statistic": ranked.to_numpy(), "hit": hit})
    table["running"], table["leading"] = running, leading
    table.attrs.update(score=float(running[at]), at=at)
    return table


def prerank_run(parameters: Mapping[str, Any], folder: Path, observer: Observer) -> None:
    """Carry out a run of kind ``prerank``.

    Parameters
    ----------
    parameters
        ``path`` (of the gene sets), ``library``, ``min_size``, ``max_size``, ``seed``.
    folder
        The run's folder with the table `RANKED` (gene, value).
    observer
        Gets the table `TABLE`.

    Raises
    ------
    InputError
        If the folder lacks the ranked genes.
    """
    path = tables.table_path(folder, RANKED)
    if not path.is_file():
        raise InputError(f"{folder.name} lacks the genes that it ranks: ask the question again")
    ranked = tables.read(path).set_index("gene")["value"]
    terms, changes = fit_terms(read_gmt(parameters["path"]), ranked.index)
    for change in changes:
        observer.message(change)
    observer.message(
        f"{PERMUTATIONS:,} permutations of {len(ranked):,} genes against {parameters['library']}"
    )
    sizes = parameters["min_size"], parameters["max_size"]
    found = prerank(ranked, terms, *sizes, seed=parameters["seed"])
    observer.table(TABLE, found)
    observer.message(f"{len(found):,} terms, {int((found['q_value'] < 0.05).sum()):,} at q < 0.05")
