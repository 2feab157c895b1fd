"""Self-guided masking."""

from typing import Any

import torch
from torch import Tensor, nn

from sgm_core.model.parts import whole
from sgm_core.model.strategies.base import Errors, Seen, Strategy

_STEPS = 10.0
"""A bias is learned in this unit: Adam moves it by ten learning rates a step, so that a few hundred steps
reach the range of the errors."""


def share_loss(log_importance: Tensor, squared: Tensor, chosen: Tensor) -> Tensor:
    """Return the loss () whose minimum is an importance in proportion to the expected squared error.

    For each cell the cross-entropy between the shares of its squared error and of its importance, both over
    the positions (B, M) that are `chosen`; the mean over cells that have an error there. Shares within the
    hidden positions are those of all: it does not matter by what they were drawn.
    """
    error = squared * chosen
    total = error.sum(1)
    log_share = log_importance.masked_fill(~chosen, -torch.inf).log_softmax(1).masked_fill(~chosen, 0)
    each = -(error * log_share).sum(1) / total.clamp(min=1e-12)
    some = total > 0
    return (each * some).sum() / whole(some.sum()).clamp(min=1)


class SelfGuided(Strategy):
    """Attended genes first: w_j = the attention that a random subset R of the latents pays to gene j.

    With A[h, r, j] the softmax over genes of latent r's attention in head h, w_j = sum over h and r in R of
    A[h, r, j], and k genes are drawn multinomially without replacement ("Improving Classification of Cell
    Types in Acute Myeloid Leukemia with Self-guided Masking Technique", AI4D3 2025, section 2). What the
    latents attend over, and what trains them, the presets paper, authors and sgm each say in their way.

    With the field ``guide`` at ``error`` w_j is that attention times exp(b[z, j]), with a bias for every gene
    where it is zero and where it is not (z), and both learn the squared errors e_j of the hidden positions,
    within zeros and within non-zeros apart where they are drawn apart: with the attention summed over all
    latents, the optimum is w_j in proportion to E[e_j] (`share_loss`). A single latent, and so a subset R,
    may still prefer some of these genes to others. Attention alone, which is linear in the genes' rows, can't
    say of each gene how badly it is reconstructed. This is the project's own.
    """

    uses_latents = True

    def __init__(self, options: dict[str, Any], n_positions: int, backbone_width: int) -> None:
        super().__init__(options, n_positions, backbone_width)
        by_error = options.get("guide", "summary") == "error"  # a checkpoint from before the field has none
        self.bias = nn.Parameter(torch.zeros(2, n_positions)) if by_error else None

    def log_importance(self, seen: Seen) -> Tensor:
        """Return the log of the summed attention (B, L), with the genes' bias where there is one."""
        assert seen.latents is not None
        attended = seen.latents.log_importance(seen.backbone, seen.codes, seen.eligible, seen.subset).float()
        return attended if self.bias is None else attended + self._bias_of(seen.values, self.bias)

    @staticmethod
    def _bias_of(values: Tensor, bias: Tensor) -> Tensor:
        return _STEPS * torch.where(values > 0, bias[1], bias[0])

    def learn(self, errors: Errors) -> Tensor | None:
        """Return the loss of the attention against the errors, where they guide it."""
        if self.bias is None:
            return None
        assert errors.latents is not None
        codes = errors.backbone.codes(errors.values)
        attended = errors.latents.log_importance(errors.backbone, codes, errors.eligible).float()
        importance = (attended + self._bias_of(errors.values, self.bias)).gather(1, errors.at)
        if self.options["mask_basis"] == "all":
            return share_loss(importance, errors.squared, errors.real)
        nonzero = errors.values.gather(1, errors.at) > 0
        of_nonzeros = share_loss(importance, errors.squared, errors.real & nonzero)
        return of_nonzeros + share_loss(importance, errors.squared, errors.real & ~nonzero)
