"""The two attentions of scFoundation: softmax in the encoder, random features in the decoder."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EncoderBlock(nn.Module):
    """Post-norm transformer block: ``x = LN(x + MHA(x)); x = LN(x + W2 relu(W1 x))``.

    Parameters
    ----------
    width : token width D
    heads : attention heads; must divide `width`
    ff : width of the feed-forward layer as a multiple of D
    dropout : on the block's outputs (attention probabilities are never materialised, so they have none)
    """

    def __init__(self, width: int, heads: int, ff: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.ff1 = nn.Linear(width, ff * width)
        self.ff2 = nn.Linear(ff * width, width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map tokens (B, M, D) to (B, M, D); no token attends to a slot that is not `valid` (B, M)."""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None, :])
        attended = attended.transpose(1, 2).reshape(batch, length, width)
        x = self.norm1(x + self.dropout(self.out(attended)))
        return self.norm2(x + self.dropout(self.ff2(self.dropout(F.relu(self.ff1(x))))))


def feature_count(head_dim: int) -> int:
    """Return the number m of random features that the official decoder uses for a head of this width."""
    return max(1, int(head_dim * math.log(head_dim)))


def orthogonal_features(count: int, head_dim: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw m block-orthogonal random features (m, d) whose row norms are those of a Gaussian (FAVOR+)."""
    blocks = []
    for _ in range(math.ceil(count / head_dim)):
        q, _ = torch.linalg.qr(torch.randn(head_dim, head_dim, generator=generator))
        blocks.append(q.T)
    norms = torch.randn(count, head_dim, generator=generator).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:count] * norms


class LinearAttention(nn.Module):
    """Softmax attention approximated with positive random features (Performer, FAVOR+; Choromanski 2021).

    The key stabiliser is the maximum over one cell's heads, positions and features. The official code
    takes it over the whole batch, which makes a prediction depend on the cells beside it; with one cell
    a batch the two are equal.
    """

    projection: Tensor

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.q = nn.Linear(width, heads * head_dim)
        self.k = nn.Linear(width, heads * head_dim)
        self.v = nn.Linear(width, heads * head_dim)
        self.out = nn.Linear(heads * head_dim, width)
        self.register_buffer("projection", orthogonal_features(feature_count(head_dim), head_dim))

    def _features(self, x: Tensor, reduce: tuple[int, ...]) -> Tensor:
        """Map (B, H, L, d) to positive features (B, H, L, m), stabilised by the maximum over `reduce`."""
        scaled = x * self.head_dim**-0.25
        projected = scaled @ self.projection.T
        stabiliser = projected.amax(dim=reduce, keepdim=True)
        return torch.exp(projected - 0.5 * scaled.square().sum(-1, keepdim=True) - stabiliser) + 1e-4

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

    def forward(self, x: Tensor, queries: Tensor | None = None) -> Tensor:
        """Attend from `queries` (B, Q, Dd), by default from `x` itself, to all of `x` (B, L, Dd)."""
        q = self._features(self._split(self.q(x if queries is None else queries)), (-1,))
        k = self._features(self._split(self.k(x)), (1, 2, 3))
        v = self._split(self.v(x))
        context = k.transpose(-1, -2) @ v
        scale = q @ k.sum(2).unsqueeze(-1)
        attended = (q @ context) / scale
        return self.out(attended.transpose(1, 2).flatten(2))


class DecoderBlock(nn.Module):
    """Pre-norm Performer block: ``x += Attn(LN x); x += W2 gelu(W1 LN x)``."""

    def __init__(self, width: int, heads: int, head_dim: int, ff: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = LinearAttention(width, heads, head_dim)
        self.norm2 = nn.LayerNorm(width)
        self.ff1 = nn.Linear(width, ff * width)
        self.ff2 = nn.Linear(ff * width, width)

    def forward(self, x: Tensor, at: Tensor | None = None) -> Tensor:
        """Map (B, L, Dd) to (B, L, Dd), or to (B, Q, Dd) for the positions `at` (B, Q) alone."""
        normed = self.norm1(x)
        if at is None:
            x = x + self.attention(normed)
        else:
            index = at.unsqueeze(-1).expand(-1, -1, x.shape[-1])
            x = x.gather(1, index) + self.attention(normed, normed.gather(1, index))
        return x + self.ff2(F.gelu(self.ff1(self.norm2(x))))
