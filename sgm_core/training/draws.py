"""The random numbers that masks are drawn with, and what is summed over the masks drawn."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sgm_core.model.masking import cell_noise
from sgm_core.model.reconstruction import Drawn
from sgm_core.training.config import PretrainConfig
from sgm_core.training.data import to_device


def random_numbers(
    config: PretrainConfig,
    purpose: int,
    epoch: int,
    rows: np.ndarray,
    n_positions: int,
    device: torch.device,
    lead: np.ndarray | None = None,
) -> tuple[Tensor, Tensor]:
    """Return each cell's noise (B, L) and subset of latents (B, R), keyed by (purpose, epoch, cell).

    Where a subset is drawn once a batch it is that of the cell `lead` (1,), by default the first of `rows`.
    """
    width, n_subset = n_positions + config.latents, min(config.subset, config.latents)
    noise = cell_noise(config.seed, purpose, epoch, rows, width)
    subset = noise[:, n_positions:].topk(n_subset, dim=1).indices
    if config.subset_per == "batch":
        if lead is not None and lead[0] != rows[0]:
            first = cell_noise(config.seed, purpose, epoch, lead, width)
            subset = first[:, n_positions:].topk(n_subset, dim=1).indices
        subset = subset[:1].expand(len(rows), -1)
    return to_device(noise[:, :n_positions].contiguous(), device), to_device(subset.contiguous(), device)


def mask_sums(x: Tensor, drawn: Drawn) -> Tensor:
    """Return a batch's sums over cells (5,): effective share, masked, masked non-zero, non-zero, and the
    hidden share of the cell's counts.

    Counts are those of the eligible genes, up to the cell's own factor: exp(x) - 1 of its values x (B, L).
    """
    nonzero = (x > 0) & drawn.eligible
    counts = x.expm1() * drawn.eligible
    parts = (
        drawn.effective_share.sum(),
        drawn.masked.sum(),
        (drawn.masked & nonzero).sum(),
        nonzero.sum(),
        ((counts * drawn.masked).sum(1) / counts.sum(1).clamp(min=1e-9)).sum(),
    )
    return torch.stack([part.double() for part in parts])


def mask_shares(sums: Sequence[float], n_cells: int, n_measured: int) -> dict[str, float]:
    """Return the shares of the run table `mask_cells` from the `mask_sums` of all its cells.

    Parameters
    ----------
    sums : the five, as plain numbers
    n_cells : cells that they are of
    n_measured : positions that the dataset has a gene for
    """
    share, masked, nonzero, base, counts = sums
    positions = n_cells * n_measured
    return {
        "effective_share": share / n_cells,
        "masked_share": masked / positions,
        "nonzero_share": nonzero / max(1.0, masked),
        "base_rate": base / positions,
        "hidden_counts": counts / n_cells,
    }
