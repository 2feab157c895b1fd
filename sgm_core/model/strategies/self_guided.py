"""Self-guided masking."""

import torch
from torch import Tensor

from sgm_core.model.strategies.base import Errors, Seen, Strategy


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
    return (each * some).sum() / some.sum().clamp(min=1)


class SelfGuided(Strategy):
    """Attended genes first: w_j = the attention that a random subset R of the latents pays to gene j.

    With A[h, r, j] the softmax over genes of latent r's attention in head h, w_j = sum over h and r in R of
    A[h, r, j], and k genes are drawn multinomially without replacement ("Improving Classification of Cell
    Types in Acute Myeloid Leukemia with Self-guided Masking Technique", AI4D3 2025, section 2). What the
    latents attend over, and what trains them, the presets paper, authors and sgm each say in their way.

    With the field ``guide`` at ``error`` the attention summed over all latents also learns the squared errors
    e_j of the hidden positions, within zeros and within non-zeros apart where they are drawn apart: its
    optimum is w_j in proportion to E[e_j] (`share_loss`). A single latent, and so a subset R, may still
    prefer some of these genes to others. This is the project's own.
    """

    uses_latents = True

    def log_importance(self, seen: Seen) -> Tensor:
        """Return the log of the summed attention (B, L)."""
        assert seen.latents is not None
        return seen.latents.log_importance(seen.backbone, seen.values, seen.eligible, seen.subset).float()

    def learn(self, errors: Errors) -> Tensor | None:
        """Return the loss of the attention against the errors, where they guide it."""
        if self.options.get("guide", "summary") != "error":  # a checkpoint from before the field has none
            return None
        assert errors.latents is not None
        attended = errors.latents.log_importance(errors.backbone, errors.values, errors.eligible)
        attended = attended.gather(1, errors.at).float()
        if self.options["mask_basis"] == "all":
            return share_loss(attended, errors.squared, errors.real)
        nonzero = errors.values.gather(1, errors.at) > 0
        of_nonzeros = share_loss(attended, errors.squared, errors.real & nonzero)
        return of_nonzeros + share_loss(attended, errors.squared, errors.real & ~nonzero)
