"""Masking where the reconstruction is expected to fail."""

from typing import Any

from torch import Tensor

from sgm_core.model.parts import whole
from sgm_core.model.position_scores import PositionScores
from sgm_core.model.strategies.base import Errors, Seen, Strategy


def mean_loss(scores: Tensor, target: Tensor, real: Tensor) -> Tensor:
    """Return the loss () whose minimum is exp(score) = the mean of a target that is not negative.

    The Poisson quasi-likelihood exp(s) - t s, averaged over the positions (B, M) that are `real`.
    """
    return ((scores.exp() - target * scores) * real).sum() / whole(real.sum()).clamp(min=1)


class ErrorGuided(Strategy):
    """Positions of large expected error first: w_j = the predicted squared error of position j.

    log w_j = s_j, a score of the gene, of whether it is zero and of the cell (`PositionScores`), which learns
    the squared errors e_j of the hidden positions with the loss exp(s_j) - e_j s_j. The errors are detached:
    the reconstruction is trained as in every other strategy, only its gradient norm is clipped together with
    the score's. Source: this project's own trials, after importance sampling by loss (Katharopoulos and
    Fleuret 2018, arXiv:1803.00942).
    """

    def __init__(self, options: dict[str, Any], n_positions: int, backbone_width: int) -> None:
        super().__init__(options, n_positions, backbone_width)
        self.errors = PositionScores(n_positions, backbone_width)

    def log_importance(self, seen: Seen) -> Tensor:
        """Return the log of the predicted squared error (B, L)."""
        return self.errors(seen.backbone, seen.values, seen.eligible)  # type: ignore[no-any-return]

    def learn(self, errors: Errors) -> Tensor:
        """Return the loss of the predicted errors."""
        scores = self.errors(errors.backbone, errors.values, errors.eligible).gather(1, errors.at)
        return mean_loss(scores, errors.squared, errors.real)
