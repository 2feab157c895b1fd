"""Fit a list of genes and gene sets to a universe: names that were renamed, suffixed or written otherwise."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sgm_core.cells.gene_names import FORMER, Aliases, Resolver, describe_mapped, mouse_like
from sgm_core.errors import InputError

_SHOWN = 5
_MANY = 0.2


@dataclass(frozen=True)
class FittedList:
    """A list of genes in the universe's own names, and what was done and lost, a sentence each.

    `outside` are the genes that the universe lacks, as they were written; `mapped` those that are written
    otherwise there: (as written, gene, how it was found).
    """

    genes: tuple[str, ...]
    outside: tuple[str, ...]
    notes: tuple[str, ...]
    mapped: tuple[tuple[str, str, str], ...] = ()


def fit_list(
    genes: Iterable[str], universe: Collection[str], aliases: Aliases | None = None, exact: bool = False
) -> FittedList:
    """Find the genes of a list in a universe.

    A name that the universe lacks is looked up in the alias table, both ways, as a date, without the version
    of an Ensembl id, without the suffix of make-unique (``TP53.1``), without a genome's prefix, with hyphens
    for dots, and in other case.

    Parameters
    ----------
    genes
        The list.
    universe
        All genes that could have been picked.
    aliases
        Former symbol -> approved symbols, before the built-in renamings; Ensembl id -> symbols, too.
    exact
        Whether to look for the names as they are written only.

    Raises
    ------
    InputError
        If the universe is no larger than the list, or the list holds the symbols of another species.
    """
    asked, pool = tuple(dict.fromkeys(genes)), set(universe)
    check_universe(asked, pool)
    missing = [gene for gene in asked if gene not in pool]
    if mouse_like(missing) and mouse_like(asked) and not mouse_like(pool):
        shown = ", ".join(repr(gene) for gene in missing[:3])
        raise InputError(
            f"{len(missing):,} of the {len(asked):,} genes ({shown} ...) are written as mouse symbols "
            "and the "
            "universe holds human ones: map the list to human orthologues first"
        )
    resolve = Resolver(pool, {**FORMER, **(aliases or {})})
    found: dict[str, None] = {}
    mapped: list[tuple[str, str, str]] = []
    outside = []
    for gene in asked:
        answer = (gene, "") if gene in pool else None if exact else resolve(gene)
        if answer is None:
            outside.append(gene)
            continue
        found[answer[0]] = None
        if answer[1]:
            mapped.append((gene, *answer))
    notes = describe_mapped(mapped)
    if outside and found:
        notes.append(_outside(outside, len(asked)))
    return FittedList(tuple(found), tuple(outside), tuple(notes), tuple(mapped))


def check_universe(genes: Collection[str], universe: Collection[str]) -> None:
    """Refuse a universe that is no larger than the list.

    Raises
    ------
    InputError
        With both sizes.
    """
    asked, pool = set(genes), set(universe)
    if pool and len(pool) <= len(asked):
        outside = len(asked - pool)
        raise InputError(
            f"the universe holds {len(pool):,} genes and the list {len(asked):,} ({outside:,} of them "
            "outside "
            ""
            "it): a universe must hold every gene that could have been in the list, such as all genes "
            "measured"
        )


def fit_terms(
    terms: Mapping[str, Iterable[str]], universe: Collection[str]
) -> tuple[Mapping[str, Iterable[str]], tuple[str, ...]]:
    """Return gene sets in the case that the universe uses, and a sentence where that had to be changed.

    Raises
    ------
    InputError
        If the sets and the universe share hardly a gene, in whatever case.
    """
    pool = set(universe)
    members = {gene for genes in terms.values() for gene in genes}
    if not members or not pool or len(members & pool) > 0.02 * min(len(members), len(pool)):
        return terms, ()
    folded: dict[str, str] = {}
    for gene in sorted(pool):
        folded.setdefault(gene.lower(), gene)
    shared = {gene for gene in members if gene.lower() in folded}
    shown, other = min(members), min(pool)
    if len(shared) < 0.1 * min(len(members), len(pool)):
        if members & pool:
            return terms, ()
        raise InputError(
            f"the gene sets ({shown!r} ...) and the universe ({other!r} ...) share no gene: both need "
            "symbols of "
            "the same species"
        )
    if mouse_like(members) != mouse_like(pool):
        raise InputError(
            f"the gene sets ({shown!r} ...) and the universe ({other!r} ...) are written for different "
            "species: "
            "take gene sets of human symbols"
        )
    changed = {name: [folded.get(gene.lower(), gene) for gene in genes] for name, genes in terms.items()}
    example = min(shared)
    return changed, (
        f"gene sets in other case than the universe: {example!r} is {folded[example.lower()]!r}",
    )


def _outside(outside: list[str], n: int) -> str:
    shown = ", ".join(outside[:_SHOWN]) + (" ..." if len(outside) > _SHOWN else "")
    text = f"{len(outside):,} of {n:,} genes are outside the universe: {shown}"
    if len(outside) > _MANY * n:
        text += "; a universe must hold every gene that could have been in the list"
    return text
