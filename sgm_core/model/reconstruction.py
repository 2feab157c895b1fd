"""Masked reconstruction: a backbone, a masker, and the summary path between them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sgm_core.model.build import build_backbone
from sgm_core.model.interface import BackboneConfig, CellBackbone, Encoded
from sgm_core.model.latents import Latents
from sgm_core.model.masking import draw_strata, pack, strata_of
from sgm_core.model.strategies import strategy_class
from sgm_core.model.strategies.base import Errors, Seen


class Reconstruction(NamedTuple):
    """One forward pass: `loss` () with the penalty and what the strategy learns by, `error` () the mean
    squared error on masked genes."""

    loss: Tensor
    error: Tensor


class Drawn(NamedTuple):
    """The masks (B, G) of a batch and the effective share (B,) of the probabilities they were drawn from."""

    masked: Tensor
    effective_share: Tensor


class MaskedModel(nn.Module):
    """A backbone with its masker.

    Parameters
    ----------
    backbone : a backbone with its weights, or the shape of one that gets random weights
    masking : fields of `PretrainConfig` that concern masking (masker, mask_ratio, latents, summary, ...)
    eligible : (L,) bool, positions that may be masked: the genes that the dataset measured, never T or S
    """

    eligible: Tensor

    def __init__(
        self, backbone: BackboneConfig | CellBackbone, masking: dict[str, Any], eligible: Tensor
    ) -> None:
        super().__init__()
        self.masking = masking
        self.backbone = backbone if isinstance(backbone, CellBackbone) else build_backbone(backbone)
        backbone_width = self.backbone.config.width
        self.register_buffer("eligible", eligible)
        self.latents: Latents | None = None
        self.to_encoder: nn.Linear | None = None
        self.to_decoder: nn.Linear | None = None
        summary, strategy = masking["summary"], strategy_class(masking["masker"])
        if strategy.uses_latents or summary != "none":
            width = masking["latent_width"]
            self.latents = Latents(
                backbone_width,
                masking["latents"],
                width,
                masking["latent_heads"],
                masking["keys"],
                masking["penalty"],
                masking.get("key_init", "random"),  # a checkpoint from before the field was random
            )
            self.to_encoder = nn.Linear(width, backbone_width) if summary in ("encoder", "both") else None
            self.to_decoder = nn.Linear(width, backbone_width) if summary in ("decoder", "both") else None
        # last, so that the layers that arms share start from the same random numbers
        self.strategy = strategy(masking, self.backbone.config.n_positions, backbone_width)

    @property
    def has_summary(self) -> bool:
        """Whether the latents' output enters the model."""
        return self.to_encoder is not None or self.to_decoder is not None

    @torch.no_grad()
    def draw(self, values: Tensor, noise: Tensor, subset: Tensor) -> Drawn:
        """Draw the masks of a batch.

        Parameters
        ----------
        values : (B, G) normalised values
        noise : (B, G) standard exponential, one row a cell
        subset : (B, R) latents that score each cell, for strategies that use latents
        """
        basis = self.masking["mask_basis"]
        strata = strata_of(values, self.eligible, basis, *self.strategy.ratios(noise))
        seen = Seen(self.backbone, values, noise, self.eligible, subset, self.latents, strata)
        log_weights = self.strategy.log_weights(seen)
        masked = draw_strata(log_weights, noise, values, strata)
        share = self.strategy.effective_share(seen, log_weights, masked)
        return Drawn(masked, share)

    def forward(self, values: Tensor, masked: Tensor, target: Tensor | None = None) -> Reconstruction:
        """Reconstruct the masked genes of a batch; only the loss reads their values.

        Parameters
        ----------
        values : (B, L) what the model sees
        masked : (B, L) bool; those that are not eligible are hidden, too, and not scored
        target : (B, L) what is to be predicted where `masked`, by default `values`; another where the input
            was down-sampled
        """
        target = values if target is None else target
        added_encoder, added_decoder, penalty = self._summarise(values, masked)
        encoded = self.backbone.encode(values, self.backbone.shown(values) & ~masked, added_encoder)
        at, real = pack(masked & self.eligible)
        predicted = self.backbone.decode(encoded, masked, at, added_decoder, self._context(encoded, values))
        off = (predicted - target.gather(1, at)).float()
        unit = self.backbone.error_unit()
        measured = off if unit is None else off / unit[at]
        error = (measured.square() * real).sum() / real.sum().clamp(min=1)
        loss = error + self.masking["penalty_weight"] * penalty
        if torch.is_grad_enabled():
            # in the values' own unit, as the noise of counts is
            facts = (at, real, predicted.detach().float(), off.detach().square())
            cells = self.backbone, values, target, self.eligible
            learned = self.strategy.learn(Errors(*cells, *facts, self.latents))
            loss = loss if learned is None else loss + learned
        return Reconstruction(loss, error)

    def predict(self, values: Tensor, masked: Tensor) -> Tensor:
        """Predict every position (B, G) of cells with `masked` genes hidden."""
        added_encoder, added_decoder, _ = self._summarise(values, masked)
        encoded = self.backbone.encode(values, self.backbone.shown(values) & ~masked, added_encoder)
        return self.backbone.decode(encoded, masked, None, added_decoder, self._context(encoded, values))

    def _context(self, encoded: Encoded, values: Tensor) -> Tensor | None:
        """Return what the decoder knows of the cell's vector: never the genes, hidden ones among them."""
        config = self.backbone.config
        return self.backbone.pool(encoded, values, config.token_pool) if config.cell_context else None

    def encode(
        self, values: Tensor, keep_summary: bool, parts: Sequence[str] | None = None
    ) -> tuple[Encoded, Tensor]:
        """Encode whole cells and pool them: tokens, and vectors (B, P) of `parts` (see `pool`)."""
        encoded = self.backbone.through(self.embed_tokens(values, keep_summary))
        return encoded, self.backbone.pool(encoded, values, parts)

    def embed_tokens(self, values: Tensor, keep_summary: bool, genes_only: bool = False) -> Encoded:
        """Return the tokens of whole cells as they enter the first block.

        Parameters
        ----------
        values : (B, L)
        keep_summary : whether the latents' summary is added to them
        genes_only : leave out the depth tokens T and S
        """
        added = None
        if keep_summary and self.to_encoder is not None:
            assert self.latents is not None
            added = self.to_encoder(self.latents(self.backbone, values, None, self.eligible).vector)
        visible = self.backbone.shown(values)
        if genes_only:
            visible[:, self.backbone.config.n_genes :] = False
        return self.backbone.embed_tokens(values, visible, added)

    def _summarise(self, values: Tensor, masked: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
        if self.latents is None or not self.has_summary:
            return None, None, values.new_zeros(())
        seen = masked if self.masking["summary_sees"] == "masked" else None
        vector, penalty = self.latents(self.backbone, values, seen, self.eligible)
        return (
            self.to_encoder(vector) if self.to_encoder is not None else None,
            self.to_decoder(vector) if self.to_decoder is not None else None,
            penalty,
        )

    def new_parameters(self) -> list[nn.Parameter]:
        """Parameters of the layers that masking adds: latents, adapters, the strategy's own."""
        backbone = {id(p) for p in self.backbone.parameters()}
        return [p for p in self.parameters() if id(p) not in backbone]
