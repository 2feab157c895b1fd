"""What every backbone does, and the shape that it has: what models, heads and maskers build on.

A backbone makes codes of a cell's values, encodes the visible genes into tokens, pools them into one vector,
and predicts the hidden genes. Tokens are packed: those of all cells one after the other, (T, D), no padding.

Values are the same for all, ln(1 + 10,000 count / total): maskers, tables and simple predictors know them.
Codes are what a backbone reads and predicts in their place: the values themselves, or classes of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.errors import InputError
from sgm_core.model.attention import Apart
from sgm_core.model.parts import whole
from sgm_core.model.sizes import CELL_TOKEN, GENES

POOL_PARTS = ("S", "T", "cls", "gene-max", "gene-mean", "max", "mean", "weighted", GENES)
KINDS = ("transformer", "dense", "scgpt", "scbert")
OFFICIAL_POOLS = {"all": ("S", "T", "gene-max", "gene-mean"), "max": ("max",)}
"""The released code's two cell embeddings; its `max` runs over T and S too."""

EMBEDDING_POOLS: dict[str, dict[str, tuple[str, ...]]] = {
    "transformer": OFFICIAL_POOLS,
    "scgpt": {"cls": ("cls",), "mean": ("mean",), "weighted": ("weighted",)},
    "scbert": {"mean": ("mean",), "gene-mean": ("gene-mean",), "cls": ("cls",)},
}
"""Ways to make one vector of a cell's tokens, by the kind of released model; the first is the default. Those
of scBERT are conventions: its own code has none."""


def embedding_pool(kind: str, pool: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the name and the parts of a pool of a released model, by default its first.

    Raises
    ------
    InputError
        If it has none of that name.
    """
    known = EMBEDDING_POOLS[kind]
    name = next(iter(known)) if pool is None else pool
    if name not in known:
        raise InputError(f"pool is {name!r}: choose {', '.join(known)}")
    return name, known[name]


@dataclass(frozen=True)
class BackboneConfig:
    """Shape of a backbone.

    Parameters
    ----------
    n_genes : number of genes G, the positions of a cell
    width, depth, heads : encoder width D, blocks, heads
    ff : width of the feed-forward layers as a multiple of the width, which may have a fraction
    decoder_width, decoder_depth, decoder_heads, decoder_head_dim : the same of the decoder
    bins : number of soft bins of the value embedding; of scGPT's bins and scBERT's classes, zero among them
    bin_alpha : weight of the skip connection inside the value embedding
    dropout, attention_dropout : on the encoder blocks' outputs, and on their attention probabilities
    value_scaling : multiply a gene's position row by (1 + value)
    cell_context : the decoder also sees the cell's pooled vector, so that reconstruction trains it
    depth_tokens : two positions follow the genes, as in the released model: T, the read depth that is aimed
        at, and S, the read depth of the input, both log10 of a count
    pool : parts of a cell's vector, each D numbers: over all tokens the max, the mean, or the mean weighted
        by value; with depth tokens also S, T, and max or mean over the genes without them; with a token of
        the cell also that, ``cls``; ``genes``: the values of the genes themselves, G numbers
    compat : "corrected", or "official" for what the released code does: keys stabilised across the batch, T
        or S lost when not positive, and what `CellBackbone.as_released` says of masks
    kind : "transformer", scFoundation's architecture; "scgpt" or "scbert" (see the files of these names); or
        "dense" (see `sgm_core.model.dense`), whose decoder width is that of its bottleneck and which has no
        heads
    max_length : most tokens of a cell with its own; of a longer one some genes are drawn; None = no limit
    head_dim : width of a head where that is not `width` / `heads`
    flag : whether there is a vector that stands for the value of a gene to generate (scGPT's pretraining)
    """

    n_genes: int
    width: int = 128
    depth: int = 2
    heads: int = 4
    ff: float = 4
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
    kind: str = "transformer"
    max_length: int | None = None
    head_dim: int | None = None
    flag: bool = False

    def __post_init__(self) -> None:
        if self.compat not in ("corrected", "official"):
            raise InputError(f"compat is {self.compat!r}: choose corrected or official")
        if self.kind not in KINDS:
            raise InputError(f"kind is {self.kind!r}: choose {' or '.join(KINDS)}")
        unknown = [part for part in self.pool if part not in POOL_PARTS]
        if unknown or not self.pool:
            raise InputError(f"pool is {self.pool}: its parts are {', '.join(POOL_PARTS)}")
        of_depths = {"S", "T"} if self.cell_token else set(OFFICIAL_POOLS["all"])
        if of_depths & set(self.pool) and not self.depth_tokens:
            raise InputError(f"the pool {self.pool} needs a backbone with depth tokens")
        if "cls" in self.pool and not self.cell_token:
            raise InputError(f"the pool {self.pool} needs a backbone with a token of the cell")

    @property
    def cell_token(self) -> bool:
        """Whether a token of the cell itself follows its genes."""
        return self.kind in CELL_TOKEN

    @property
    def n_positions(self) -> int:
        """Number of positions L of a cell: its genes, then T and S, or the cell's own, where it has them."""
        return self.n_genes + 2 * self.depth_tokens + self.cell_token

    @property
    def token_pool(self) -> tuple[str, ...]:
        """The parts of a cell's vector that the model makes: all but the genes themselves."""
        return tuple(part for part in self.pool if part != GENES)

    @property
    def pooled_width(self) -> int:
        """Length of a cell's pooled vector."""
        return self.width_of(self.pool)

    def width_of(self, parts: Sequence[str]) -> int:
        """Return the length of a cell's vector of these parts."""
        return sum(self.n_genes if part == GENES else self.width for part in parts)

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
    each cell has, `lengths`. Of scGPT also the genes' part (T, D) of what entered the first block; and where
    hidden genes are generated, which tokens see which, `split`, and all that `entered` it (T, D).
    """

    tokens: Tensor
    cell: Tensor
    at: Tensor
    lengths: list[int]
    genes: Tensor | None = None
    split: Apart | None = None
    entered: Tensor | None = None


class Scored(NamedTuple):
    """What a backbone predicts of hidden genes: its `loss` (), the mean `error` () that an epoch reports, and
    of each position (B, M) the code `predicted` and its own error `squared`, both without a gradient."""

    loss: Tensor
    error: Tensor
    predicted: Tensor
    squared: Tensor


def full_precision(x: Tensor) -> Tensor:
    """Return half precision as single."""
    return x if x.dtype == torch.float64 else x.float()


class CellBackbone(nn.Module):
    """Encoder and decoder of one cell's genes, whatever is between them.

    Attributes
    ----------
    config : its shape
    values : the embedding of a value
    positions : a row for each position, and one for padding
    blocks : the encoder's blocks, which finetuning schemes choose from
    genes : names of the genes in the order of the positions, where the backbone came with some
    predicts_values : whether codes are the values themselves, so that predictions can be held against counts
    recompute : keep only each block's input while training, and compute the rest again for the gradient
    redraw_calls : training steps that random features are old, where the backbone has some
    generative : whether hidden genes are generated from the others (see `generate`)
    steps : training steps so far, as the training says
    rounds_up : whether the number of hidden genes is rounded up, as scBERT's code does
    """

    config: BackboneConfig
    values: ValueEmbedding
    positions: nn.Embedding
    blocks: nn.ModuleList
    genes: tuple[str, ...] | None = None
    predicts_values = True
    recompute: bool = False
    redraw_calls: Tensor
    generative: bool = False
    steps: int = 0
    rounds_up: bool = False

    def generate(self) -> None:
        """From now on generate hidden genes: no other token sees them, and they have no mask's value.

        Raises
        ------
        InputError
            If the backbone can't.
        """
        raise InputError("objective is 'generative', which is how scGPT was pretrained: it needs its weights")

    def gene_rows(self) -> Tensor:
        """Return what stands for each position (L, D), detached: what maskers know of a gene."""
        return self.positions.weight[:-1].detach()

    def embeddings(self) -> list[nn.Module]:
        """Return the embeddings that a finetuning of them trains: of values and of positions."""
        return [self.values, self.positions]

    def codes(self, values: Tensor) -> Tensor:
        """Return what the backbone reads and predicts (B, L) of normalised values (B, L)."""
        return values

    def shown(self, codes: Tensor) -> Tensor:
        """Return which positions (B, L) of `codes` (B, L) the encoder sees when nothing is masked."""
        raise NotImplementedError

    def maskable(self, codes: Tensor) -> Tensor | None:
        """Return which positions (B, L) of cells with `codes` (B, L) may be hidden; None = all."""
        return None

    def as_released(self, codes: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is hidden and what is scored, (B, L) each, where `drawn` (B, L) was to be: the same,
        unless the released code does otherwise and `compat` is "official"."""
        return drawn, drawn

    def token_counts(self, lengths: np.ndarray) -> np.ndarray:
        """Return the tokens of cells that have `lengths` visible positions, both (n,)."""
        return lengths

    def packed(self, tokens: Tensor, visible: Tensor) -> Encoded:
        """Return tokens (T, D) that were kept, with what belongs to them, of cells with `visible` (B, L)."""
        cell, at = visible.nonzero(as_tuple=True)
        return Encoded(tokens.float(), cell, at, visible.sum(1).tolist())

    def embed_tokens(
        self, codes: Tensor, visible: Tensor, added: Tensor | None = None, hidden: Tensor | None = None
    ) -> Encoded:
        """Return the tokens that enter the first block (see `encode`)."""
        raise NotImplementedError

    def through(self, encoded: Encoded, start: int = 0, stop: int | None = None) -> Encoded:
        """Send tokens through the blocks `start` to `stop`; after the last one they are normalised."""
        raise NotImplementedError

    def encode(
        self, codes: Tensor, visible: Tensor, added: Tensor | None = None, hidden: Tensor | None = None
    ) -> Encoded:
        """Encode the visible positions.

        Parameters
        ----------
        codes : (B, L) of the genes, then of further positions (T and S, or a cell's own token) where the
            backbone has them; only visible entries are read
        visible : (B, L) bool
        added : (B, D) a vector added to every token of its cell (the masker's summary)
        hidden : (B, L) bool, masked genes, for a backbone whose encoder has tokens of them
        """
        return self.through(self.embed_tokens(codes, visible, added, hidden))

    def pool(self, encoded: Encoded, values: Tensor, parts: Sequence[str] | None = None) -> Tensor:
        """Pool the tokens of each cell into one vector.

        Parameters
        ----------
        encoded : the encoder's output
        values : (B, L) what was encoded
        parts : see `BackboneConfig.pool`, which is the default

        Returns
        -------
        (B, P), see `BackboneConfig.width_of`; zeros for a cell without a token
        """
        vectors = self.pooled_parts(encoded, values)
        made = [
            values[:, : self.config.n_genes].to(encoded.tokens.dtype) if part == GENES else vectors(part)
            for part in (self.config.pool if parts is None else parts)
        ]
        return torch.cat(made, dim=1)

    def pooled_parts(self, encoded: Encoded, values: Tensor) -> Callable[[str], Tensor]:
        """Return what gives a part of the cells' vectors (B, D) by its name."""
        raise NotImplementedError

    def decode(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor | None = None,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Predict codes.

        Parameters
        ----------
        encoded : the encoder's output; its positions enter the decoder as the encoder left them
        masked : (B, L) bool, positions that enter as the mask vector; all others enter as the value zero
        at : (B, Q) positions to predict, by default every one
        added : (B, D) a vector added to every position of its cell
        pooled : (B, P) the token parts of the cell's vector, which a backbone with `cell_context` needs

        Returns
        -------
        (B, L) or (B, Q) predictions
        """
        raise NotImplementedError

    def score(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor,
        real: Tensor,
        target: Tensor,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Scored:
        """Predict hidden genes and measure how far off that is, by the backbone's own loss.

        Parameters
        ----------
        encoded, masked, added, pooled : see `decode`
        at, real : (B, M) the positions that count, padded, and which of them are none of the padding
        target : (B, L) codes, read at these positions alone
        """
        return self.measured(self.decode(encoded, masked, at, added, pooled), at, real, target)

    def measured(self, predicted: Tensor, at: Tensor, real: Tensor, target: Tensor) -> Scored:
        """Measure how far off `predicted` (B, M) is at the positions `at`; see `score`."""
        off = full_precision(predicted - target.gather(1, at))
        unit = self.error_unit()
        in_units = off if unit is None else off / unit[at]
        error = (in_units.square() * real).sum() / whole(real.sum()).clamp(min=1)
        # in the values' own unit, as the noise of counts is
        return Scored(error, error, predicted.detach().float(), off.detach().square().float())

    def error_unit(self) -> Tensor | None:
        """Return what errors are measured in at each position (L,), None = the values' own unit."""
        return None

    @torch.no_grad()
    def redraw_features(self, generator: torch.Generator | None = None) -> None:
        """Draw random features anew, where the backbone has some."""
