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
    """One forward pass: `loss` () with the penalty and what the strategy learns by, `error` () the mean error
    on masked genes, of the backbone's own kind (squared, unless it says otherwise)."""

    loss: Tensor
    error: Tensor


class Drawn(NamedTuple):
    """The masks (B, G) of a batch, the effective share (B,) of the probabilities they were drawn from, and
    what could have been drawn, `eligible` (B, G)."""

    masked: Tensor
    effective_share: Tensor
    eligible: Tensor


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
        if masking.get("objective") == "generative":  # a checkpoint from before the field has none
            self.backbone.generate()
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
        codes = self.backbone.codes(values)
        maskable = self.backbone.maskable(codes)
        eligible = self.eligible.expand_as(values) if maskable is None else self.eligible & maskable
        ratios, up = self.strategy.ratios(noise), self.backbone.rounds_up
        strata = strata_of(values, eligible, basis, *ratios, up)
        seen = Seen(self.backbone, values, codes, noise, self.eligible, subset, self.latents, strata)
        log_weights = self.strategy.log_weights(seen)
        masked = draw_strata(log_weights, noise, values, strata)
        share = self.strategy.effective_share(seen._replace(eligible=eligible), log_weights, masked)
        return Drawn(masked, share, eligible)

    def forward(self, values: Tensor, masked: Tensor, target: Tensor | None = None) -> Reconstruction:
        """Reconstruct the masked genes of a batch; only the loss reads their values.

        Parameters
        ----------
        values : (B, L) what the model sees
        masked : (B, L) bool; those that are not eligible are hidden, too, and not scored
        target : (B, L) what is to be predicted where `masked`, by default `values`; another where the input
            was down-sampled
        """
        codes = self.backbone.codes(values)
        # another target only where cells were down-sampled
        wanted = codes if target is None or target is values else self.backbone.codes(target)
        hidden, scored = self.backbone.as_released(codes, masked & self.eligible)
        masked = hidden | (masked & ~self.eligible)
        encoded, added, penalty = self._encode_masked(codes, masked, hidden)
        at, real = pack(scored)
        context = self._context(encoded, values)
        # only a training step asks: an epoch's validation loss is that of hidden genes in every case
        weight = self.masking.get("whole_cell", 0.0) if torch.is_grad_enabled() else 0.0
        if weight:
            predicted = self.backbone.decode(encoded, masked, None, added, context)
            result = self.backbone.measured(predicted.gather(1, at), at, real, wanted)
        else:
            result = self.backbone.score(encoded, masked, at, real, wanted, added, context)
        loss = result.loss + self.masking["penalty_weight"] * penalty
        if weight:
            every = torch.arange(masked.shape[1], device=masked.device).expand_as(masked)
            seen = self.backbone.measured(predicted, every, ~masked & self.eligible, wanted)
            loss = loss + weight * seen.loss
        if torch.is_grad_enabled():
            target = values if target is None else target
            facts = (at, real & self.eligible[at], result.predicted, result.squared)
            cells = self.backbone, values, target, self.eligible
            learned = self.strategy.learn(Errors(*cells, *facts, self.latents))
            loss = loss if learned is None else loss + learned
        return Reconstruction(loss, result.error)

    def predict(self, values: Tensor, masked: Tensor) -> Tensor:
        """Predict every position's code (B, G) of cells with `masked` genes hidden."""
        encoded, added, _ = self._encode_masked(self.backbone.codes(values), masked)
        return self.backbone.decode(encoded, masked, None, added, self._context(encoded, values))

    def _encode_masked(
        self, codes: Tensor, masked: Tensor, hidden: Tensor | None = None
    ) -> tuple[Encoded, Tensor | None, Tensor]:
        """Return the tokens of cells with `masked` genes out of sight, the decoder's summary and the penalty.

        Of the masked genes those `hidden` have tokens of their own where the encoder knows such, by default
        the eligible ones.
        """
        hidden = masked & self.eligible if hidden is None else hidden
        to_encoder, to_decoder, penalty = self._summarise(codes, masked)
        visible = self.backbone.shown(codes) & ~masked
        return self.backbone.encode(codes, visible, to_encoder, hidden), to_decoder, penalty

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
        codes, added = self.backbone.codes(values), None
        if keep_summary and self.to_encoder is not None:
            assert self.latents is not None
            added = self.to_encoder(self.latents(self.backbone, codes, None, self.eligible).vector)
        visible = self.backbone.shown(codes)
        if genes_only:
            visible[:, self.backbone.config.n_genes :] = False
        return self.backbone.embed_tokens(codes, visible, added)

    def _summarise(self, codes: Tensor, masked: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
        if self.latents is None or not self.has_summary:
            return None, None, codes.new_zeros(())
        seen = masked if self.masking["summary_sees"] == "masked" else None
        vector, penalty = self.latents(self.backbone, codes, seen, self.eligible)
        return (
            self.to_encoder(vector) if self.to_encoder is not None else None,
            self.to_decoder(vector) if self.to_decoder is not None else None,
            penalty,
        )

    def new_parameters(self) -> list[nn.Parameter]:
        """Parameters of the layers that masking adds: latents, adapters, the strategy's own."""
        backbone = {id(p) for p in self.backbone.parameters()}
        return [p for p in self.parameters() if id(p) not in backbone]
