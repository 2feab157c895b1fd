"""The score of a gene set in every cell: its mean expression over that of genes expressed alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.facts import gene_moments
from sgm_core.errors import InputError

_BLOCK_VALUES = 40_000_000
"""Stored values of the genes that are summed at a time: 480 MB."""


@dataclass(frozen=True)
class GeneScore:
    """The score of a gene set.

    Parameters
    ----------
    values
        float32 (n_cells,): mean of ln(1 + 10,000 count / total) over `genes` less that over `controls`.
    genes, controls
        The genes of the set that the dataset has, and the genes they are compared with.
    missing
        The genes of the set that the dataset lacks.
    """

    values: np.ndarray
    genes: tuple[str, ...]
    controls: tuple[str, ...]
    missing: tuple[str, ...]


def score_genes(
    dataset: Dataset, genes: Sequence[str], ctrl_size: int = 50, n_bins: int = 25, seed: int = 0
) -> GeneScore:
    """Score a gene set as scanpy's ``score_genes`` does (Satija et al. 2015, doi:10.1038/nbt.3192).

    All genes are cut into `n_bins` by their mean; from each bin that holds a gene of the set, `ctrl_size`
    genes are drawn as controls, the set's own left out. Means and columns come from what is kept beside the
    dataset, a few genes at a time, so memory stays flat.

    Parameters
    ----------
    dataset
        Where the cells are.
    genes
        Symbols; those that the dataset lacks are left out and named in the result.
    ctrl_size
        Controls drawn from each bin.
    n_bins
        Number of bins.
    seed
        Of the draw; the same genes give the same score.

    Raises
    ------
    InputError
        If the dataset has no counts or none of the genes, or no gene is left for comparison.
    """
    dataset.require_counts("the score of a gene set")
    wanted = list(dict.fromkeys(gene.strip() for gene in genes if gene.strip()))
    known = set(dataset.genes)
    found = [gene for gene in wanted if gene in known]
    if not found:
        raise InputError(
            f"dataset {dataset.name!r} has none of the {len(wanted)} genes of the set"
            + (f" ({', '.join(wanted[:3])} ...): are they gene symbols?" if wanted else "")
        )
    controls = control_genes(dataset, found, ctrl_size, n_bins, seed)
    if not controls:
        raise InputError("no gene is left to compare the set with: it holds all genes of its expression")
    values = _mean(dataset, found) - _mean(dataset, controls)
    missing = tuple(gene for gene in wanted if gene not in known)
    return GeneScore(values.astype(np.float32), tuple(found), tuple(controls), missing)


def control_genes(
    dataset: Dataset, found: list[str], ctrl_size: int = 50, n_bins: int = 25, seed: int = 0
) -> list[str]:
    """Draw the genes that a set is compared with; parameters as in `score_genes`."""
    mean = pd.Series(gene_moments(dataset).over(None).mean, index=pd.Index(dataset.genes))
    per_bin = max(int(np.round(len(mean) / (n_bins - 1))), 1)
    cut = mean.rank(method="min") // per_bin
    draw = np.random.RandomState(seed)  # scanpy's generator
    chosen: set[str] = set()
    for each in np.unique(cut.loc[found]):
        there = cut.index[cut == each]
        if ctrl_size < len(there):
            there = there.to_series().sample(ctrl_size, random_state=draw).index
        chosen |= set(there)
    return sorted(chosen.difference(found))


def _mean(dataset: Dataset, genes: list[str]) -> np.ndarray:
    total = np.zeros(dataset.n_cells)
    detected = pd.Series(dataset.var["n_cells"].to_numpy(), index=pd.Index(dataset.genes)).loc[genes]
    block = (detected.cumsum() // _BLOCK_VALUES).to_numpy()
    for number in np.unique(block):
        names = [gene for gene, mine in zip(genes, block == number) if mine]
        columns = dataset.genes_matrix(names)
        total += np.bincount(columns.indices, weights=columns.data, minlength=dataset.n_cells)  # float64
    return total / len(genes)
