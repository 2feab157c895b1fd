"""Adversarial masking."""

import math
from typing import Any

import torch
from torch import Tensor

from sgm_core.model.parts import whole_mean
from sgm_core.model.position_scores import PositionScores
from sgm_core.model.strategies.base import Errors, Seen, Strategy

SPARSITY = 0.1
"""Weight lambda of the sparsity penalty."""


class Adios(Strategy):
    """A mask network that seeks what the model reconstructs worst: w_j = m_j / (1 - m_j).

    m_j = sigmoid(s_j) is the soft mask of a network of the gene, of whether it is zero and of the cell
    (`PositionScores`). It minimises, in each cell,
    - sum over hidden j of m_j e_j / sum over hidden j of m_j + 0.1 / sin(pi * mean over all genes of m_j),
    with e_j the squared error; the model minimises its error as ever (Shi et al. 2022, arXiv:2201.13100,
    section 3: adversarial objective and sparsity penalty).

    Adapted, for the budget of all strategies is exact: there the soft mask itself hides and its gradient goes
    through the encoder; here k positions are drawn by the odds of the mask, and the mask learns from the
    detached errors of the drawn ones. There is one mask a cell and not several.
    """

    def __init__(self, options: dict[str, Any], n_positions: int, backbone_width: int) -> None:
        super().__init__(options, n_positions, backbone_width)
        self.mask = PositionScores(n_positions, backbone_width)

    def log_importance(self, seen: Seen) -> Tensor:
        """Return the log odds of the soft mask (B, L)."""
        return self.mask(seen.backbone, seen.values, seen.eligible)  # type: ignore[no-any-return]

    def learn(self, errors: Errors) -> Tensor:
        """Return the mask network's loss, the mean over cells."""
        soft = self.mask(errors.backbone, errors.values, errors.eligible).sigmoid()
        hidden = soft.gather(1, errors.at) * errors.real
        found = (hidden * errors.squared).sum(1) / hidden.sum(1).clamp(min=1e-6)
        mean = (soft * errors.eligible).sum(1) / errors.eligible.sum()
        penalty = SPARSITY / torch.sin(math.pi * mean).clamp(min=1e-3)
        return whole_mean(penalty - found)
