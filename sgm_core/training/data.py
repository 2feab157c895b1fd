"""From a dataset on disk to batches of normalised values."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sgm_core.cells.dataset import TARGET_SUM, Dataset
from sgm_core.cells.vocabulary import place_genes
from sgm_core.errors import InputError
from sgm_core.model.inputs import depth_values
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.sizes import CELL_TOKEN, token_lengths
from sgm_core.training.tokens import MIN_DETECTION, known_genes, moments_of, most_informative
from sgm_core.training.variable_genes import sums_of, variable_genes

_BLOCK = 4096  # cells that are read at once
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def informative_genes(dataset: Dataset, rows: np.ndarray, n_genes: int) -> np.ndarray:
    """Choose the genes with the largest variance-to-mean ratio of normalised values among the cells `rows`.

    Measured on the validation donors of the AML data against variance, detection and Seurat's
    dispersion: it keeps as much of the cell types with a quarter of the expressed genes a cell
    (`benchmarks/results/tiny_search.md`).

    Parameters
    ----------
    rows : row numbers of the training cells (never of test cells)
    n_genes : how many; fewer come back when fewer are detected in 1 % of the cells

    Returns
    -------
    Column numbers, ascending.
    """
    chosen = np.sort(most_informative(moments_of(dataset, rows), n_genes))
    if len(chosen) < 2:
        raise InputError(
            f"dataset {dataset.name!r} has {len(chosen)} genes that vary and are seen in at least "
            f"{MIN_DETECTION:.0%} of the training cells: a backbone needs more; check the counts and filters"
        )
    return chosen


def chosen_genes(dataset: Dataset, rows: np.ndarray, n_genes: int, n_variable: int) -> np.ndarray:
    """Return the genes of a backbone: the most informative, and the most variable beside them.

    Together they name cell types better than as many of either alone: variance favours genes that many cells
    have, dispersion among genes of equal mean finds markers of rare types too
    (`benchmarks/results/dense_search.md`).

    Parameters
    ----------
    dataset, rows : the dataset and the row numbers of its training cells
    n_genes, n_variable : how many by `informative_genes` and by `variable_genes`

    Returns
    -------
    Column numbers, ascending.
    """
    informative = informative_genes(dataset, rows, n_genes)
    if not n_variable:
        return informative
    blocks = (dataset.lognorm(rows[start : start + _BLOCK]) for start in range(0, len(rows), _BLOCK))
    return np.union1d(informative, variable_genes(sums_of(blocks, dataset.n_genes), n_variable))


class Values:
    """Normalised values of the chosen genes: the counts stay on disk, a batch is read when it is asked for.

    Parameters
    ----------
    dataset, genes : the dataset and its chosen columns
    device : where batches go
    target_depth : how T is set (see `sgm_core.model.inputs`), for a backbone with depth tokens; None = none

    Attributes
    ----------
    measured : (L,) bool, the positions that the dataset has a gene for; never T or S
    expressed : (n_cells,) number of the chosen genes that each cell expresses
    lengths : (n_cells,) tokens of every cell: its expressed genes, and the depth tokens
    n_positions : positions L of a cell: its genes, then T and S where they are asked for
    """

    _others_count = True  # in a cell's total, the genes that are not chosen
    first = 0
    """Number of its first cell in a corpus: random numbers are drawn by it."""

    def __init__(
        self, dataset: Dataset, genes: np.ndarray, device: torch.device, target_depth: str | None = None
    ) -> None:
        genes = dataset.gene_columns(genes)
        places = np.full(dataset.n_genes, -1, np.int64)
        places[genes] = np.arange(len(genes))
        self._describe(dataset, places, len(genes), device, target_depth)

    def _describe(
        self,
        dataset: Dataset,
        places: np.ndarray,
        n_genes: int,
        device: torch.device,
        target_depth: str | None,
    ) -> None:
        self.dataset, self.device, self._places = dataset, device, places
        self.expressed, self._known = known_genes(dataset, places >= 0)
        totals = self._totals()
        self._log_totals = np.log10(np.maximum(totals, 1))
        self._depths: np.ndarray | None = None  # T and S (cells, 2)
        if target_depth is not None:
            self._depths = np.stack(depth_values(self._log_totals, target_depth), 1).astype(np.float32)
        n_depths = 0 if self._depths is None else 2
        self.lengths, self.n_positions = self.expressed + n_depths, n_genes + n_depths
        self.measured = np.zeros(self.n_positions, bool)
        self.measured[places[places >= 0]] = True

    def _totals(self) -> np.ndarray:
        """Return what a cell's counts are divided by (n_cells,)."""
        return self.dataset.totals()

    def _normalised(self, counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
        """Return ln(1 + 10,000 * count / total) of single counts (n,), float32; totals of their cells."""
        return np.log1p(counts * (TARGET_SUM / totals)).astype(np.float32)

    def totals(self, rows: np.ndarray) -> np.ndarray:
        """Return what the counts of the cells `rows` are divided by (B,), at least 1."""
        return np.maximum(self._totals()[rows], 1)

    def cell_names(self, rows: np.ndarray) -> list[str]:
        """Return the names of the cells `rows`."""
        return [str(name) for name in self.dataset.obs["cell"].iloc[rows]]

    def batch(self, rows: np.ndarray) -> Tensor:
        """Return the values (B, L) of the cells `rows`."""
        counts = self.dataset.take(rows)
        at = self._places[counts.indices]
        ours = at >= 0
        cell = np.repeat(np.arange(len(rows)), np.diff(counts.indptr))[ours]
        totals = np.maximum(self._totals()[rows], 1)[cell]
        x = np.zeros((len(rows), self.n_positions), np.float32)
        x[cell, at[ours]] = self._normalised(counts.data[ours].astype(np.float32), totals)
        if self._depths is not None:
            x[:, -2:] = self._depths[rows]
        return to_device(torch.from_numpy(x), self.device)

    def thinned(self, rows: np.ndarray, share: float, key: tuple[int, int, int]) -> Tensor:
        """Return the values (B, L) of the cells `rows` as if some had been sequenced less deeply.

        A thinned cell keeps each of its counts with a probability drawn from Beta(2, 2); S is the depth that
        is left, T the cell's own. A cell left without a count stays as it is.

        Parameters
        ----------
        rows : the cells
        share : how many are thinned; the others come as `batch` gives them
        key : seed, purpose and epoch: with the cell they decide alone what happens to it, whatever the batch
        """
        assert self._depths is not None, "without S the model could not know what it sees"
        seed, purpose, epoch = key
        counts = self.dataset.take(rows)
        x = np.zeros((len(rows), self.n_positions), np.float32)
        untouched = []
        for i, cell in enumerate(rows):
            stream = np.random.Philox(
                key=np.array([seed, purpose], np.uint64), counter=[0, 0, epoch, self.first + int(cell)]
            )
            rng = np.random.Generator(stream)
            thin, rate = rng.random() < share, rng.beta(2, 2)
            part = slice(counts.indptr[i], counts.indptr[i + 1])
            at = self._places[counts.indices[part]]
            kept = rng.binomial(counts.data[part].astype(np.int64), rate)
            total = int(kept.sum() if self._others_count else kept[at >= 0].sum())
            if not thin or total == 0:
                untouched.append(i)
                continue
            ours = at >= 0
            x[i, at[ours]] = np.log1p(TARGET_SUM / total * kept[ours])
            x[i, -2:] = self._log_totals[cell], np.log10(total)
        batch = to_device(torch.from_numpy(x), self.device)
        if untouched:
            batch[untouched] = self.batch(rows[untouched])
        return batch


class PlacedValues(Values):
    """The cells of a dataset that may lack some of the backbone's genes; a gene that it lacks is zero.

    A cell's total is over all genes of its dataset: fewer counts in a panel than in a transcriptome.

    Parameters
    ----------
    dataset, device, target_depth : see `Values`
    names : symbols of the backbone's genes, each once
    """

    def __init__(
        self, dataset: Dataset, names: np.ndarray, device: torch.device, target_depth: str | None = None
    ) -> None:
        places = pd.Index(names).get_indexer(pd.Index(dataset.genes)).astype(np.int64)
        self._describe(dataset, places, len(names), device, target_depth)


class VocabularyValues(Values):
    """The cells in the fixed vocabulary of imported weights; a cell's total is over the genes in it.

    Parameters
    ----------
    dataset : the dataset
    vocabulary : symbols in the order of the backbone's positions; a gene that the dataset lacks is zero
    device : where batches go
    target_depth : how T is set, see `sgm_core.model.inputs`
    shape : fields of the backbone's `BackboneConfig`, by default one with T and S; where the cell itself has
        a token, a position of the value 0 stands for it

    Raises
    ------
    InputError
        If too few of the dataset's genes are in the vocabulary.
    """

    _others_count = False

    def __init__(
        self,
        dataset: Dataset,
        vocabulary: Sequence[str],
        device: torch.device,
        target_depth: str = "a0",
        shape: Mapping[str, Any] | None = None,
    ) -> None:
        places = place_genes(dataset.genes, vocabulary, f"dataset {dataset.name!r}")
        self.shape = shape or {"depth_tokens": True}
        cell_token = self.shape.get("kind") in CELL_TOKEN
        target = None if cell_token else target_depth
        self._describe(dataset, places, len(vocabulary), device, target)
        if cell_token:
            self.n_positions += 1
            self.measured = np.append(self.measured, False)
            self.lengths = token_lengths(self.shape, self.expressed)

    def _totals(self) -> np.ndarray:
        return self._known

    def _normalised(self, counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
        return np.log1p(TARGET_SUM * counts / totals).astype(np.float32)


class CorpusValues(Values):
    """Several datasets' cells for one backbone, numbered through: first all of the first, then the next's.

    Parameters
    ----------
    parts : of each dataset, the same positions
    union : False leaves as measured what every dataset measured

    Attributes
    ----------
    datasets : whose cells they are
    starts : (datasets,) number of each one's first cell
    differs : whether some dataset measured other positions than the first; batches are then of one dataset
    """

    def __init__(self, parts: Sequence[Values], union: bool) -> None:
        self.parts, self.dataset, self.device = parts, parts[0].dataset, parts[0].device
        self.n_positions, self.lengths = parts[0].n_positions, np.concatenate([one.lengths for one in parts])
        ends = np.cumsum([len(one.lengths) for one in parts])
        self.starts = ends - [len(one.lengths) for one in parts]
        for one, start in zip(parts, self.starts, strict=True):
            one.first = int(start)
        every = np.logical_and.reduce([one.measured for one in parts])
        self.measured = parts[0].measured if union else every
        self._measured = [one.measured if union else every for one in parts]
        self.datasets = [one.dataset for one in parts]
        self.differs = any((one != self.measured).any() for one in self._measured)

    def own(self, rows: np.ndarray) -> np.ndarray:
        """Return which of the cells are the first dataset's (n,) bool."""
        return rows < len(self.parts[0].lengths)

    def part_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the dataset that each cell is of (n,)."""
        return np.searchsorted(self.starts, rows, "right") - 1

    def measured_by(self, part: int) -> np.ndarray:
        """Return the positions that may be masked and scored in a dataset's cells (L,) bool."""
        return self._measured[part]

    def cell_names(self, rows: np.ndarray) -> list[str]:
        """Return the names of the cells, those of further datasets with the dataset's name before it."""
        named = []
        for part, row in zip(self.part_of(rows), rows, strict=True):
            (name,) = self.parts[part].cell_names(np.array([row - self.starts[part]]))
            named.append(f"{self.parts[part].dataset.name}: {name}" if part else name)
        return named

    def batch(self, rows: np.ndarray) -> Tensor:
        """Return the values (B, L) of cells."""
        return self._gather(rows, lambda values, own: values.batch(own))

    def thinned(self, rows: np.ndarray, share: float, key: tuple[int, int, int]) -> Tensor:
        """Return the values (B, L) of cells, some thinned; see `Values.thinned`."""
        return self._gather(rows, lambda values, own: values.thinned(own, share, key))

    def _gather(self, rows: np.ndarray, read: Callable[[Values, np.ndarray], Tensor]) -> Tensor:
        parts = self.part_of(rows)
        found = np.unique(parts)
        if len(found) == 1:
            return read(self.parts[found[0]], rows - self.starts[found[0]])
        x = torch.empty(len(rows), self.n_positions, device=self.device)
        for part in found:
            at = np.flatnonzero(parts == part)
            x[torch.from_numpy(at).to(self.device)] = read(self.parts[part], rows[at] - self.starts[part])
        return x


def model_values(dataset: Dataset, model: MaskedModel, names: np.ndarray, device: torch.device) -> Values:
    """Return the values that a model reads, in its own order of genes.

    Parameters
    ----------
    dataset : the cells
    model : its backbone's `genes` are the vocabulary where it came from imported weights
    names : symbols of the model's genes
    device : where batches go
    """
    target = str(model.masking.get("target_depth", "a0"))
    if model.backbone.genes is not None:
        shape = model.backbone.config.to_dict()
        return VocabularyValues(dataset, model.backbone.genes, device, target, shape)
    target_or_none = target if model.backbone.config.depth_tokens else None
    return Values(dataset, dataset.gene_columns(names), device, target_or_none)


def refuse_long_cells(
    lengths: np.ndarray, most: int, source: str, shape: Mapping[str, Any] | None = None
) -> None:
    """Check that no cell has more than `most` tokens.

    Parameters
    ----------
    lengths : (cells,) tokens of each cell
    most : the field ``max_tokens``
    source : what the data is called, for messages
    shape : fields of the backbone's `BackboneConfig`: one whose tokens are limited by itself, or whose time
        goes with the tokens and not with their square, takes any cell

    Raises
    ------
    InputError
        If there are such cells: how many, the longest, and what to do.
    """
    over = int((lengths > most).sum())
    if over and (shape or {}).get("kind") not in CELL_TOKEN:
        raise InputError(
            f"{over:,} of {len(lengths):,} cells of {source} have more than "
            f"{most:,} tokens (max_tokens), the longest {lengths.max():,}; attention's time goes with the "
            "square. Are they bulk samples or doublets? Leave them out when importing, or raise max_tokens"
        )


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor, to a GPU from pinned memory and without waiting."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def ahead(make: Callable[[_Item], _Made], items: Iterable[_Item], device: torch.device) -> Iterator[_Made]:
    """Yield ``make(item)`` for each item; for a GPU the next one is made in a thread meanwhile."""
    if device.type != "cuda":
        yield from map(make, items)
        return
    with ThreadPoolExecutor(1) as thread:
        waiting: Future[_Made] | None = None
        for item in items:
            following = thread.submit(make, item)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def group_size(number: int, count: int, accumulation: int) -> int:
    """Return how many batches share the update of batch `number` of `count`; an epoch's last may be fewer."""
    return min(accumulation, count - number // accumulation * accumulation)


def token_batches(
    rows: np.ndarray, lengths: np.ndarray, size: int, tokens: int = 32768
) -> Iterator[np.ndarray]:
    """Yield batches sorted by length, of at most `size` cells and, beyond the first, of `tokens` tokens."""
    ordered = rows[np.argsort(lengths[rows], kind="stable")]
    start, total = 0, 0
    for i, length in enumerate(lengths[ordered]):
        if i > start and (i - start >= size or total + length > tokens):
            yield ordered[start:i]
            start, total = i, 0
        total += int(length)
    if start < len(ordered):
        yield ordered[start:]


def batches(
    rows: np.ndarray, lengths: np.ndarray, size: int, rng: np.random.Generator | None = None
) -> Iterator[np.ndarray]:
    """Yield batches of cells of similar length, so that little is padded.

    With `rng` the order is random: cells are shuffled, sorted by length within blocks of 16 batches, and
    the batches of a block shuffled again. Without it, cells come sorted by length.
    """
    if rng is None:
        ordered = rows[np.argsort(lengths[rows], kind="stable")]
        yield from (ordered[i : i + size] for i in range(0, len(ordered), size))
        return
    shuffled = rng.permutation(rows)
    for start in range(0, len(shuffled), 16 * size):
        block = shuffled[start : start + 16 * size]
        block = block[np.argsort(lengths[block], kind="stable")]
        for i in rng.permutation(np.arange(0, len(block), size)):
            yield block[i : i + size]
