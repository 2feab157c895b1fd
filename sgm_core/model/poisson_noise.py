"""The squared error that Poisson sampling alone leaves of a hidden value that is not zero."""

import math

import torch
from torch import Tensor

_EXACT = 50.0  # expected count up to which moments are summed over counts, beyond by the delta method


def count_scale(values: Tensor, eligible: Tensor) -> Tensor:
    """Return the value, before its logarithm, of a single count in each cell (B,).

    The smallest non-zero value of a cell is taken for one count: exact where any gene has a single one.
    """
    nonzero = (values > 0) & eligible
    least = values.masked_fill(~nonzero, torch.inf).amin(1)
    return torch.where(nonzero.any(1), least, 1.0).expm1()


def nonzero_noise(predicted: Tensor, scale: Tensor, ratio: float, zero_ratio: float) -> Tensor:
    """Return the expected squared error (B, M) of a right prediction of hidden values that are not zero.

    A hidden value y = ln(1 + scale * count), count Poisson with mean r, of which masks hide the share `ratio`
    where it is not zero and `zero_ratio` where it is. A prediction stands for the r at which it is the mean
    of the hidden values; what is returned is the mean of (y - predicted)^2 over count > 0 at that r. The
    same as `sgm_core.analysis.noise_floor.sampling_noise`, for a batch.

    Parameters
    ----------
    predicted : (B, M) predictions
    scale : (B,) as of `count_scale`
    ratio, zero_ratio : what the masks hide of non-zeros and of zeros, in 0..1
    """
    device, exact = predicted.device, torch.float64
    counts = torch.arange(121, device=device, dtype=exact)
    few = torch.logspace(-5, math.log10(_EXACT), 96, device=device, dtype=exact)
    many = torch.logspace(math.log10(_EXACT * 1.01), 5, 24, device=device, dtype=exact)
    p = (counts * few.log().unsqueeze(1) - few.unsqueeze(1) - torch.lgamma(counts + 1)).exp()
    scale = scale.to(exact).unsqueeze(1)
    y, beyond = torch.log1p(scale * counts), torch.log1p(scale * many)
    mean = torch.cat([y @ p.T, beyond], 1)
    square = torch.cat([y.square() @ p.T, beyond.square() + (scale / (1 + scale * many)).square() * many], 1)
    detected = -torch.expm1(-torch.cat([few, many]))
    hidden = mean * (ratio / (ratio * detected + zero_ratio * (1 - detected)))
    noise = square / detected - 2 * hidden * mean / detected + hidden.square()
    at = predicted.to(exact).contiguous()
    right = torch.searchsorted(hidden.contiguous(), at).clamp(1, hidden.shape[1] - 1)
    low, high = hidden.gather(1, right - 1), hidden.gather(1, right)
    share = ((at - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return torch.lerp(noise.gather(1, right - 1), noise.gather(1, right), share).float()
