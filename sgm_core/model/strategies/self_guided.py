"""Self-guided masking."""

from torch import Tensor

from sgm_core.model.strategies.base import Seen, Strategy


class SelfGuided(Strategy):
    """Attended genes first: w_j = the attention that a random subset R of the latents pays to gene j.

    With A[h, r, j] the softmax over genes of latent r's attention in head h, w_j = sum over h and r in R of
    A[h, r, j], and k genes are drawn multinomially without replacement ("Improving Classification of Cell
    Types in Acute Myeloid Leukemia with Self-guided Masking Technique", AI4D3 2025, section 2). What the
    latents attend over, and what trains them, the presets paper, authors and sgm each say in their way.
    """

    uses_latents = True

    def log_importance(self, seen: Seen) -> Tensor:
        """Return the log of the summed attention (B, L)."""
        assert seen.latents is not None
        return seen.latents.log_importance(seen.backbone, seen.codes, seen.eligible, seen.subset).float()
