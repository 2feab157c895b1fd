"""Masking of the most attended genes."""

import math

import torch
from torch import Tensor

from sgm_core.model.masking import share_of_draw
from sgm_core.model.strategies.base import Seen, Strategy

_FIRST = 100.0  # in log arrival time: more than the noise of one position can bridge


class Sma(Strategy):
    """The most attended genes, without a draw: the first g k of a stratum's k by attention, the rest uniform.

    Attention is that of `self-guided`, summed over heads and over random queries, the subset R of the latents
    (Self-guided Masked Autoencoders, Xie et al. 2024, arXiv:2402.14789, section 4: the largest sums are
    masked). g = (1 - cos(pi t)) / 2 over the training's progress t goes from uniform to guided, so that
    attention that has learned nothing yet does not fix the masks; a warm-up makes it smaller still. Genes of
    equal attention come in random order. Temperature has no meaning here.
    """

    uses_latents = True

    @property
    def guided_share(self) -> float:
        """Share g of the hidden positions that attention chooses."""
        return (1 - math.cos(math.pi * self.progress)) / 2 * self.strength

    def log_importance(self, seen: Seen) -> Tensor:
        """Return a number that no noise bridges at the positions that attention chooses, else 0 (B, L)."""
        assert seen.latents is not None
        attention = seen.latents.log_importance(seen.backbone, seen.codes, seen.eligible, seen.subset)
        shuffled = seen.noise.argsort(1)
        guided = torch.zeros_like(seen.values, dtype=torch.bool)
        for allowed, k in seen.strata:
            ordered = attention.float().masked_fill(~allowed, -torch.inf).gather(1, shuffled)
            order = shuffled.gather(1, ordered.argsort(dim=1, descending=True, stable=True))
            count = (k * self.guided_share).round().unsqueeze(1)
            first = torch.arange(order.shape[1], device=k.device) < count
            guided |= torch.zeros_like(guided).scatter(1, order, first)
        return guided * _FIRST

    def log_weights(self, seen: Seen) -> Tensor:
        """Return the importance as it is (B, L)."""
        return self.log_importance(seen)

    def effective_share(self, seen: Seen, log_weights: Tensor, masked: Tensor) -> Tensor:
        """Return the effective share (B,) of one hidden position, guided or not."""
        guided, log_p = log_weights > 0, torch.zeros_like(seen.values)
        for allowed, k in seen.strata:
            chosen = (guided & allowed).sum(1)
            others = (1 - chosen / k.clamp(min=1)) / (allowed.sum(1) - chosen).clamp(min=1)
            p = torch.where(guided, 1 / k.clamp(min=1).unsqueeze(1), others.unsqueeze(1))
            log_p = torch.where(allowed, p.clamp(min=1e-12).log(), log_p)
        return share_of_draw(log_p, seen.values, seen.eligible, self.options["mask_basis"], masked)
