"""Counts summed over the cells of a donor, and which donors can be compared.

A donor, not a cell, is what a study draws: cells of one donor resemble each other, so tests over single
cells call many genes that the next donors don't show (Squair et al. 2021, doi:10.1038/s41467-021-25960-2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.progress import Observer

MIN_DONORS = 3
MIN_CELLS = (10, 5)
"""Least cells of a donor on a side: the first, unless only the second leaves enough donors on each."""
MOST_DONORS, MOST_PAIRS = 60, 24
_BLOCK = 8192


@dataclass(frozen=True)
class Sums:
    """What a pass over the cells of two sides gives.

    Parameters
    ----------
    samples : side ("a" or "b"), donor, n_cells; one row a sample
    counts : (samples, genes) float64 raw counts summed over the sample's cells
    share : (2, genes) share of the cells of side a and b with a count of the gene
    mean : (2, genes) mean of ln(1 + 10,000 * count / total) over the cells of side a and b
    """

    samples: pd.DataFrame
    counts: np.ndarray
    share: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class Plan:
    """Which donors a comparison goes over, and how; decided by numbers of cells, never by expression.

    Parameters
    ----------
    min_cells : least cells of a donor on a side
    donors_a, donors_b : the donors that have them
    paired : whether it goes over the donors of both sides, each against itself
    notes : what was left out and why, in sentences
    """

    min_cells: int
    donors_a: tuple[str, ...]
    donors_b: tuple[str, ...]
    paired: bool
    notes: tuple[str, ...]

    @property
    def enough(self) -> bool:
        """Whether each side has the donors that a test over donors needs."""
        return min(len(self.donors_a), len(self.donors_b)) >= MIN_DONORS


def plan_donors(donors_a: pd.Series, donors_b: pd.Series, min_cells: int | None = None) -> Plan:
    """Choose the donors of a comparison.

    Where at least three donors, and half of those of the side with fewer, have enough cells on both sides,
    the comparison goes over them alone, each against itself; else over the donors of either side. Of more
    donors than a test can use those with the most cells are taken.

    Parameters
    ----------
    donors_a, donors_b
        The donor of each cell of the two sides.
    min_cells
        Least cells of a donor on a side; None: see `MIN_CELLS`.
    """
    sizes = [side.dropna().astype(str).value_counts() for side in (donors_a, donors_b)]
    usual, fewest = MIN_CELLS
    least = min_cells or usual
    if min_cells is None and _fewer(sizes, usual) < MIN_DONORS <= _fewer(sizes, fewest):
        least = fewest
    kept = [side[side >= least] for side in sizes]
    notes = []
    for name, side, mine in zip("AB", sizes, kept):
        if len(mine) < len(side):
            few = len(side) - len(mine)
            donors = "1 donor" if few == 1 else f"{few} donors"
            notes.append(f"{donors} of {name} with fewer than {least} cells left out")
    both = kept[0].index.intersection(kept[1].index)
    paired = len(both) >= MIN_DONORS and 2 * len(both) >= min(map(len, kept))
    if paired:
        alone = len(kept[0].index.union(kept[1].index)) - len(both)
        if alone:
            donors = "1 donor" if alone == 1 else f"{alone} donors"
            notes.append(
                f"{donors} with enough cells on one side only left out: each is compared with itself"
            )
        kept = [side.loc[both] for side in kept]
        order = pd.concat(kept, axis=1).min(axis=1).sort_values(ascending=False, kind="stable").index
        chosen = [order[:MOST_PAIRS], order[:MOST_PAIRS]]
    else:
        chosen = [side.sort_values(ascending=False, kind="stable").index[:MOST_DONORS] for side in kept]
    for name, side, taken in zip(["the pairs"] if paired else "AB", kept, chosen):
        if len(taken) < len(side):
            notes.append(f"the {len(taken)} of {len(side)} donors with the most cells are taken for {name}")
    a, b = (tuple(sorted(map(str, taken))) for taken in chosen)
    return Plan(least, a, b, paired, tuple(notes))


def _fewer(sizes: Sequence[pd.Series], least: int) -> int:
    return min(int((side >= least).sum()) for side in sizes)


def pseudobulk(
    dataset: Dataset, rows_a: np.ndarray, rows_b: np.ndarray, plan: Plan, observer: Observer | None = None
) -> Sums:
    """Sum the counts of the planned donors' cells, block by block.

    Memory: samples x genes, and one block of cells.

    Parameters
    ----------
    dataset
        The cells.
    rows_a, rows_b
        Row numbers of the two sides, ascending.
    plan
        The donors, from `plan_donors`; the shares and means of the sides are over the cells of these donors.
    observer
        Told how far it is; asked between blocks whether to stop.
    """
    observer = observer or Observer()
    donor, names = pd.factorize(dataset.donors().astype(str))
    samples = [("a", donor) for donor in plan.donors_a] + [("b", donor) for donor in plan.donors_b]
    place = {sample: number for number, sample in enumerate(samples)}
    code = np.full(dataset.n_cells, -1, dtype=np.int32)
    for side, rows in (("a", rows_a), ("b", rows_b)):
        code[rows] = np.array([place.get((side, str(name)), -1) for name in names], np.int32)[donor[rows]]
    counts = np.zeros((len(samples), dataset.n_genes))
    seen, total = np.zeros((2, dataset.n_genes)), np.zeros((2, dataset.n_genes))
    side_of = np.array([0 if side == "a" else 1 for side, _ in samples])
    for start in range(0, dataset.n_cells, _BLOCK):
        observer.check()
        observer.progress(start, dataset.n_cells, "summing counts")
        mine = np.flatnonzero(code[start : start + _BLOCK] >= 0) + start
        if not mine.size:
            continue
        whole = slice(start, min(start + _BLOCK, dataset.n_cells))
        block = dataset.take(whole)[mine - start] if 2 * mine.size > _BLOCK else dataset.take(mine)
        per_cell = np.diff(block.indptr)
        gene = block.indices.astype(np.int64)
        value = block.data.astype(np.float64)
        counts += _sum(np.repeat(code[mine], per_cell), gene, value, counts.shape)
        half = np.repeat(side_of[code[mine]], per_cell)
        seen += _sum(half, gene, None, seen.shape)
        per_count = np.repeat(1e4 / np.maximum(dataset.totals()[mine], 1), per_cell)
        total += _sum(half, gene, np.log1p(value * per_count), total.shape)
    cells = np.bincount(code[code >= 0], minlength=len(samples))
    table = pd.DataFrame(samples, columns=["side", "donor"]).assign(n_cells=cells)
    per_side = np.maximum(np.bincount(side_of, cells, minlength=2), 1)[:, None]
    return Sums(table, counts, seen / per_side, total / per_side)


def _sum(code: np.ndarray, gene: np.ndarray, value: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Sum values (how many there are, if None) that have the same code and gene, float64 of `shape`."""
    place = code * shape[1] + gene
    return np.bincount(place, value, shape[0] * shape[1]).reshape(shape)


def countable(counts: np.ndarray, n_smaller: int) -> np.ndarray:
    """Say which genes have counts enough to be tested, bool (genes,); blind to the sides of the samples.

    edgeR's rule ``filterByExpr`` (Chen, Lun and Smyth 2016, doi:10.12688/f1000research.8987.2): 15 counts
    over all samples, and, in as many samples as the smaller side has, the counts per million that 10 counts
    are in the median sample.

    Parameters
    ----------
    counts
        Samples x genes.
    n_smaller
        Samples of the side with fewer.
    """
    library = np.maximum(counts.sum(axis=1), 1)
    enough = counts / library[:, None] >= 10 / np.median(library)
    needed = n_smaller if n_smaller <= 10 else 10 + 0.7 * (n_smaller - 10)
    return (enough.sum(axis=0) >= needed - 1e-9) & (counts.sum(axis=0) >= 15)
