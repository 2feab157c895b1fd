"""The scFoundation architecture at any size: an encoder of the visible genes and a decoder of all of them.

Written from the public description of scFoundation (Hao et al., Nature Methods 2024,
doi:10.1038/s41592-024-02305-7): value embedding by soft bins, a position row per gene, post-norm encoder
over visible non-zero genes, Performer decoder over every gene. Two fields go beyond it and are off at
the official size: `value_scaling`, which lets a token keep how much of its gene there is, and the pool
part `weighted`.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.attention import DecoderBlock, EncoderBlock


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
    dropout : on the encoder blocks' outputs
    value_scaling : multiply a gene's position row by (1 + value)
    cell_context : the decoder also sees the cell's pooled vector, so that reconstruction trains it
    pool : parts of a cell's vector, each D numbers: max, mean, or the mean weighted by value
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
    dropout: float = 0.0
    value_scaling: bool = True
    cell_context: bool = True
    pool: tuple[str, ...] = ("max", "mean", "weighted")

    @property
    def pooled_width(self) -> int:
        """Length of a cell's pooled vector."""
        return self.width * len(self.pool)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return asdict(self)


class ValueEmbedding(nn.Module):
    """Soft bins: ``h = leaky_relu(W1 v + b1); a = softmax(h + W2 h + b2); e = a E``; masked has its own."""

    def __init__(self, bins: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Linear(1, bins)
        self.mix = nn.Linear(bins, bins)
        self.table = nn.Parameter(torch.randn(bins, width))
        self.masked = nn.Parameter(torch.randn(width))

    def forward(self, values: Tensor) -> Tensor:
        """Map normalised values (...) to vectors (..., D)."""
        hidden = F.leaky_relu(self.scale(values.unsqueeze(-1)), 0.1)
        return torch.softmax(hidden + self.mix(hidden), dim=-1) @ self.table


class Encoded(NamedTuple):
    """The encoder's output: `tokens` (B, M, D), the gene `at` each slot and which are `valid` (B, M)."""

    tokens: Tensor
    at: Tensor
    valid: Tensor


def pack(visible: Tensor) -> tuple[Tensor, Tensor]:
    """Left-pack the visible positions of each cell, in gene order.

    Parameters
    ----------
    visible : (B, G) bool

    Returns
    -------
    index : (B, M) position of each slot, G at padding; M is the largest number of visible positions (at
        least 1)
    valid : (B, M) bool; a cell without any visible position keeps one padding slot, so that attention is
        defined
    """
    batch, n_genes = visible.shape
    lengths = visible.sum(1)
    rows, columns = visible.nonzero(as_tuple=True)
    starts = lengths.cumsum(0) - lengths
    slots = torch.arange(len(rows), device=visible.device) - starts[rows]
    index = torch.full((batch, max(1, int(lengths.max()))), n_genes, device=visible.device)
    index[rows, slots] = columns
    valid = index < n_genes
    valid[:, 0] = True
    return index, valid


class Backbone(nn.Module):
    """Encoder and decoder of one cell's genes."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.values = ValueEmbedding(config.bins, config.width)
        self.positions = nn.Embedding(config.n_genes + 1, config.width)
        self.blocks = nn.ModuleList(
            EncoderBlock(config.width, config.heads, config.ff, config.dropout) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.bridge = nn.Linear(config.width, config.decoder_width)
        self.context = nn.Linear(config.pooled_width, config.decoder_width) if config.cell_context else None
        self.decoder = nn.ModuleList(
            DecoderBlock(config.decoder_width, config.decoder_heads, config.decoder_head_dim, config.ff)
            for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(config.decoder_width)
        self.output_norm = nn.LayerNorm(config.decoder_width)
        self.output = nn.Linear(config.decoder_width, 1)

    def embed(self, values: Tensor, index: Tensor) -> Tensor:
        """Return the tokens (B, M, D) of the values (B, M) of the genes `index` (B, M)."""
        rows = self.positions(index)
        if self.config.value_scaling:
            rows = rows * (1 + values).unsqueeze(-1)
        return self.values(values) + rows

    def encode(self, values: Tensor, visible: Tensor, added: Tensor | None = None) -> Encoded:
        """Encode the visible genes.

        Parameters
        ----------
        values : (B, G) ln(1 + 10,000 count / total); only visible entries are read
        visible : (B, G) bool
        added : (B, D) a vector added to every token of its cell (the masker's summary)
        """
        index, valid = pack(visible)
        gathered = values.gather(1, index.clamp(max=values.shape[1] - 1)) * valid
        tokens = self.embed(gathered, index)
        if added is not None:
            tokens = tokens + added.unsqueeze(1)
        for block in self.blocks:
            tokens = block(tokens, valid)
        return Encoded(self.norm(tokens), index, valid)

    def pool(self, encoded: Encoded, values: Tensor) -> Tensor:
        """Pool the tokens of each cell into one vector (B, len(pool) * D), padding left out."""
        tokens, index, valid = encoded
        parts = {}
        if "max" in self.config.pool:
            parts["max"] = tokens.masked_fill(~valid.unsqueeze(-1), -torch.inf).amax(1)
        if "mean" in self.config.pool:
            parts["mean"] = _average(tokens, valid.to(tokens.dtype))
        if "weighted" in self.config.pool:
            weights = values.gather(1, index.clamp(max=values.shape[1] - 1)) * valid
            parts["weighted"] = _average(tokens, weights)
        return torch.cat([parts[name] for name in self.config.pool], dim=1)

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
        masked : (B, G) bool, positions that enter as the mask vector; all others enter as the value zero
        at : (B, Q) positions to predict, by default every one
        added : (B, D) a vector added to every position of its cell
        pooled : (B, P) the cell's pooled vector, which a backbone with `cell_context` needs

        Returns
        -------
        (B, G) or (B, Q) predictions
        """
        zero = self.values(encoded.tokens.new_zeros(1))
        # the bridge is linear, so what all cells share goes through it once
        genes = self.bridge(self.positions.weight[:-1])
        states = genes + torch.where(
            masked.unsqueeze(-1),
            F.linear(self.values.masked, self.bridge.weight),
            F.linear(zero, self.bridge.weight),
        )
        bridged = F.linear(encoded.tokens, self.bridge.weight) + F.pad(genes, (0, 0, 0, 1))[encoded.at]
        real = encoded.at < masked.shape[1]
        rows = torch.arange(len(states), device=states.device).unsqueeze(1).expand_as(encoded.at)
        states = states.index_put((rows[real], encoded.at[real]), bridged[real].to(states.dtype))
        if added is not None:
            states = states + F.linear(added, self.bridge.weight).unsqueeze(1)
        if self.context is not None and pooled is not None:
            states = states + self.context(pooled).unsqueeze(1)
        for block in self.decoder[:-1]:
            states = block(states)
        states = self.decoder[-1](states, at)
        return self.output(self.output_norm(self.decoder_norm(states))).squeeze(-1)


def _average(tokens: Tensor, weights: Tensor) -> Tensor:
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-6)
    return (weights.unsqueeze(1) @ tokens).squeeze(1)
