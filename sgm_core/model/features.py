"""Softmax attention in linear time with positive random features (FAVOR+), a chunk of positions at a time.

Choromanski et al. 2021 (arXiv:2009.14794) as scFoundation uses it: a feature is
``exp(a - |x|^2 / 2 - max) + 1e-4`` with ``a = x P^T``. Because the constant is added after the
exponential, the two maxima do not cancel and take part in the gradient.

The features of 19,266 positions and 8 heads take 164 MB a layer. They are therefore never kept: both
passes work through the positions in chunks that stay in the processor's cache, and the backward pass
computes them again.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

FLOOR = 1e-4
"""What is added to every feature."""
_MOST_CPU, _MOST_GPU, _LEAST = 2**20, 2**26, 32  # features of a chunk; positions


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


def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, projection: Tensor, across_cells: bool = False
) -> Tensor:
    """Attend from `q` to all of `k` and `v`.

    Parameters
    ----------
    q : (B, Q, H, d) queries
    k, v : (B, L, H, d) keys and values
    projection : (m, d) random features
    across_cells : take the keys' maximum over the whole batch, as the official code does, so that a cell's
        result depends on the cells beside it; by default over each cell alone

    Returns
    -------
    (B, Q, H, d)
    """
    with torch.autocast(q.device.type, enabled=False):
        q, k, v = (part if part.dtype == torch.float64 else part.float() for part in (q, k, v))
        scale = q.shape[-1] ** -0.25
        return _LinearAttention.apply(q * scale, k * scale, v, projection.to(q.dtype), across_cells)


def _chunks(x: Tensor, features: int) -> list[slice]:
    """Cut the positions of `x` (B, L, H, d) so that a chunk's features stay in the cache."""
    batch, length, heads, _ = x.shape
    size = max(_LEAST, (_MOST_GPU if x.device.type == "cuda" else _MOST_CPU) // (batch * heads * features))
    return [slice(start, min(length, start + size)) for start in range(0, length, size)]


def _by_head(x: Tensor) -> Tensor:
    """Return (B, n, H, f) as (B, H, n, f), a view."""
    return x.transpose(1, 2)


def _with_one(x: Tensor) -> Tensor:
    """Append a one to every vector: what sums the values then sums the weights too."""
    return torch.cat([x, x.new_ones(*x.shape[:-1], 1)], dim=-1)


def _exponent(x: Tensor, a: Tensor, stabiliser: Tensor) -> Tensor:
    """Return ``exp(a - |x|^2 / 2 - stabiliser)``, in the memory of `a`."""
    return a.sub_(0.5 * x.square().sum(-1, keepdim=True) + stabiliser).exp_()


class _LinearAttention(torch.autograd.Function):
    """Both passes of `linear_attention` on scaled queries and keys.

    With E the exponentials, a feature is E + FLOOR, so a product with features is one with E plus FLOOR
    times a plain sum; the sums of values and of weights are the columns of one `context` (B, H, m, d + 1).
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, projection: Tensor, across_cells: bool
    ) -> Tensor:
        batch, _, heads, width = k.shape
        context = k.new_zeros(batch, heads, len(projection), width + 1)
        everything = k.new_zeros(batch, heads, 1, width + 1)
        tops: list[Tensor] = []  # the largest exponent of each chunk and cell, (B,)
        highest = k.new_full((batch,), -torch.inf)
        for part in _chunks(k, len(projection)):
            a = k[:, part] @ projection.T
            tops.append(a.flatten(1).amax(1))
            before, highest = highest, torch.maximum(highest, tops[-1])
            # what is summed up so far was stabilised by a smaller number
            context *= (before - highest).exp().view(-1, 1, 1, 1)
            exponent = _by_head(_exponent(k[:, part], a, highest.view(-1, 1, 1, 1)))
            values = _by_head(_with_one(v[:, part]))
            context += exponent.transpose(-1, -2) @ values
            everything += values.sum(2, keepdim=True)
        largest = highest.amax().expand_as(highest) if across_cells else highest
        context = context * (highest - largest).exp().view(-1, 1, 1, 1) + FLOOR * everything
        least = FLOOR * context.sum(2, keepdim=True)
        out = torch.empty_like(q)
        for part in _chunks(q, len(projection)):
            a = q[:, part] @ projection.T
            exponent = _by_head(_exponent(q[:, part], a, a.amax(-1, keepdim=True)))
            sums = exponent @ context + least
            out[:, part] = _by_head(sums[..., :-1] / sums[..., -1:])
        ctx.save_for_backward(q, k, v, projection, context, largest, torch.stack(tops), out)
        ctx.across_cells = across_cells
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, projection, context, largest, tops, out = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        grad_context = torch.zeros_like(context)
        everything = torch.zeros_like(context[:, :, :1])
        least = FLOOR * context[..., -1:].sum(2, keepdim=True)
        for part in _chunks(q, len(projection)):
            a = q[:, part] @ projection.T
            stabiliser, at = a.max(-1, keepdim=True)
            exponent = _exponent(q[:, part], a, stabiliser)
            scale = _by_head(exponent) @ context[..., -1:] + least
            above = _by_head(grad[:, part]) / scale
            below = -(above * _by_head(out[:, part])).sum(-1, keepdim=True)
            both = torch.cat([above, below], dim=-1)
            grad_context += _by_head(exponent).transpose(-1, -2) @ both
            everything += both.sum(2, keepdim=True)
            through = exponent.mul_(_by_head(both @ context.transpose(-1, -2)))
            total = through.sum(-1, keepdim=True)
            grad_q[:, part] = through @ projection - total * (projection[at.squeeze(-1)] + q[:, part])
        grad_context += FLOOR * everything
        least = FLOOR * grad_context[..., :-1].sum(2, keepdim=True)
        stabiliser, moved = largest.view(-1, 1, 1, 1), k.new_zeros(len(k))
        for part in _chunks(k, len(projection)):
            exponent = _exponent(k[:, part], k[:, part] @ projection.T, stabiliser)
            grad_v[:, part] = _by_head(_by_head(exponent) @ grad_context[..., :-1] + least)
            through = _by_head(_with_one(v[:, part])) @ grad_context.transpose(-1, -2)
            through = exponent.mul_(_by_head(through))
            total = through.sum(-1, keepdim=True)
            grad_k[:, part] = through @ projection - total * k[:, part]
            moved += total.sum((1, 2, 3))
        # the maximum subtracted from every exponent is itself the exponent of one key
        cells = list(range(len(k)))
        if ctx.across_cells:
            cells, moved = [int(tops.amax(0).argmax())], moved.sum().expand(len(k))
        for cell in cells:
            part = _chunks(k, len(projection))[int(tops[:, cell].argmax())]
            a = k[cell, part] @ projection.T
            position, rest = divmod(int(a.argmax()), a.shape[1] * a.shape[2])
            head, feature = divmod(rest, a.shape[2])
            grad_k[cell, part.start + position, head] -= moved[cell] * projection[feature]
        return grad_q, grad_k, grad_v, None, None
