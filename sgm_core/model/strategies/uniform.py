"""Uniform masking."""

import torch
from torch import Tensor

from sgm_core.model.strategies.base import Seen, Strategy


class Uniform(Strategy):
    """Every position alike: w_j = 1.

    Under the basis ``strata`` with 0.30 and 0.03 it is scFoundation's masking (Hao et al. 2024,
    doi:10.1038/s41592-024-02305-7).
    """

    def log_importance(self, seen: Seen) -> Tensor:
        """Return zeros (B, L)."""
        return torch.zeros_like(seen.values)
