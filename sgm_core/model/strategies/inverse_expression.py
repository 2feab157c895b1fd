"""Masking in inverse proportion to expression."""

from torch import Tensor

from sgm_core.model.strategies.base import Seen, Strategy
from sgm_core.model.strategies.expression import FLOOR


class InverseExpression(Strategy):
    """Weakly expressed genes first: w_j = 1 / (x_j + 0.05), with x_j the normalised value.

    The counterpart of `expression`: under the basis ``strata`` it hides as many genes, but fewer of the
    cell's counts. Under ``all`` it hides zeros before anything else. Source: this project's own trials.
    """

    def log_importance(self, seen: Seen) -> Tensor:
        """Return -ln(x + 0.05) (B, L)."""
        return -(seen.values + FLOOR).log()
