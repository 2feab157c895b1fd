"""Masking in proportion to expression."""

from torch import Tensor

from sgm_core.model.strategies.base import Seen, Strategy

FLOOR = 0.05
"""Weight of a zero, in units of ln(1 + 10,000 count / total)."""


class Expression(Strategy):
    """Expressed genes first: w_j = x_j + 0.05, with x_j the normalised value.

    The null of self-guided masking: where this does as well, the attention adds nothing.
    """

    def log_importance(self, seen: Seen) -> Tensor:
        """Return ln(x + 0.05) (B, L)."""
        return (seen.values + FLOOR).log()
