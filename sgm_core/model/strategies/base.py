"""What every masking strategy is: an importance of each gene, from which the common draw hides k of them."""

from typing import Any, NamedTuple

from torch import Tensor, nn

from sgm_core.model.interface import CellBackbone
from sgm_core.model.latents import Latents
from sgm_core.model.masking import Stratum, cell_uniform, share_of_draw
from sgm_core.model.sizes import GENERATED


class Seen(NamedTuple):
    """What a strategy may look at: the whole cells, for it chooses masks and predicts nothing.

    Parameters
    ----------
    backbone : its gene rows are `CellBackbone.gene_rows`
    values : (B, L) normalised values
    codes : (B, L) what the backbone reads of them
    noise : (B, L) standard exponential, the cell's own
    eligible : (L,) bool
    subset : (B, R) latents that score each cell
    latents : the model's, where it has any
    strata : what competes with each other, and how many are hidden
    """

    backbone: CellBackbone
    values: Tensor
    codes: Tensor
    noise: Tensor
    eligible: Tensor
    subset: Tensor
    latents: Latents | None
    strata: list[Stratum]


class Errors(NamedTuple):
    """How a batch was reconstructed, for strategies that learn from it; nothing here has a gradient.

    Parameters
    ----------
    backbone : its gene rows are `CellBackbone.gene_rows`
    values, target : (B, L) what was seen, and what was to be predicted
    eligible : (L,) bool
    at, real : (B, M) the hidden positions, padded, and which of them are none of the padding
    predicted, squared : (B, M) the predicted codes, and their errors: squared, or the backbone's own
    latents : the model's, where it has any; with their gradient
    """

    backbone: CellBackbone
    values: Tensor
    target: Tensor
    eligible: Tensor
    at: Tensor
    real: Tensor
    predicted: Tensor
    squared: Tensor
    latents: Latents | None = None


class Strategy(nn.Module):
    """A masking strategy. A subclass says `log_importance`; the draw, its budget and its noise are common.

    Masks are drawn without replacement in proportion to ``importance ** (1 / temperature)`` within each
    stratum of the basis, with the cell's own noise: exact, the same for the same seed, and in every strategy
    the same number of hidden non-zero and of hidden zero genes in a cell under the basis ``strata``. A
    warm-up raises the importance to the power `strength`, which goes from 0 (uniform) to 1.

    Parameters
    ----------
    options : fields of `PretrainConfig` that concern masking
    n_positions : positions L of a cell
    backbone_width : width of the backbone's gene rows
    """

    progress = 1.0
    """How much of the training is done, 0..1: set by the training before each batch."""
    genes: tuple[str, ...] = ()
    """Symbols of the model's genes, where they are known."""
    uses_latents = False
    """Whether the model needs its latents for this strategy, whatever its summary path."""

    def __init__(self, options: dict[str, Any], n_positions: int, backbone_width: int) -> None:
        super().__init__()
        self.options = options
        self.temperature = max(float(options["temperature"]), 1e-6)
        self.warmup = float(options.get("mask_warmup", 0.0))  # a checkpoint from before the field has none

    @property
    def strength(self) -> float:
        """How far the masks have left uniform ones: the training's progress over its warm-up, 0..1."""
        return min(1.0, self.progress / self.warmup) if self.warmup else 1.0

    def ratios(self, noise: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """Return the shares that are hidden: of the first stratum and of the zeros, each one or (B,)."""
        if self.options.get("objective") == "generative":
            drawn = (cell_uniform(noise, 1, purpose=2)[:, 0] * len(GENERATED)).long()
            return noise.new_tensor(GENERATED)[drawn.clamp(max=len(GENERATED) - 1)], 0.0
        return self.options["mask_ratio"], self.options["zero_ratio"]

    def log_importance(self, seen: Seen) -> Tensor:
        """Return the log (B, L) of what positions are drawn by, finite: higher is hidden sooner."""
        raise NotImplementedError

    def log_weights(self, seen: Seen) -> Tensor:
        """Return the log (B, L) of the rates of the draw: the importance by temperature and warm-up."""
        log_weights = self.log_importance(seen)
        if self.temperature != 1:
            log_weights = log_weights / self.temperature
        return log_weights if self.strength == 1 else log_weights * self.strength

    def effective_share(self, seen: Seen, log_weights: Tensor, masked: Tensor) -> Tensor:
        """Return the effective share (B,) of the draw of `masked` (B, L); 1 = uniform."""
        return share_of_draw(log_weights, seen.values, seen.eligible, self.options["mask_basis"], masked)

    def learn(self, errors: Errors) -> Tensor | None:
        """Return the loss () of the strategy's own parameters, which is added to the model's; None = none."""
        return None
