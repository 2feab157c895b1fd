"""The trainable latents: what attends over a cell's genes, scores them, and summarises the cell."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.interface import CellBackbone
from sgm_core.model.masking import pack


class Summary(NamedTuple):
    """What the latents say of a cell: their mean output (B, D_z) and the penalty on them ()."""

    vector: Tensor
    penalty: Tensor


class _Scene(NamedTuple):
    """A batch as the latents see it, in the parts that its tokens share.

    A token is ``kind + scale * gene``: its `genes` row (G, D), `scale` (B, G), and as kind the vector of
    zero or of masked (`common`, (2, D)) or, at the expressed entries `at` / `valid` (B, M), one of
    `expressed` (B, M, D).
    """

    genes: Tensor
    scale: Tensor
    masked: Tensor
    common: Tensor
    expressed: Tensor
    at: Tensor
    valid: Tensor


class Latents(nn.Module):
    """N trainable latents that attend over all genes of a cell, zeros included.

    Keys and values are linear in a token's two parts, so they are projected once per gene and once per
    expressed entry, never once per position: the same numbers at a fraction of the cost on sparse cells.

    Parameters
    ----------
    backbone_width : width D of the backbone's tokens
    count, width, heads : N, D_z and H
    keys : "value+gene" attends over the backbone's own tokens (detached); "value" over the value alone
    penalty : "overlap" of the latents' attention maps, "output-norm" (unsquared L2 norm of the output), or
        "none"
    key_init : "zero" starts with equal attention to all genes, so that a preference comes from learning
        alone; "random" starts with one that chance made
    """

    def __init__(
        self,
        backbone_width: int,
        count: int,
        width: int,
        heads: int,
        keys: str,
        penalty: str,
        key_init: str = "random",
    ) -> None:
        super().__init__()
        self.heads, self.keys, self.penalty = heads, keys, penalty
        self.latents = nn.Parameter(torch.randn(count, width))
        features = 1 if keys == "value" else backbone_width
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(features, width, bias=False)
        self.value = nn.Linear(features, width, bias=False)
        self.out = nn.Linear(width, width)
        if key_init == "zero":
            nn.init.zeros_(self.key.weight)

    def see(self, backbone: CellBackbone, values: Tensor, masked: Tensor | None) -> _Scene:
        """Look at a batch (B, G); where `masked`, the mask vector stands in place of the value."""
        masked = torch.zeros_like(values, dtype=torch.bool) if masked is None else masked
        shown = values.masked_fill(masked, 0)
        index, valid = pack(shown > 0)
        expressed = shown.gather(1, index) * valid
        if self.keys == "value":
            genes, scale = values.new_zeros(values.shape[1], 1), torch.ones_like(values)
            common = values.new_tensor([[0.0], [-1.0]])
            return _Scene(genes, scale, masked, common, expressed.unsqueeze(-1), index, valid)
        embedding = backbone.values
        scale = 1 + shown if backbone.config.value_scaling else torch.ones_like(values)
        genes = backbone.gene_rows()
        common = torch.cat([embedding(values.new_zeros(1)), embedding.masked[None]]).detach()
        return _Scene(genes, scale, masked, common, embedding(expressed).detach(), index, valid)

    def _heads(self, layer: nn.Linear, tokens: Tensor) -> Tensor:
        """Project tokens (..., L, D) into heads (..., H, L, d)."""
        return layer(tokens).unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def attention(self, scene: _Scene, eligible: Tensor, subset: Tensor | None = None) -> Tensor:
        """Return attention maps (B, H, N or R, G) over eligible genes; `subset` (B, R) picks latents."""
        queries = self._heads(self.query, self.latents)
        queries = queries * queries.shape[-1] ** -0.5
        if subset is not None:
            queries = queries[:, subset].transpose(0, 1)
        by_gene = queries @ self._heads(self.key, scene.genes).transpose(-1, -2)
        zero, hidden = (queries @ self._heads(self.key, scene.common).transpose(-1, -2)).split(1, dim=-1)
        expressed = queries @ self._heads(self.key, scene.expressed).transpose(-1, -2)
        logits = torch.where(scene.masked[:, None, None], hidden, zero) + by_gene * scene.scale[:, None, None]
        correction = (expressed - zero) * scene.valid[:, None, None]
        at = scene.at[:, None, None].expand_as(correction)
        logits = logits.scatter_add(-1, at, correction.to(logits.dtype))
        return logits.masked_fill(~eligible, -torch.inf).softmax(-1)

    def _attend(self, scene: _Scene, maps: Tensor) -> Tensor:
        """Return the attention-weighted values (B, H, N, d)."""
        common = self._heads(self.value, scene.common)
        at_expressed = maps.gather(-1, scene.at[:, None, None].expand(*maps.shape[:-1], -1))
        at_expressed = at_expressed * scene.valid[:, None, None]
        hidden = (maps * scene.masked[:, None, None]).sum(-1, keepdim=True)
        zero = 1 - hidden - at_expressed.sum(-1, keepdim=True)
        return (
            (maps * scene.scale[:, None, None]) @ self._heads(self.value, scene.genes)
            + at_expressed @ self._heads(self.value, scene.expressed)
            + zero * common[:, :1]
            + hidden * common[:, 1:]
        )

    def log_importance(
        self, backbone: CellBackbone, values: Tensor, eligible: Tensor, subset: Tensor
    ) -> Tensor:
        """Return the log importance (B, G) of each gene: attention summed over heads and over R."""
        maps = self.attention(self.see(backbone, values, None), eligible, subset)
        return maps.sum((1, 2)).clamp(min=1e-12).log()

    def forward(
        self, backbone: CellBackbone, values: Tensor, masked: Tensor | None, eligible: Tensor
    ) -> Summary:
        """Summarise the cells with `masked` genes hidden: no masked value is read."""
        scene = self.see(backbone, values, masked)
        maps = self.attention(scene, eligible)
        output = self.out(self._attend(scene, maps).transpose(1, 2).flatten(2))
        return Summary(output.mean(1), self._penalty(maps, output))

    def _penalty(self, maps: Tensor, output: Tensor) -> Tensor:
        if self.penalty == "overlap":
            unit = F.normalize(maps.mean(1), dim=-1)
            count = unit.shape[1]
            overlap = (unit @ unit.transpose(-1, -2)).sum((1, 2)) - count
            return overlap.mean() / max(1, count * (count - 1))
        if self.penalty == "output-norm":
            return output.flatten(1).norm(dim=1).mean()
        return output.new_zeros(())
