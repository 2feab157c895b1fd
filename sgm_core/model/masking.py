"""Who chooses the genes that are hidden, and the exact draw from their importance.

Self-guided masking: N trainable latents attend over the cell's gene tokens; the attention paid by a
random subset R, summed over heads and over R, is each gene's importance, and k genes are drawn from it
without replacement.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.backbone import Backbone


def cell_noise(seed: int, purpose: int, epoch: int, cells: np.ndarray, width: int) -> Tensor:
    """Draw standard exponential noise (B, width), keyed by (seed, purpose, epoch, cell).

    A cell's noise, and so its mask, does not depend on the batch or the process that it is computed in.
    """
    rows = [
        np.random.Generator(
            np.random.Philox(key=np.array([seed, purpose], np.uint64), counter=[0, 0, epoch, int(cell)])
        ).standard_exponential(width, dtype=np.float32)
        for cell in cells
    ]
    return torch.from_numpy(np.stack(rows))


def mask_sizes(
    nonzero: Tensor, eligible: Tensor, basis: str, ratio: float, zero_ratio: float
) -> tuple[Tensor, Tensor]:
    """Return how many positions to hide in each cell: (B,) of the first stratum and (B,) of the zeros.

    Under the basis ``all`` the first stratum is every eligible position and the second is empty; under
    ``strata`` they are the non-zero and the zero positions. At least one position of the first stratum
    is hidden where it has two.
    """
    first = nonzero & eligible if basis == "strata" else eligible.expand_as(nonzero)
    available = first.sum(1)
    k = (available * ratio).round().long()
    k = torch.where(available >= 2, k.clamp(min=1), k)
    zeros = (~nonzero & eligible).sum(1)
    k_zero = (zeros * zero_ratio).round().long() if basis == "strata" else torch.zeros_like(zeros)
    return k, k_zero


def draw_without_replacement(log_importance: Tensor, noise: Tensor, allowed: Tensor, k: Tensor) -> Tensor:
    """Draw k positions of each row without replacement, in proportion to importance.

    The k first arrivals of an exponential race with rates w are a sequential multinomial draw without
    replacement from w (Efraimidis and Spirakis 2006, doi:10.1016/j.ipl.2005.11.003).

    Parameters
    ----------
    log_importance : (B, G) log of the importance w
    noise : (B, G) standard exponential
    allowed : (B, G) bool
    k : (B,) positions to draw; never more than are allowed

    Returns
    -------
    (B, G) bool
    """
    arrival = (noise.clamp(min=1e-30).log() - log_importance).masked_fill(~allowed, torch.inf)
    k = torch.minimum(k, allowed.sum(1))
    most = int(k.max())
    drawn = torch.zeros_like(allowed)
    if most == 0:
        return drawn
    order = arrival.topk(most, dim=1, largest=False).indices
    return drawn.scatter(1, order, torch.arange(most, device=k.device) < k.unsqueeze(1))


def draw_masks(
    log_importance: Tensor,
    noise: Tensor,
    values: Tensor,
    eligible: Tensor,
    basis: str,
    ratio: float,
    zero_ratio: float,
) -> Tensor:
    """Draw the masks (B, G) of a batch under a basis (see `mask_sizes`)."""
    nonzero = values > 0
    k, k_zero = mask_sizes(nonzero, eligible, basis, ratio, zero_ratio)
    if basis == "all":
        return draw_without_replacement(log_importance, noise, eligible.expand_as(nonzero), k)
    first = draw_without_replacement(log_importance, noise, nonzero & eligible, k)
    return first | draw_without_replacement(log_importance, noise, ~nonzero & eligible, k_zero)


def effective_share(log_importance: Tensor, allowed: Tensor) -> Tensor:
    """Return exp(entropy of the draw) / number of allowed genes for each cell (B,); 1 = uniform."""
    log_p = log_importance.masked_fill(~allowed, -torch.inf).log_softmax(1)
    entropy = -(log_p.exp() * log_p.masked_fill(~allowed, 0)).sum(1)
    return torch.where(allowed.any(1), entropy.exp() / allowed.sum(1), 1.0)


def share_of_draw(
    log_importance: Tensor, values: Tensor, eligible: Tensor, basis: str, masked: Tensor
) -> Tensor:
    """Return the effective share (B,) of a draw of masks (B, G).

    Under the basis ``strata`` a gene competes within its stratum alone, so the shares of zeros and
    non-zeros are averaged by the number of genes drawn from each.
    """
    if basis == "all":
        return effective_share(log_importance, eligible.expand_as(masked))
    total = torch.zeros_like(log_importance[:, 0])
    for stratum in ((values > 0) & eligible, (values <= 0) & eligible):
        total += effective_share(log_importance, stratum) * (masked & stratum).sum(1)
    return total / masked.sum(1).clamp(min=1)


def pack(visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return the visible positions of each cell in order (B, M), padded with 0, and which are real (B, M)."""
    counts = visible.sum(1)
    most = max(1, int(counts.max()))
    # a stable descending sort of booleans keeps the order of the positions
    index = visible.to(torch.uint8).sort(dim=1, descending=True, stable=True).indices[:, :most]
    return index, torch.arange(most, device=visible.device) < counts.unsqueeze(1)


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

    def see(self, backbone: Backbone, values: Tensor, masked: Tensor | None) -> _Scene:
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
        genes = backbone.positions.weight[:-1].detach()
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
        self, backbone: Backbone, values: Tensor, eligible: Tensor, subset: Tensor, temperature: float
    ) -> Tensor:
        """Return the log importance (B, G) of each gene: attention summed over heads and over R,
        sharpened."""
        maps = self.attention(self.see(backbone, values, None), eligible, subset)
        return maps.sum((1, 2)).clamp(min=1e-12).log() / max(temperature, 1e-6)

    def forward(self, backbone: Backbone, values: Tensor, masked: Tensor | None, eligible: Tensor) -> Summary:
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
