"""Which terms and signatures hold a gene."""

from collections.abc import Iterable, Mapping


def holding(sets: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return the sets that hold each gene, the smallest first: what is specific says most.

    Parameters
    ----------
    sets
        Name to genes.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for name, genes in sets.items():
        members = set(genes)
        for gene in members:
            found.setdefault(gene, []).append((len(members), name))
    return {gene: [name for _, name in sorted(held)] for gene, held in found.items()}
