"""How many genes of a cell are hidden, and the exact draw of them from their importance.

What a gene's importance is, a strategy says (`sgm_core.model.strategies`); everything here is common to all.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_LOW = 0xFFFFFFFF


def cell_noise(seed: int, purpose: int, epoch: int, cells: np.ndarray, width: int) -> Tensor:
    """Draw standard exponential noise (B, width), keyed by (seed, purpose, epoch, cell).

    A cell's noise, and so its mask, does not depend on the batch or the process that it is computed in.
    """
    rows = [
        np.random.Generator(
            np.random.Philox(key=np.array([seed, purpose], np.uint64), counter=[0, 0, epoch, int(cell)])
        ).standard_exponential(width, dtype=np.float32)
        for cell in cells
    ]
    return torch.from_numpy(np.stack(rows))


def cell_uniform(noise: Tensor, count: int, purpose: int = 0) -> Tensor:
    """Return further random numbers of each cell, uniform in (0, 1): (B, count).

    They are a hash of the cell's noise (B, L), so that they too depend on the cell alone; in integers, so
    that they are the same on every device. `purpose` keeps uses apart.
    """
    keys = _bits(noise[:, :4])
    state = torch.full_like(keys[:, :1], purpose)
    for column in range(keys.shape[1]):
        state = _mix(state ^ keys[:, column : column + 1])
    return _uniform(state, torch.arange(1, count + 1, device=noise.device))


def content_uniform(values: Tensor, index: Tensor, real: Tensor, seed: int, purpose: int = 0) -> Tensor:
    """Return random numbers (B, M) of a cell's entries, uniform in (0, 1), that hang on the cell alone.

    Equal cells have equal numbers, whatever the batch, the order of the cells or the device.

    Parameters
    ----------
    values : (B, M) the entries
    index, real : (B, M) their positions, and which of them are no padding
    seed, purpose : further numbers that decide
    """
    each = _mix(_bits(values) ^ (index * 0x9E3779B1 & _LOW)) * real
    state = _mix(_mix((each.sum(1, keepdim=True) & _LOW) ^ (seed & _LOW)) ^ purpose)
    return _uniform(state, index + 1)


def _bits(x: Tensor) -> Tensor:
    """Return the bits of numbers, as single precision has them."""
    return x.float().contiguous().view(torch.int32).long() & _LOW


def _uniform(state: Tensor, index: Tensor) -> Tensor:
    mixed = _mix(_mix((state + index * 0x9E3779B1) & _LOW) ^ state)
    return ((mixed >> 8).float() + 0.5) / 2**24


def _mix(x: Tensor) -> Tensor:
    """Mix the bits of 32-bit numbers; constants of Wellons 2018 (github.com/skeeto/hash-prospector)."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _LOW
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _LOW
    return x ^ (x >> 16)


class Stratum(NamedTuple):
    """Positions that compete, `allowed` (B, G) bool, and how many of them are hidden, `k` (B,)."""

    allowed: Tensor
    k: Tensor


def mask_sizes(
    nonzero: Tensor,
    eligible: Tensor,
    basis: str,
    ratio: float | Tensor,
    zero_ratio: float | Tensor,
    up: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return how many positions to hide in each cell: (B,) of the first stratum and (B,) of the zeros.

    Under the basis ``all`` the first stratum is every eligible position and the second is empty; under
    ``strata`` they are the non-zero and the zero positions. Of the first stratum at least one position is
    hidden where it has two, and at least one stays visible, so that a cell is never hidden whole and a single
    non-zero gene is not hidden under ``strata``. The ratios are shares in 0..1, or one a cell (B,). With `up`
    the first number is rounded up and a cell may be hidden whole, which scBERT's code does.
    """
    first = nonzero & eligible if basis == "strata" else eligible.expand_as(nonzero)
    available = first.sum(1)
    if up:
        k = (available * ratio).ceil().long()
    else:
        k = (available * ratio).round().long()
        k = torch.where(available >= 2, k.clamp(min=1), k)
        k = torch.minimum(k, (available - 1).clamp(min=0))
    zeros = (~nonzero & eligible).sum(1)
    k_zero = (zeros * zero_ratio).round().long() if basis == "strata" else torch.zeros_like(zeros)
    return k, k_zero


def strata_of(
    values: Tensor,
    eligible: Tensor,
    basis: str,
    ratio: float | Tensor,
    zero_ratio: float | Tensor,
    up: bool = False,
) -> list[Stratum]:
    """Return what competes in each cell of a batch (B, G) under a basis; see `mask_sizes`."""
    nonzero = values > 0
    k, k_zero = mask_sizes(nonzero, eligible, basis, ratio, zero_ratio, up)
    if basis == "all":
        return [Stratum(eligible.expand_as(nonzero), k)]
    return [Stratum(nonzero & eligible, k), Stratum(~nonzero & eligible, k_zero)]


def arrivals(log_importance: Tensor, noise: Tensor) -> Tensor:
    """Return the log arrival times (B, G) of a race in which a position's rate is its importance."""
    return noise.clamp(min=1e-30).log() - log_importance


def draw_without_replacement(log_importance: Tensor, noise: Tensor, allowed: Tensor, k: Tensor) -> Tensor:
    """Draw k positions of each row without replacement, in proportion to importance.

    The k first arrivals of an exponential race with rates w are a sequential multinomial draw without
    replacement from w (Efraimidis and Spirakis 2006, doi:10.1016/j.ipl.2005.11.003).

    Parameters
    ----------
    log_importance : (B, G) log of the importance w
    noise : (B, G) standard exponential
    allowed : (B, G) bool
    k : (B,) positions to draw; never more than are allowed

    Returns
    -------
    (B, G) bool
    """
    arrival = arrivals(log_importance, noise).masked_fill(~allowed, torch.inf)
    k = torch.minimum(k, allowed.sum(1))
    most = int(k.max())
    drawn = torch.zeros_like(allowed)
    if most == 0:
        return drawn
    order = arrival.topk(most, dim=1, largest=False).indices
    return drawn.scatter(1, order, torch.arange(most, device=k.device) < k.unsqueeze(1))


def draw_strata(log_importance: Tensor, noise: Tensor, values: Tensor, strata: list[Stratum]) -> Tensor:
    """Draw the masks (B, G) of a batch from its strata.

    A cell whose draw over all positions would hide every non-zero gene keeps the one of them that came last.
    """
    allowed, k = strata[0]
    masked = draw_without_replacement(log_importance, noise, allowed, k)
    if len(strata) > 1:
        for zeros, k_zero in strata[1:]:
            masked |= draw_without_replacement(log_importance, noise, zeros, k_zero)
        return masked
    nonzero = (values > 0) & allowed
    blank = (nonzero.any(1) & ~(nonzero & ~masked).any(1)).nonzero()[:, 0]
    if not len(blank):
        return masked
    log_importance, noise = log_importance[blank], noise[blank]
    last = arrivals(log_importance, noise).masked_fill(~nonzero[blank], -torch.inf).argmax(1, keepdim=True)
    others = allowed[blank].scatter(1, last, False)
    masked[blank] = draw_without_replacement(log_importance, noise, others, k[blank])
    return masked


def draw_masks(
    log_importance: Tensor,
    noise: Tensor,
    values: Tensor,
    eligible: Tensor,
    basis: str,
    ratio: float,
    zero_ratio: float,
) -> Tensor:
    """Draw the masks (B, G) of a batch under a basis (see `mask_sizes`)."""
    return draw_strata(log_importance, noise, values, strata_of(values, eligible, basis, ratio, zero_ratio))


def effective_share(log_importance: Tensor, allowed: Tensor) -> Tensor:
    """Return exp(entropy of the draw) / number of allowed genes for each cell (B,); 1 = uniform."""
    log_p = log_importance.masked_fill(~allowed, -torch.inf).log_softmax(1)
    entropy = -(log_p.exp() * log_p.masked_fill(~allowed, 0)).sum(1)
    return torch.where(allowed.any(1), entropy.exp() / allowed.sum(1), 1.0)


def share_of_draw(
    log_importance: Tensor, values: Tensor, eligible: Tensor, basis: str, masked: Tensor
) -> Tensor:
    """Return the effective share (B,) of a draw of masks (B, G).

    Under the basis ``strata`` a gene competes within its stratum alone, so the shares of zeros and
    non-zeros are averaged by the number of genes drawn from each.
    """
    if basis == "all":
        return effective_share(log_importance, eligible.expand_as(masked))
    total = torch.zeros_like(log_importance[:, 0])
    for stratum in ((values > 0) & eligible, (values <= 0) & eligible):
        total += effective_share(log_importance, stratum) * (masked & stratum).sum(1)
    return total / masked.sum(1).clamp(min=1)


def pack(visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return the visible positions of each cell in order (B, M), padded with 0, and which are real (B, M)."""
    counts = visible.sum(1)
    most = max(1, int(counts.max()))
    # a stable descending sort of booleans keeps the order of the positions
    index = visible.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices[:, :most]
    return index, torch.arange(most, device=visible.device) < counts.unsqueeze(1)
