"""Cells in, embeddings out: what the released script gives, from Python, a batch of any cells at a time."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sgm_core.device import autocast, pick_device
from sgm_core.embedding.input import Cells, check_expressed, normalise, place_cells, read_cells
from sgm_core.embedding.plan import MAX_TOKENS, batches, check_plan, default_batch_tokens
from sgm_core.errors import InputError
from sgm_core.model.backbone import Backbone
from sgm_core.model.inputs import target_depth as check_target
from sgm_core.model.interface import OFFICIAL_POOLS, Encoded
from sgm_core.progress import Observer
from sgm_core.units import duration

OUTPUTS = ("cell", "bulk", "gene", "gene_expression")
_GPU_DECODED = 8


@dataclass(frozen=True)
class Prepared:
    """Checked cells, ready for the encoder.

    Parameters
    ----------
    cells : in the backbone's vocabulary, as they were given
    values : (n, G) float32, normalised
    depths : (n, 2) float32, T and S
    lengths : (n,) tokens of each cell
    """

    cells: Cells
    values: sparse.csr_matrix
    depths: np.ndarray
    lengths: np.ndarray

    def dense(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Return the values, T and S of some cells, (B, G + 2)."""
        table = np.concatenate([self.values[rows].toarray(), self.depths[rows]], axis=1)
        return torch.from_numpy(table).to(device)


def prepare(
    cells: Any,
    backbone: Backbone,
    output: str = "cell",
    target_depth: str = "t4",
    values: str = "counts",
    genes: Sequence[str] | np.ndarray | None = None,
) -> Prepared:
    """Check cells, place them in the vocabulary, then normalise them; see `embed`."""
    config = backbone.config
    if output not in OUTPUTS:
        raise InputError(f"output is {output!r}: choose {', '.join(OUTPUTS)}")
    if not config.depth_tokens:
        raise InputError("this backbone has no depth tokens S and T, as the released one has")
    if output == "bulk" and values == "lognorm+total":
        raise InputError("bulk samples have no values 'lognorm+total': choose counts or lognorm")
    check_target(target_depth)
    official = config.compat == "official"
    read = read_cells(cells, values, genes, output == "bulk")
    placed = place_cells(read, backbone.genes, config.n_genes, official, values)
    check_expressed(np.diff(placed.matrix.indptr), placed.call)
    normalised, target, source = normalise(placed, values, target_depth, output == "bulk")
    depths = np.stack([target, source], axis=1).astype(np.float32)
    seen = (depths > 0).sum(1) if official else 2
    lengths = np.diff(normalised.indptr) + seen
    if official and (lengths < 3).any():
        row = int(lengths.argmin())
        raise InputError(
            f"{placed.call(row)} has {lengths[row]} tokens, since the released code loses T or S when they "
            "are not positive, and it needs 3: use compat='corrected'"
        )
    if official and output.startswith("gene") and (depths < 0).any():
        raise InputError("T or S is negative, which the decoder can't reproduce: use compat='corrected'")
    return Prepared(placed, normalised, depths, lengths)


def embed(
    cells: Any,
    backbone: Backbone,
    *,
    output: str = "cell",
    pool: str = "all",
    target_depth: str = "t4",
    values: str = "counts",
    genes: Sequence[str] | np.ndarray | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_tokens: int | None = None,
    batch_cells: int | None = None,
    max_tokens: int = MAX_TOKENS,
    observer: Observer | None = None,
) -> np.ndarray:
    """Embed cells with an imported backbone.

    Genes are matched by exact symbol first: unknown ones are dropped, missing ones are zero, counts of
    columns with one symbol are summed. Then the cells are normalised over the genes that were kept.

    Parameters
    ----------
    cells : (n, m) a Dataset, an AnnData (its X), a DataFrame (columns are symbols), an array or a sparse
        matrix
    backbone : from `sgm_core.load_backbone`; the weight set ``cell`` (or ``rde``) is meant for cells,
        ``gene`` for genes. It is moved to `device`. With ``compat="official"`` columns are matched only when
        there are fewer than the backbone has genes, as the released code does
    output : ``cell``; ``bulk`` when each row is a bulk sample; ``gene``, every gene's vector in every cell;
        ``gene_expression``, every gene's predicted value
    pool : how a cell's tokens become one vector: ``all`` is S, T, maximum and mean over its genes; ``max``
        is the maximum over all tokens
    target_depth : the read depth T that is aimed at: ``t4`` is 10^4 counts, ``f2`` twice the cell's own,
        ``a1`` log10 of its own + 1; not used by ``bulk``
    values : ``counts``; ``lognorm``, ln(1 + 10,000 count / total), whose sum then stands in for the read
        depth; or ``lognorm+total``, with each cell's count as the last column (``obs["total_counts"]`` of an
        AnnData)
    genes : names of the columns; without any, columns must be the backbone's genes in its order
    device : auto, cpu, cuda or cuda:N
    precision : fp32 or bf16
    batch_tokens : most tokens of the encoder at once, 8,192 by default (65,536 on a GPU); changes the speed
        and nothing else
    batch_cells : cells of the decoder at once, 1 by default (8 on a GPU). With ``compat="official"`` the
        cells of a call influence each other: 1 is the released script's ``gene``, n is its ``gene_batch``
    max_tokens : most tokens of one cell, which are its expressed genes, T and S
    observer : is told about the progress

    Returns
    -------
    float32, in the order of the cells: (n, 4 D) or (n, D) for ``cell`` and ``bulk``, (n, G, Dd) for ``gene``,
    (n, G) for ``gene_expression``

    Raises
    ------
    InputError
        If a value can't be what `values` says, a cell expresses none of the backbone's genes, fewer than a
        fifth of the genes are known, or it would take too many tokens or too much memory: this is said before
        it starts.

    Examples
    --------
    >>> import sgm_core
    >>> backbone = sgm_core.load_backbone("scfoundation", "cell")  # doctest: +SKIP
    >>> vectors = sgm_core.embed(adata, backbone)  # doctest: +SKIP
    """
    if pool not in OFFICIAL_POOLS:
        raise InputError(f"pool is {pool!r}: choose {', '.join(OFFICIAL_POOLS)}")
    if precision not in ("fp32", "bf16"):
        raise InputError(f"precision is {precision!r}: choose fp32 or bf16")
    for name, number in (
        ("batch_tokens", batch_tokens),
        ("batch_cells", batch_cells),
        ("max_tokens", max_tokens),
    ):
        if number is not None and number < 1:
            raise InputError(f"{name} is {number}: it must be 1 or more")
    observer = observer or Observer()
    place = pick_device(device)
    prepared = prepare(cells, backbone, output, target_depth, values, genes)
    decodes = output.startswith("gene")
    if batch_cells is None:
        batch_cells = _GPU_DECODED if place.type == "cuda" and backbone.config.compat == "corrected" else 1
    batch_tokens = batch_tokens or default_batch_tokens(place)
    n_cells, shape = len(prepared.lengths), _shape(backbone, output, pool)
    check_plan(
        backbone.config, prepared.lengths, prepared.cells.call, place, batch_tokens, max_tokens,
        4 * n_cells * math.prod(shape), min(batch_cells, n_cells) if decodes else 0,
    )  # fmt: skip
    result = np.empty((n_cells, *shape), np.float32)
    was_training = backbone.training
    # outside of inference mode, or its parameters could not be trained afterwards
    backbone.to(place).eval()
    try:
        with torch.inference_mode(), autocast(place, precision):
            done = 0
            started = time.monotonic()
            for rows, encoded, table in _encode(
                backbone, prepared, place, batch_tokens, batch_cells, decodes
            ):
                observer.check()
                if decodes:
                    part = _decode(backbone, encoded, table, output)
                else:
                    part = backbone.pool(encoded, table, OFFICIAL_POOLS[pool])
                result[rows] = part.float().cpu().numpy()
                done += len(rows)
                observer.progress(done, n_cells, pace(done, n_cells, time.monotonic() - started))
    finally:
        backbone.train(was_training)
    return result


def pace(done: int, total: int, elapsed: float, before: int = 0) -> str:
    """Say how fast cells are embedded and how long the rest takes; `before` of them were done already."""
    rate = (done - before) / max(elapsed, 1e-9)
    left = (total - done) / rate if rate else 0.0
    return f"{done:,} of {total:,} cells, {rate:,.1f} cells/s, {duration(left)} left"


def _shape(backbone: Backbone, output: str, pool: str) -> tuple[int, ...]:
    config = backbone.config
    if output == "gene":
        return config.n_genes, config.decoder_width
    if output == "gene_expression":
        return (config.n_genes,)
    return (config.width * len(OFFICIAL_POOLS[pool]),)


def _encode(
    backbone: Backbone,
    prepared: Prepared,
    device: torch.device,
    batch_tokens: int,
    batch_cells: int,
    decodes: bool,
) -> Iterator[tuple[np.ndarray, Encoded, Tensor]]:
    """Yield row numbers, their tokens and their dense values (B, G + 2)."""
    if decodes:
        rows = np.arange(len(prepared.lengths))  # who shares a call may matter, so the given order stays
        groups: Any = (rows[i : i + batch_cells] for i in range(0, len(rows), batch_cells))
    else:
        groups = batches(prepared.lengths, batch_tokens)
    for group in groups:
        table = prepared.dense(group, device)
        yield group, backbone.encode(table, backbone.shown(table)), table


def _decode(backbone: Backbone, encoded: Encoded, table: Tensor, output: str) -> Tensor:
    nothing = torch.zeros_like(table, dtype=torch.bool)
    if output == "gene":
        states = backbone.decoder_states(encoded, nothing)
    else:
        states = backbone.decode(encoded, nothing)
    return states[:, : backbone.config.n_genes]
