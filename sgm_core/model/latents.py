"""The trainable latents: what attends over a cell's genes, scores them, and summarises the cell."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.interface import CellBackbone
from sgm_core.model.masking import pack
from sgm_core.model.parts import whole_mean


class Summary(NamedTuple):
    """What the latents say of a cell: their mean output (B, D_z) and the penalty on them ()."""

    vector: Tensor
    penalty: Tensor


class _Scene(NamedTuple):
    """A batch as the latents see it, in the parts that its tokens share.

    A token is ``kind + scale * gene``: its `genes` row (G, D), `scale` (B, G), and as kind the vector of
    zero or of masked (`common`, (2, D)) or, at the expressed entries `at` / `valid` (B, M), a mix of the
    rows of `table` (K, D) with the weights `expressed` (B, M, K). None as `scale` is 1, as `masked` nowhere.
    """

    genes: Tensor
    scale: Tensor | None
    masked: Tensor | None
    common: Tensor
    expressed: Tensor
    table: Tensor
    at: Tensor
    valid: Tensor


class Latents(nn.Module):
    """N trainable latents that attend over all genes of a cell, zeros included.

    Keys and values are linear in a token's parts, so they are projected once per gene and once per bin of the
    value, never once per position: the same numbers at a fraction of the cost.

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

    def see(self, backbone: CellBackbone, codes: Tensor, masked: Tensor | None) -> _Scene:
        """Look at a batch of codes (B, G); where `masked`, the mask vector stands in place of the value."""
        shown = codes if masked is None else codes.masked_fill(masked, 0)
        index, valid = pack(shown > 0)
        expressed = shown.gather(1, index) * valid
        if self.keys == "value":
            genes, common = codes.new_zeros(codes.shape[1], 1), codes.new_tensor([[0.0], [-1.0]])
            table = codes.new_ones(1, 1)
            return _Scene(genes, None, masked, common, expressed.unsqueeze(-1), table, index, valid)
        embedding = backbone.values
        scale = 1 + shown if backbone.config.value_scaling else None
        common = torch.cat([embedding(codes.new_zeros(1)), embedding.masked[None]]).detach()
        bins, table = embedding.bins(expressed).detach(), embedding.table.detach()
        return _Scene(backbone.gene_rows(), scale, masked, common, bins, table, index, valid)

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
        by_bin = queries @ self._heads(self.key, scene.table).transpose(-1, -2)
        expressed = by_bin @ scene.expressed.transpose(-1, -2)[:, None]
        logits = by_gene if scene.scale is None else by_gene * scene.scale[:, None, None]
        logits = logits + (
            zero if scene.masked is None else torch.where(scene.masked[:, None, None], hidden, zero)
        )
        correction = (expressed - zero) * scene.valid[:, None, None]
        logits = logits.expand(len(correction), *logits.shape[-3:])
        at = scene.at[:, None, None].expand_as(correction)
        logits = logits.scatter_add(-1, at, correction.to(logits.dtype))
        return logits.masked_fill(~eligible, -torch.inf).softmax(-1)

    def _attend(self, scene: _Scene, maps: Tensor) -> Tensor:
        """Return the attention-weighted values (B, H, N, d)."""
        common = self._heads(self.value, scene.common)
        at_expressed = maps.gather(-1, scene.at[:, None, None].expand(*maps.shape[:-1], -1))
        at_expressed = at_expressed * scene.valid[:, None, None]
        if scene.masked is None:
            hidden = torch.zeros_like(at_expressed[..., :1])
        else:
            flat = maps.flatten(1, 2) @ scene.masked.to(maps.dtype).unsqueeze(-1)
            hidden = flat.unflatten(1, maps.shape[1:3])
        zero = 1 - hidden - at_expressed.sum(-1, keepdim=True)
        scaled = maps if scene.scale is None else maps * scene.scale[:, None, None]
        by_bin = at_expressed @ scene.expressed[:, None]
        # by head and not by cell, which would copy the genes' values for every cell
        of_genes = scaled.transpose(0, 1).flatten(1, 2) @ self._heads(self.value, scene.genes)
        return (
            of_genes.unflatten(1, (len(maps), -1)).transpose(0, 1)
            + by_bin @ self._heads(self.value, scene.table)
            + zero * common[:, :1]
            + hidden * common[:, 1:]
        )

    def log_importance(
        self, backbone: CellBackbone, codes: Tensor, eligible: Tensor, subset: Tensor | None = None
    ) -> Tensor:
        """Return the log importance (B, G) of each gene: attention summed over heads and over R, or all."""
        maps = self.attention(self.see(backbone, codes, None), eligible, subset)
        return maps.sum((1, 2)).clamp(min=1e-12).log()

    def forward(
        self, backbone: CellBackbone, codes: Tensor, masked: Tensor | None, eligible: Tensor
    ) -> Summary:
        """Summarise the cells of these codes with `masked` genes hidden: no masked code is read."""
        scene = self.see(backbone, codes, masked)
        maps = self.attention(scene, eligible)
        output = self.out(self._attend(scene, maps).transpose(1, 2).flatten(2))
        return Summary(output.mean(1), self._penalty(maps, output))

    def _penalty(self, maps: Tensor, output: Tensor) -> Tensor:
        if self.penalty == "overlap":
            unit = F.normalize(maps.mean(1), dim=-1)
            count = unit.shape[1]
            overlap = (unit @ unit.transpose(-1, -2)).sum((1, 2)) - count
            return whole_mean(overlap) / max(1, count * (count - 1))
        if self.penalty == "output-norm":
            return whole_mean(output.flatten(1).norm(dim=1))
        return output.new_zeros(())
