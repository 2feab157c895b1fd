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

FLOOR = 1e-4
"""What is added to every feature."""
_CHUNK_CPU, _CHUNK_GPU = 512, 8192


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


def _chunks(length: int, device: torch.device) -> list[slice]:
    size = _CHUNK_GPU if device.type == "cuda" else _CHUNK_CPU
    return [slice(start, min(length, start + size)) for start in range(0, length, size)]


def _exponent(x: Tensor, projection: Tensor, stabiliser: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return ``exp(a - |x|^2 / 2 - stabiliser)`` and the stabiliser, by default the maximum over features."""
    a = x @ projection.T
    if stabiliser is None:
        stabiliser = a.amax(-1, keepdim=True)
    a -= 0.5 * x.square().sum(-1, keepdim=True) + stabiliser
    return a.exp_(), stabiliser


def _by_head(x: Tensor) -> Tensor:
    """Return (B, n, H, f) as (B, H, n, f), a view."""
    return x.transpose(1, 2)


class _LinearAttention(torch.autograd.Function):
    """Both passes of `linear_attention` on scaled queries and keys."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, projection: Tensor, across_cells: bool
    ) -> Tensor:
        batch, length, heads, width = k.shape
        context = k.new_zeros(batch, heads, len(projection), width)
        weight = k.new_zeros(batch, heads, len(projection), 1)
        tops: list[Tensor] = []  # the largest exponent of each chunk and cell, (B,)
        for part in _chunks(length, k.device):
            a = k[:, part] @ projection.T
            tops.append(a.flatten(1).amax(1))
            if len(tops) > 1:  # rescale what is summed up so far, as the largest exponent grows
                before = torch.stack(tops[:-1]).amax(0)
                shrink = (before - torch.maximum(before, tops[-1])).exp().view(-1, 1, 1, 1)
                context, weight = context * shrink, weight * shrink
            largest = torch.stack(tops).amax(0).view(-1, 1, 1, 1)
            a -= 0.5 * k[:, part].square().sum(-1, keepdim=True) + largest
            features = _by_head(a.exp_()).transpose(-1, -2)
            context += features @ _by_head(v[:, part])
            weight += features.sum(-1, keepdim=True)
        per_cell = torch.stack(tops).amax(0)
        largest = per_cell.amax().expand_as(per_cell) if across_cells else per_cell
        shrink = (per_cell - largest).exp().view(-1, 1, 1, 1)
        context = context * shrink + FLOOR * v.sum(1).unsqueeze(2)
        weight = weight * shrink + FLOOR * length
        out = torch.empty_like(q)
        for part in _chunks(q.shape[1], q.device):
            features = _by_head(_exponent(q[:, part], projection)[0].add_(FLOOR))
            out[:, part] = _by_head((features @ context) / (features @ weight))
        ctx.save_for_backward(q, k, v, projection, context, weight, largest, torch.stack(tops))
        ctx.across_cells = across_cells
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, projection, context, weight, largest, tops = ctx.saved_tensors
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        grad_context, grad_weight = torch.zeros_like(context), torch.zeros_like(weight)
        for part in _chunks(q.shape[1], q.device):
            a = q[:, part] @ projection.T
            stabiliser, at = a.max(-1, keepdim=True)
            a -= 0.5 * q[:, part].square().sum(-1, keepdim=True) + stabiliser
            exponent = a.exp_()
            features = _by_head(exponent + FLOOR)
            scale = features @ weight
            above = _by_head(grad[:, part]) / scale
            below = -(above * (features @ context)).sum(-1, keepdim=True) / scale
            grad_context += features.transpose(-1, -2) @ above
            grad_weight += features.transpose(-1, -2) @ below
            through = above @ context.transpose(-1, -2) + below * weight.transpose(-1, -2)
            through = exponent.mul_(_by_head(through))
            total = through.sum(-1, keepdim=True)
            grad_q[:, part] = through @ projection - total * (projection[at.squeeze(-1)] + q[:, part])
        stabiliser = largest.view(-1, 1, 1, 1)
        moved = k.new_zeros(len(k))
        for part in _chunks(k.shape[1], k.device):
            exponent, _ = _exponent(k[:, part], projection, stabiliser)
            grad_v[:, part] = _by_head(_by_head(exponent + FLOOR) @ grad_context)
            through = _by_head(v[:, part]) @ grad_context.transpose(-1, -2)
            through = exponent.mul_(_by_head(through + grad_weight.transpose(-1, -2)))
            total = through.sum(-1, keepdim=True)
            grad_k[:, part] = through @ projection - total * k[:, part]
            moved += total.sum((1, 2, 3))
        # the maximum subtracted from every exponent is itself the exponent of one key
        cells = range(len(k))
        if ctx.across_cells:
            cells, moved = [int(tops.amax(0).argmax())], moved.sum().expand(len(k))  # type: ignore[assignment]
        for cell in cells:
            part = _chunks(k.shape[1], k.device)[int(tops[:, cell].argmax())]
            a = k[cell, part] @ projection.T
            position, rest = divmod(int(a.argmax()), a.shape[1] * a.shape[2])
            head, feature = divmod(rest, a.shape[2])
            grad_k[cell, part.start + position, head] -= moved[cell] * projection[feature]
        return grad_q, grad_k, grad_v, None, None
