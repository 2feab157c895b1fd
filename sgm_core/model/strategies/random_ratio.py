"""Uniform masking of a random share."""

from torch import Tensor

from sgm_core.model.masking import cell_uniform
from sgm_core.model.strategies.uniform import Uniform


class RandomRatio(Uniform):
    """Every position alike, but each cell with a ratio of its own.

    With u uniform in (0, 1), one number a cell and draw, and r the configured ratio, the cell's ratio is
    r + (2 u - 1) min(r, 1 - r): uniform around r, as wide as 0..1 allows. The zeros' ratio goes with the same
    u. Budgets are therefore those of the other strategies on average alone, not in each cell (R2MAE,
    arXiv:2509.21650, draws the ratio at random; this range is ours).
    """

    def ratios(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return each cell's ratios (B,), (B,)."""
        away = 2 * cell_uniform(noise, 1)[:, 0] - 1
        means = (self.options["mask_ratio"], self.options["zero_ratio"])
        first, zeros = (mean + away * min(mean, 1 - mean) for mean in means)
        return first, zeros
