"""scGPT's bins: a cell's values by its own quantiles, ties broken at random.

Written from `scgpt.md` alone. Of a cell's n non-zero values, the edges are the quantiles at 50 equally spaced
levels. A value x with R edges below it and L edges not above it gets a bin drawn evenly from R + 1 ... L, or
L where it lies between two edges. Zeros are bin 0. Counts tie nearly everywhere, so most bins are random.
"""

import torch
from torch import Tensor

from sgm_core.model.masking import content_uniform, pack

_TIES, _CUT = 1, 2  # purposes of random numbers


def bin_values(values: Tensor, n_bins: int, seed: int = 0, draws: Tensor | None = None) -> Tensor:
    """Return the bins of cells' values.

    Parameters
    ----------
    values : (B, G), not negative; counts and their logarithms have the same bins but for rounding
    n_bins : number of bins with that of zero, 51 in the released model
    seed : decides, with the cell, among the bins of tied values
    draws : (B, G) the numbers in [0, 1) that decide instead, read where a value is not zero

    Returns
    -------
    (B, G) whole numbers 0 ... n_bins - 1, in the type of `values`
    """
    low, high, index, real = bin_bounds(values, n_bins)
    if draws is None:
        # by rank, so that counts, their logarithms and other roundings of them draw the same
        u = content_uniform(_ranks(values.gather(1, index), real), index, real, seed, _TIES).double()
    else:
        u = draws.gather(1, index).double()
    bins = torch.where(high - low > 1, (u * (low - high) + high).ceil(), high) * real
    # the padding's index is 0, so it adds zeros there
    return torch.zeros_like(values).scatter_add(1, index, bins.to(values.dtype))


def bin_bounds(values: Tensor, n_bins: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return for every non-zero value how many edges lie below it and how many not above it.

    Returns
    -------
    below, not_above : (B, M) float64
    index, real : (B, M) the positions of the values, padded, and which of them are no padding
    """
    index, real = pack(values > 0)
    x = values.gather(1, index).double().masked_fill(~real, torch.inf)
    ordered, last = x.sort(1).values, (real.sum(1, keepdim=True) - 1).clamp(min=0)
    # as numpy has them, so that the edges are the same to the last bit
    levels = torch.linspace(0, 1, n_bins - 1, dtype=torch.float64, device=x.device)
    place = last * levels
    left = place.floor().long()
    right = torch.minimum(left + 1, last)
    share, a, b = place - left, ordered.gather(1, left), ordered.gather(1, right)
    edges = torch.where(share >= 0.5, b - (b - a) * (1 - share), a + (b - a) * share)
    edges = torch.where(real.any(1, keepdim=True), edges, torch.inf).contiguous()
    below, not_above = (torch.searchsorted(edges, x, right=side).double() for side in (False, True))
    return below, not_above, index, real


def _ranks(x: Tensor, real: Tensor) -> Tensor:
    """Return how many of a cell's values (B, M) are smaller than each."""
    x = x.masked_fill(~real, torch.inf).contiguous()
    return torch.searchsorted(x.sort(1).values, x).float()


def kept_genes(codes: Tensor, most: int, seed: int = 0) -> Tensor:
    """Return which non-zero entries (B, G) a cell keeps: all, or `most` drawn evenly where it has more."""
    index, real = pack(codes > 0)
    if index.shape[1] <= most:
        return codes > 0
    place = content_uniform(codes.gather(1, index), index, real, seed, _CUT).masked_fill(~real, torch.inf)
    kept = place.argsort(1).argsort(1) < most
    return torch.zeros_like(codes).scatter_add(1, index, (kept & real).to(codes.dtype)) > 0
