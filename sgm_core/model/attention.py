"""Blocks: softmax attention (encoders of scFoundation and scGPT), random features (its decoder, scBERT)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.features import feature_count, linear_attention, orthogonal_features
from sgm_core.model.parts import Dropout, own_random

_PAD_BELOW = 512
"""Cells with fewer tokens than this share one padded call of the attention; longer ones have one each."""


def attend(qkv: Tensor, lengths: Sequence[int], dropout: float = 0.0) -> Tensor:
    """Let the tokens of each cell attend to the tokens of the same cell.

    Parameters
    ----------
    qkv : (T, 3, H, d) queries, keys and values of the tokens of all cells, one cell after the other
    lengths : number of tokens of each cell, T in all
    dropout : on the attention probabilities, which materialises them

    Returns
    -------
    (T, H, d)
    """
    return torch.cat(attend_in_parts(qkv, lengths, dropout))


def attend_in_parts(qkv: Tensor, lengths: Sequence[int], dropout: float = 0.0) -> list[Tensor]:
    """Return what `attend` does in the parts that it was computed in, one after the other.

    The attention keeps each for its gradient; a layer that reads them as they are keeps nothing more, where
    put together they would be kept a second time.
    """
    lengths = [length for length in lengths if length]
    if len(lengths) > 1 and max(lengths) < _PAD_BELOW:
        steps = torch.arange(max(lengths), device=qkv.device)
        valid = steps < torch.tensor(lengths, device=qkv.device).unsqueeze(1)
        slots = valid.flatten().nonzero().squeeze(1)
        padded = qkv.new_zeros(valid.numel(), *qkv.shape[1:]).index_copy(0, slots, qkv)
        q, k, v = padded.unflatten(0, valid.shape).permute(2, 0, 3, 1, 4)
        mask = valid[:, None, None, :]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return [out.transpose(1, 2).flatten(0, 1).index_select(0, slots)]
    outputs = []
    for cell in qkv.split(lengths):
        q, k, v = cell.permute(1, 2, 0, 3).unsqueeze(1)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        outputs.append(out.squeeze(0).transpose(0, 1))
    return outputs or [qkv[:, 0]]


class Apart(NamedTuple):
    """Which packed tokens nothing but themselves attends to, `apart` (A,), and which are `seen` (S,) by all
    of their cell, places in ascending order; where each token (T,) stands in the seen ones followed by those
    apart, `order`; how many of each a cell has, a seen one at least."""

    apart: Tensor
    seen: Tensor
    order: Tensor
    apart_lengths: list[int]
    seen_lengths: list[int]


def attend_apart(qkv: Tensor, split: Apart, dropout: float = 0.0) -> Tensor:
    """Let the tokens of each cell attend to those that are seen, and those that are apart to themselves too.

    A token's own key is one more key of its cell, whose score comes with the query as one more number of it,
    and whose value is told by the weight it got: so no pair of tokens that are apart is ever computed.

    Parameters
    ----------
    qkv, dropout : see `attend`
    split : the tokens of all cells

    Returns
    -------
    (T, H, d)
    """
    seen, apart = qkv.index_select(0, split.seen), qkv.index_select(0, split.apart)
    q, k, v = apart.unbind(1)
    queries = torch.cat([q, (q * k).sum(-1, keepdim=True)], dim=-1).split(split.apart_lengths)
    own = F.pad(qkv.new_zeros(1, 2, *qkv.shape[2:]), (0, 1), value=1.0)
    contexts = F.pad(seen[:, 1:], (0, 1)).split(split.seen_lengths)
    parts = []
    for query, context in zip(queries, contexts, strict=True):
        keys, values = torch.cat([context, own]).permute(1, 2, 0, 3).unsqueeze(1)
        one = query.transpose(0, 1).unsqueeze(0)
        one = F.scaled_dot_product_attention(one, keys, values, dropout_p=dropout, scale=q.shape[-1] ** -0.5)
        parts.append(one.squeeze(0).transpose(0, 1))
    attended = torch.cat(parts)
    attended = attended[..., :-1] + attended[..., -1:] * v
    of_seen = attend(seen, split.seen_lengths, dropout)
    return torch.cat([of_seen, attended]).index_select(0, split.order)


class EncoderBlock(nn.Module):
    """Post-norm transformer block: ``x = LN(x + MHA(x)); x = LN(x + W2 relu(W1 x))``.

    Parameters
    ----------
    width : token width D
    heads : attention heads; must divide `width`
    ff : width of the feed-forward layer as a multiple of D
    dropout : on the block's outputs
    attention_dropout : on the attention probabilities; anything above 0 doubles the time of a training step
    """

    def __init__(
        self, width: int, heads: int, ff: float = 4, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.ff1 = nn.Linear(width, round(ff * width))
        self.ff2 = nn.Linear(round(ff * width), width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.attention_dropout = attention_dropout

    def forward(self, x: Tensor, lengths: Sequence[int], split: Apart | None = None) -> Tensor:
        """Map the tokens (T, D) of cells of these `lengths` to (T, D); all attend to all, or by `split`."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        dropout = self.attention_dropout if self.training else 0.0
        with own_random(x.device, dropout > 0):
            if split is None:
                parts = attend_in_parts(qkv, lengths, dropout)
            else:
                parts = [attend_apart(qkv, split, dropout)]
        attended = [self.out(part.flatten(1)) for part in parts]
        x = self.norm1(x + self.dropout(attended[0] if len(attended) == 1 else torch.cat(attended)))
        return self.norm2(x + self.dropout(self.ff2(self.dropout(F.relu_(self.ff1(x))))))

    def padded(self, x: Tensor, keys: Tensor, flash: bool = False) -> Tensor:
        """Map padded tokens (B, M, D) to (B, M, D); all attend to those that are `keys` (B, M) alone.

        With `flash`, the others attend to nothing, as flash attention has it.
        """
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.attention_dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=keys[:, None, None], dropout_p=dropout)
        out = out * keys[:, None, :, None] if flash else out
        x = self.norm1(x + self.dropout(self.out(out.transpose(1, 2).flatten(2))))
        return self.norm2(x + self.dropout(self.ff2(self.dropout(F.relu(self.ff1(x))))))


class LinearAttention(nn.Module):
    """Softmax attention approximated with positive random features (see `sgm_core.model.features`).

    The key stabiliser is the maximum over one cell's heads, positions and features. The official code
    takes it over the whole batch (`across_cells`), which makes a prediction depend on the cells beside it;
    with one cell a batch the two are equal.
    """

    projection: Tensor

    def __init__(
        self, width: int, heads: int, head_dim: int, across_cells: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.heads, self.head_dim, self.across_cells = heads, head_dim, across_cells
        self.q = nn.Linear(width, heads * head_dim, bias)
        self.k = nn.Linear(width, heads * head_dim, bias)
        self.v = nn.Linear(width, heads * head_dim, bias)
        self.out = nn.Linear(heads * head_dim, width)
        self.register_buffer("projection", orthogonal_features(feature_count(head_dim), head_dim))

    def redraw(self, generator: torch.Generator | None = None) -> None:
        """Draw the random features anew."""
        features = orthogonal_features(len(self.projection), self.head_dim, generator)
        self.projection.copy_(features)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.head_dim))

    def forward(self, x: Tensor, queries: Tensor | None = None) -> Tensor:
        """Attend from `queries` (B, Q, Dd), by default from `x` itself, to all of `x` (B, L, Dd)."""
        q = self._split(self.q(x if queries is None else queries))
        k, v = self._split(self.k(x)), self._split(self.v(x))
        return self.out(linear_attention(q, k, v, self.projection, self.across_cells).flatten(2))


class DecoderBlock(nn.Module):
    """Pre-norm Performer block: ``x += Attn(LN x); x += W2 gelu(W1 LN x)``."""

    def __init__(
        self,
        width: int,
        heads: int,
        head_dim: int,
        ff: float = 4,
        across_cells: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = LinearAttention(width, heads, head_dim, across_cells, bias)
        self.norm2 = nn.LayerNorm(width)
        self.ff1 = nn.Linear(width, round(ff * width))
        self.ff2 = nn.Linear(round(ff * width), width)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Map (B, L, Dd) to (B, L, Dd), or to (B, Q, Dd) for the positions `at` (B, Q) alone."""
        normed = self.norm1(x)
        if at is None:
            x = x + self.attention(normed)
        else:
            index = at.unsqueeze(-1).expand(-1, -1, x.shape[-1])
            x = x.gather(1, index) + self.attention(normed, normed.gather(1, index))
        return x + self.ff2(F.gelu(self.ff1(self.norm2(x))))
