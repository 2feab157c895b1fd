"""The scFoundation architecture at any size: an encoder of the visible genes and a decoder of all of them.

Written from the public description of scFoundation (Hao et al., Nature Methods 2024,
doi:10.1038/s41592-024-02305-7): value embedding by soft bins, a position row per gene, post-norm encoder
over visible non-zero genes, Performer decoder over every gene. Three fields go beyond it and are off in
the released model: `value_scaling`, which lets a token keep how much of its gene there is,
`cell_context`, and the pool part `weighted`.

The encoder's tokens are packed: all cells' tokens one after the other, (T, D), without padding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sgm_core.errors import InputError
from sgm_core.model.attention import DecoderBlock, EncoderBlock

POOL_PARTS = ("S", "T", "gene-max", "gene-mean", "max", "mean", "weighted")
OFFICIAL_POOLS = {"all": ("S", "T", "gene-max", "gene-mean"), "max": ("max",)}
"""The released code's two cell embeddings; its `max` runs over T and S too."""


@dataclass(frozen=True)
class BackboneConfig:
    """Shape of a backbone.

    Parameters
    ----------
    n_genes : number of genes G, the positions of a cell
    width, depth, heads : encoder width D, blocks, heads
    ff : width of the feed-forward layers as a multiple of the width
    decoder_width, decoder_depth, decoder_heads, decoder_head_dim : the same of the decoder
    bins : number of soft bins of the value embedding
    bin_alpha : weight of the skip connection inside the value embedding
    dropout, attention_dropout : on the encoder blocks' outputs, and on their attention probabilities
    value_scaling : multiply a gene's position row by (1 + value)
    cell_context : the decoder also sees the cell's pooled vector, so that reconstruction trains it
    depth_tokens : two positions follow the genes, as in the released model: T, the read depth that is aimed
        at, and S, the read depth of the input, both log10 of a count
    pool : parts of a cell's vector, each D numbers: over all tokens the max, the mean, or the mean weighted
        by value; with depth tokens also S, T, and max or mean over the genes without them
    compat : "corrected", or "official" for what the released code does: keys stabilised across the batch, T
        or S lost when not positive
    """

    n_genes: int
    width: int = 128
    depth: int = 2
    heads: int = 4
    ff: int = 4
    decoder_width: int = 32
    decoder_depth: int = 1
    decoder_heads: int = 4
    decoder_head_dim: int = 8
    bins: int = 32
    bin_alpha: float = 1.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    value_scaling: bool = True
    cell_context: bool = True
    depth_tokens: bool = False
    pool: tuple[str, ...] = ("max", "mean", "weighted")
    compat: str = "corrected"

    def __post_init__(self) -> None:
        if self.compat not in ("corrected", "official"):
            raise InputError(f"compat is {self.compat!r}: choose corrected or official")
        unknown = [part for part in self.pool if part not in POOL_PARTS]
        if unknown or not self.pool:
            raise InputError(f"pool is {self.pool}: its parts are {', '.join(POOL_PARTS)}")
        if set(OFFICIAL_POOLS["all"]) & set(self.pool) and not self.depth_tokens:
            raise InputError(f"the pool {self.pool} needs a backbone with depth tokens")

    @property
    def n_positions(self) -> int:
        """Number of positions L of a cell: its genes, then T and S where the backbone has them."""
        return self.n_genes + 2 * self.depth_tokens

    @property
    def pooled_width(self) -> int:
        """Length of a cell's pooled vector."""
        return self.width * len(self.pool)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Build from what `to_dict` gave and JSON kept."""
        return cls(**{**fields, "pool": tuple(fields["pool"])})


class ValueEmbedding(nn.Module):
    """Soft bins: ``h = leaky_relu(W1 v + b1); a = softmax(alpha h + W2 h + b2); e = a E``.

    A masked gene has a vector of its own, and so has padding (`pad`), which the released model stores and
    nothing but the official classifier's pooling reads.
    """

    def __init__(self, bins: int, width: int, alpha: float = 1.0, padding: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.scale = nn.Linear(1, bins)
        self.mix = nn.Linear(bins, bins)
        self.table = nn.Parameter(torch.randn(bins, width))
        self.masked = nn.Parameter(torch.randn(width))
        self.pad = nn.Parameter(torch.randn(width)) if padding else None

    def bins(self, values: Tensor) -> Tensor:
        """Return the weights (..., K) of the soft bins of normalised values (...)."""
        hidden = F.leaky_relu(self.scale(values.unsqueeze(-1)), 0.1)
        return torch.softmax(self.alpha * hidden + self.mix(hidden), dim=-1)

    def forward(self, values: Tensor) -> Tensor:
        """Map normalised values (...) to vectors (..., D)."""
        return self.bins(values) @ self.table


class Encoded(NamedTuple):
    """Packed tokens of a batch of cells.

    `tokens` (T, D), the `cell` (T,) and the position `at` (T,) of each, in ascending order, and how many
    each cell has, `lengths`.
    """

    tokens: Tensor
    cell: Tensor
    at: Tensor
    lengths: list[int]


class Backbone(nn.Module):
    """Encoder and decoder of one cell's genes.

    Parameters
    ----------
    config : its shape

    Attributes
    ----------
    genes : names of the genes in the order of the positions, where the backbone came with some
    recompute : keep only each block's input while training, and compute the rest again for the gradient
    """

    redraw_calls: Tensor

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.genes: tuple[str, ...] | None = None
        self.recompute = False
        width = config.decoder_width
        self.values = ValueEmbedding(config.bins, config.width, config.bin_alpha, config.depth_tokens)
        self.positions = nn.Embedding(config.n_positions + 1, config.width)
        self.blocks = nn.ModuleList(
            EncoderBlock(config.width, config.heads, config.ff, config.dropout, config.attention_dropout)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.bridge = nn.Linear(config.width, width)
        self.context = nn.Linear(config.pooled_width, width) if config.cell_context else None
        across_cells = config.compat == "official"
        self.decoder = nn.ModuleList(
            DecoderBlock(width, config.decoder_heads, config.decoder_head_dim, config.ff, across_cells)
            for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.output_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 1)
        if config.depth_tokens:
            # the released model counts its training steps, to draw the random features anew every 1,000
            self.register_buffer("redraw_calls", torch.zeros((), dtype=torch.int64))

    def _run(self, block: nn.Module, *inputs: Any) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return block(*inputs)  # type: ignore[no-any-return]

    def shown(self, values: Tensor) -> Tensor:
        """Return which positions (B, L) of `values` (B, L) the encoder sees when nothing is masked."""
        visible = values > 0
        if self.config.depth_tokens and self.config.compat == "corrected":
            visible[:, self.config.n_genes :] = True
        return visible

    def embed(self, values: Tensor, at: Tensor) -> Tensor:
        """Return the tokens (..., D) of the values (...) at the positions `at` (...)."""
        rows = self.positions(at)
        if self.config.value_scaling:
            rows = rows * (1 + values).unsqueeze(-1)
        return self.values(values) + rows

    def embed_tokens(self, values: Tensor, visible: Tensor, added: Tensor | None = None) -> Encoded:
        """Return the tokens that enter the first block (see `encode`)."""
        cell, at = visible.nonzero(as_tuple=True)
        tokens = self.embed(values[cell, at], at)
        if added is not None:
            # not added[cell]: its gradient is summed by racing threads, another one in every run
            tokens = tokens + added.index_select(0, cell)
        return Encoded(tokens, cell, at, visible.sum(1).tolist())

    def through(self, encoded: Encoded, start: int = 0, stop: int | None = None) -> Encoded:
        """Send tokens through the blocks `start` to `stop`; after the last one they are normalised."""
        tokens = encoded.tokens
        stop = len(self.blocks) if stop is None else stop
        for block in self.blocks[start:stop]:
            tokens = self._run(block, tokens, encoded.lengths)
        return encoded._replace(tokens=self.norm(tokens) if stop == len(self.blocks) else tokens)

    def encode(self, values: Tensor, visible: Tensor, added: Tensor | None = None) -> Encoded:
        """Encode the visible positions.

        Parameters
        ----------
        values : (B, L) ln(1 + 10,000 count / total), then T and S where the backbone has them; only visible
            entries are read
        visible : (B, L) bool
        added : (B, D) a vector added to every token of its cell (the masker's summary)
        """
        return self.through(self.embed_tokens(values, visible, added))

    def pool(self, encoded: Encoded, values: Tensor, parts: Sequence[str] | None = None) -> Tensor:
        """Pool the tokens of each cell into one vector.

        Parameters
        ----------
        encoded : the encoder's output
        values : (B, L) what was encoded
        parts : see `BackboneConfig.pool`, which is the default

        Returns
        -------
        (B, len(parts) * D); zeros for a cell without a token
        """
        tokens, cell, at, lengths = encoded
        per_cell = tokens.split(lengths)
        expressed = values[cell, at].to(tokens.dtype).split(lengths)
        # S is a cell's last token, and T the one before
        last = torch.tensor(lengths, device=tokens.device).cumsum(0) - 1
        vectors = []
        for part in self.config.pool if parts is None else parts:
            ours = [one[:-2] for one in per_cell] if part.startswith("gene-") else per_cell
            if part in ("S", "T"):
                vectors.append(tokens.index_select(0, last - int(part == "T")))
            elif part == "weighted":
                pairs = zip(expressed, ours, strict=True)
                vectors.append(torch.stack([w @ one / w.sum().clamp(min=1e-6) for w, one in pairs]))
            else:
                pooled = torch.amax if part.endswith("max") else torch.mean
                empty = tokens.new_zeros(tokens.shape[1])
                vectors.append(torch.stack([pooled(one, 0) if len(one) else empty for one in ours]))
        return torch.cat(vectors, dim=1)

    def decode(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor | None = None,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Predict normalised values.

        Parameters
        ----------
        encoded : the encoder's output; its positions enter the decoder as the encoder left them
        masked : (B, L) bool, positions that enter as the mask vector; all others enter as the value zero
        at : (B, Q) positions to predict, by default every one
        added : (B, D) a vector added to every position of its cell
        pooled : (B, P) the cell's pooled vector, which a backbone with `cell_context` needs

        Returns
        -------
        (B, L) or (B, Q) predictions
        """
        states = self.decoder_states(encoded, masked, at, added, pooled)
        return self.output(states).squeeze(-1)

    def decoder_states(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor | None = None,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Return what `decode` predicts from, (B, L or Q, Dd): the gene embeddings of a cell."""
        zero = self.values(encoded.tokens.new_zeros(1))
        # the bridge is linear, so what all cells share goes through it once
        positions = self.bridge(self.positions.weight[:-1])
        states = positions + torch.where(
            masked.unsqueeze(-1),
            F.linear(self.values.masked, self.bridge.weight),
            F.linear(zero, self.bridge.weight),
        )
        bridged = F.linear(encoded.tokens, self.bridge.weight) + positions.index_select(0, encoded.at)
        states = states.index_put((encoded.cell, encoded.at), bridged.to(states.dtype))
        if added is not None:
            states = states + F.linear(added, self.bridge.weight).unsqueeze(1)
        if self.context is not None and pooled is not None:
            states = states + self.context(pooled).unsqueeze(1)
        for block in self.decoder[:-1]:
            states = self._run(block, states)
        states = self._run(self.decoder[-1], states, at)
        return self.output_norm(self.decoder_norm(states))

    @torch.no_grad()
    def redraw_features(self, generator: torch.Generator | None = None) -> None:
        """Draw the decoder's random features anew, as the released code does every 1,000 training steps."""
        for block in self.decoder:
            block.attention.redraw(generator)  # type: ignore[union-attr,operator]
