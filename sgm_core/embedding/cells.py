"""Cells in, embeddings out: what the released script gives, from Python, a batch of any cells at a time."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

from sgm_core.device import autocast, pick_device
from sgm_core.embedding.input import Cells, check_expressed, normalise, place_cells, read_cells
from sgm_core.embedding.plan import MAX_TOKENS, batches, check_plan, default_batch_tokens
from sgm_core.errors import InputError
from sgm_core.model.backbone import Backbone
from sgm_core.model.inputs import target_depth as check_target
from sgm_core.model.interface import BackboneConfig, CellBackbone, Encoded, embedding_pool
from sgm_core.model.scgpt import PAD_CODE, ScGPT
from sgm_core.model.scgpt_padded import pool_with_padding
from sgm_core.model.sizes import token_lengths
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
    values : (n, G) float32, as the backbone makes codes of them
    further : (n, 1 or 2) float32, the positions after the genes: T and S, or that of the cell itself
    lengths : (n,) tokens of each cell
    """

    cells: Cells
    values: sparse.csr_matrix
    further: np.ndarray
    lengths: np.ndarray

    def dense(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """Return the values of some cells at all positions, (B, L)."""
        table = np.concatenate([self.values[rows].toarray(), self.further[rows]], axis=1)
        return torch.from_numpy(table).to(device)


def prepare(
    cells: Any,
    backbone: CellBackbone,
    output: str = "cell",
    target_depth: str = "t4",
    values: str = "counts",
    genes: Sequence[str] | np.ndarray | None = None,
) -> Prepared:
    """Check cells, place them in the vocabulary, then normalise them; see `embed`."""
    config = backbone.config
    if output not in OUTPUTS:
        raise InputError(f"output is {output!r}: choose {', '.join(OUTPUTS)}")
    if config.cell_token:
        if output != "cell":
            raise InputError(f"output is {output!r}: this backbone embeds cells alone")
        return _with_cell_token(read_cells(cells, values, genes), backbone, values)
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


def _with_cell_token(read: Cells, backbone: CellBackbone, values: str) -> Prepared:
    """Return cells for scGPT, which bins values as they are, or for scBERT, which normalises them."""
    config = backbone.config
    placed = place_cells(read, backbone.genes, config.n_genes, False, values)
    expressed = np.diff(placed.matrix.indptr)
    check_expressed(expressed, placed.call)
    own = (
        placed.matrix.astype(np.float32)
        if config.kind == "scgpt"
        else normalise(placed, values, "t4", False)[0]
    )
    code = PAD_CODE if config.kind == "scgpt" else 0.0  # scGPT's script gives <cls> the code of padding
    further = np.full((own.shape[0], 1), code, np.float32)
    return Prepared(placed, own, further, token_lengths(config.to_dict(), expressed))


def embed(
    cells: Any,
    backbone: CellBackbone,
    *,
    output: str = "cell",
    pool: str | None = None,
    target_depth: str = "t4",
    values: str = "counts",
    genes: Sequence[str] | np.ndarray | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_tokens: int | None = None,
    batch_cells: int | None = None,
    max_tokens: int = MAX_TOKENS,
    seed: int = 0,
    observer: Observer | None = None,
) -> np.ndarray:
    """Embed cells with an imported backbone.

    Genes are matched by exact symbol first: unknown ones are dropped, missing ones are zero, counts of
    columns with one symbol are summed. Then the cells are normalised over the genes that were kept, or
    binned by scGPT, whose vectors have length 1.

    Parameters
    ----------
    cells : (n, m) a Dataset, an AnnData (its X), a DataFrame (columns are symbols), an array or a sparse
        matrix
    backbone : from `sgm_core.load_backbone`; the weight set ``cell`` (or ``rde``) is meant for cells,
        ``gene`` for genes. It is moved to `device`. With ``compat="official"`` columns are matched only when
        there are fewer than scFoundation has genes, scGPT's pools but ``cls`` take the padding along, and
        scBERT's cells of a call influence each other, as in the released code
    output : ``cell``; ``bulk`` when each row is a bulk sample; ``gene``, every gene's vector in every cell;
        ``gene_expression``, every gene's predicted value; of scGPT and scBERT ``cell`` alone
    pool : how a cell's tokens become one vector. scFoundation: ``all`` (S, T, maximum and mean over its
        genes) or ``max`` over all tokens; scGPT: ``cls``, its own token, ``mean``, or ``weighted`` by bin;
        scBERT: ``mean``, ``gene-mean``, or ``cls``, the last position. The first is the default
    target_depth : scFoundation's read depth T that is aimed at: ``t4`` is 10^4 counts, ``f2`` twice the
        cell's own, ``a1`` log10 of its own + 1; not used by ``bulk``
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
    max_tokens : most tokens of one cell, which are its expressed genes, T and S; of scFoundation alone
    seed : decides among scGPT's bins of tied values, and which genes are read of a cell over its length limit
    observer : is told about the progress

    Returns
    -------
    float32, in the order of the cells: (n, P) for ``cell`` and ``bulk`` (of scFoundation's ``all`` 4 D),
    (n, G, Dd) for ``gene``, (n, G) for ``gene_expression``

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
    config = backbone.config
    pool, parts = embedding_pool(config.kind, pool)
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
    decodes, official = output.startswith("gene"), config.compat == "official"
    if batch_cells is None:
        batch_cells = _GPU_DECODED if place.type == "cuda" and not official else 1
    batch_tokens = batch_tokens or default_batch_tokens(place)
    n_cells, shape = len(prepared.lengths), _shape(config, output, parts)
    # who shares a call matters there, so the given order stays
    together = batch_cells if decodes or (official and config.cell_token) else 0
    check_plan(
        config, prepared.lengths, prepared.cells.call, place, batch_tokens, max_tokens,
        4 * n_cells * math.prod(shape), min(batch_cells, n_cells) if decodes else 0,
    )  # fmt: skip
    result = np.empty((n_cells, *shape), np.float32)
    was_training = backbone.training
    # outside of inference mode, or its parameters could not be trained afterwards
    backbone.to(place).eval()
    if isinstance(backbone, ScGPT):
        backbone.seed = seed
    try:
        with torch.inference_mode(), autocast(place, precision):
            done = 0
            started = time.monotonic()
            for rows in _groups(prepared.lengths, batch_tokens, together):
                observer.check()
                table = prepared.dense(rows, place)
                codes = backbone.codes(table)
                visible = backbone.shown(codes)
                if isinstance(backbone, ScGPT) and official and pool != "cls":
                    part = pool_with_padding(backbone, codes, visible, None, pool)
                else:
                    encoded = backbone.encode(codes, visible)
                    if decodes:
                        assert isinstance(backbone, Backbone)
                        part = _decode(backbone, encoded, table, output)
                    else:
                        part = backbone.pool(encoded, table, parts)
                if config.kind == "scgpt":
                    part = F.normalize(part.float())
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


def _shape(config: BackboneConfig, output: str, parts: Sequence[str]) -> tuple[int, ...]:
    if output == "gene":
        return config.n_genes, config.decoder_width
    if output == "gene_expression":
        return (config.n_genes,)
    return (config.width_of(parts),)


def _groups(lengths: np.ndarray, batch_tokens: int, together: int) -> Iterator[np.ndarray]:
    """Yield row numbers: of cells of similar length, or in the given order, so many `together` (0 = any)."""
    if not together:
        return batches(lengths, batch_tokens)
    rows = np.arange(len(lengths))
    return (rows[i : i + together] for i in range(0, len(rows), together))


def _decode(backbone: Backbone, encoded: Encoded, table: Tensor, output: str) -> Tensor:
    nothing = torch.zeros_like(table, dtype=torch.bool)
    if output == "gene":
        states = backbone.decoder_states(encoded, nothing)
    else:
        states = backbone.decode(encoded, nothing)
    return states[:, : backbone.config.n_genes]
