"""The genes to review, one after the other: an order over a run's genes, and what can be filtered by."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from sgm_core.errors import InputError, NotFoundError
from sgm_core.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

ORDERS = {
    "lift": "Highest lift",
    "frequency": "Most masked",
    "above": "Above its equals, no interval",
    "term": "A term or signature",
    "list": "My own list",
}
"""What a queue can be made of.

``lift`` takes the lower bound over models; ``above`` its best guess, which one model, or one group of cells,
has too: a model that learned nothing has such an order as well.
"""
FACTOR, SIGNATURE = "transcription_factor", "signature_member"
_STATISTICS = 1  # to be raised when `gene_statistics` computes something else from the same counts


def statistics_version(stats: pd.DataFrame) -> str:
    """Return which statistics a reviewer saw: the version of their formulae, and a hash of the counts.

    Parameters
    ----------
    stats
        From `sgm_core.analysis.masks.gene_statistics`.
    """
    digest = hashlib.blake2b(digest_size=6)
    digest.update("\n".join(map(str, stats["gene"])).encode())
    for column in ("masked", "opportunities"):
        digest.update(stats[column].to_numpy("int64").tobytes())
    return f"{_STATISTICS}-{digest.hexdigest()}"


def ranking_name(order: str, arm: str, level: str = "", term: str = "") -> str:
    """Return how a verdict names the queue in which the gene was met, such as ``lift:self-guided``."""
    where = f"{order}:{arm}" + (f" in {level}" if level else "")
    return f"{where} ({term})" if term else where


def queue(
    stats: pd.DataFrame, order: str = "lift", genes: Iterable[str] | None = None, top: int = 100
) -> list[str]:
    """Return the genes to review.

    Parameters
    ----------
    stats
        From `sgm_core.analysis.masks.gene_statistics`, over all cells or within a group.
    order
        One of `ORDERS`.
    genes
        For ``term`` and ``list``: the genes, kept as far as the run could hide them. A list keeps its order,
        a term's genes come by frequency.
    top
        How many at most.

    Raises
    ------
    InputError
        If genes can't be ordered so (`sgm_core.analysis.masks.lift_problem`), or none is left.
    """
    from sgm_core.analysis.masks import top_genes

    if order == "list":
        known = set(stats["gene"])
        found = [gene for gene in dict.fromkeys(genes or ()) if gene in known]
    elif order == "term":
        found = top_genes(stats[stats["gene"].isin(set(genes or ()))], "frequency", top)
    elif order == "above":
        ranked = stats.dropna(subset=["lift"])
        found = ranked.sort_values(["lift", "gene"], ascending=[False, True])["gene"].tolist()
    elif order in ("lift", "frequency"):
        found = top_genes(stats, order, top)
    else:
        raise InputError(f"unknown order {order!r}: take one of {', '.join(ORDERS)}")
    if not found:
        raise InputError("no gene of this queue could be hidden by the run: choose another queue")
    return found[:top]


def flags(stats: pd.DataFrame, sets: Mapping[str, Collection[str]]) -> pd.DataFrame:
    """Return what each gene is: families of genes, transcription factor, member of a signature.

    Parameters
    ----------
    stats
        As in `queue`.
    sets
        From `gene_sets`.

    Returns
    -------
    DataFrame
        Boolean, indexed by gene: the families of `sgm_core.cells.quality.gene_families`,
        ``transcription_factor``, ``signature_member``.
    """
    from sgm_core.cells.quality import gene_families
    from sgm_core.runs.biology import FACTORS

    table = gene_families(stats["gene"].to_numpy(dtype=str))
    kinds: dict[str, set[str]] = {FACTOR: set(), SIGNATURE: set()}
    for name, members in sets.items():
        kinds[FACTOR if name.startswith(FACTORS) else SIGNATURE].update(members)
    for name, members in kinds.items():
        table[name] = table.index.isin(members)
    return table


def gene_sets() -> dict[str, list[str]]:
    """Return the registered lists of transcription factors and signatures, none where there is none."""
    from sgm_core.runs.biology import registered_sets

    try:
        return registered_sets()
    except NotFoundError:
        return {}


def filtered(
    genes: Iterable[str], table: pd.DataFrame, only: Collection[str] = (), without: Collection[str] = ()
) -> list[str]:
    """Return the genes that have one of the flags `only` (all, where none is named) and none of `without`.

    Parameters
    ----------
    table
        From `flags`.
    """
    keep = table[list(only)].any(axis=1) if only else ~table.index.isin(())
    drop = table[list(without)].any(axis=1) if without else table.index.isin(())
    allowed = set(table.index[keep & ~drop])
    return [gene for gene in genes if gene in allowed]


def maskable_genes(run: Run) -> list[str]:
    """Return the genes that a run could hide: those of which there are verdicts.

    Raises
    ------
    NotFoundError
        If the run has no mask counts.
    """
    rows = run.read_table("masks", ["gene"], by="all", categories=True)
    if rows is None:
        raise NotFoundError(f"run {run.id} has no mask counts, so none of its genes can be reviewed")
    return [str(gene) for gene in rows["gene"].unique()]
