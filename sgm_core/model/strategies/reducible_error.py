"""Masking where the reconstruction is expected to fail by more than counting noise."""

from typing import Any

import torch
from torch import Tensor

from sgm_core.model.poisson_noise import count_scale, nonzero_noise
from sgm_core.model.position_scores import PositionScores
from sgm_core.model.strategies.base import Errors, Seen, Strategy
from sgm_core.model.strategies.error_guided import mean_loss

LEAST = 0.05
"""Share of its expected error that a position keeps as weight, where all of it is noise."""


class ReducibleError(Strategy):
    """Positions of large reducible error first: w_j = max(e_j - n_j, 0.05 e_j).

    e_j is the predicted squared error, as in `error-guided`; n_j the part of it that Poisson sampling leaves
    to a right prediction, learned in the same way from `nonzero_noise` at the hidden positions. A zero's
    error is all noise at the predicted rate, so zeros keep 0.05 e_j: under the basis ``strata`` they compete
    with each other alone, under ``all`` they are hardly hidden. Source: this project's own; the idea is the
    reducible holdout loss of Mindermann et al. 2022 (arXiv:2206.07137), here with the noise known.
    """

    def __init__(self, options: dict[str, Any], n_positions: int, backbone_width: int) -> None:
        super().__init__(options, n_positions, backbone_width)
        self.errors = PositionScores(n_positions, backbone_width)
        self.noise = PositionScores(n_positions, backbone_width)

    def log_importance(self, seen: Seen) -> Tensor:
        """Return the log of the predicted reducible error (B, L)."""
        cells = seen.backbone, seen.values, seen.eligible
        errors, noise = self.errors(*cells).exp(), self.noise(*cells).exp()
        return torch.maximum(errors - noise, LEAST * errors).clamp(min=1e-12).log()

    def learn(self, errors: Errors) -> Tensor:
        """Return the losses of the predicted errors and of the predicted noise."""
        ratio, zero_ratio = self.options["mask_ratio"], self.options["zero_ratio"]
        zero_ratio = zero_ratio if self.options["mask_basis"] == "strata" else ratio
        scale = count_scale(errors.target, errors.eligible)
        noise = nonzero_noise(errors.predicted, scale, ratio, zero_ratio)
        noise = torch.where(errors.target.gather(1, errors.at) > 0, noise, errors.squared)
        cells = errors.backbone, errors.values, errors.eligible
        return sum(  # type: ignore[return-value]
            mean_loss(scores(*cells).gather(1, errors.at), target, errors.real)
            for scores, target in ((self.errors, errors.squared), (self.noise, noise))
        )
