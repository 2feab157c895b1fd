"""The plain way to run scFoundation, as a yardstick: one cell at a time, padded, materialised, fp32.

It follows the released code's choices, not its text: PyTorch's own encoder layer with a padding mask
(which materialises the attention probabilities while training, since they have dropout), and a decoder
that computes every position and keeps all random features.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.backbone import Backbone

DROPOUT = 0.1


class Reference(nn.Module):
    """The weights of a `Backbone`, run the plain way."""

    def __init__(self, backbone: Backbone, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.backbone = backbone
        config = backbone.config
        self.layers = nn.ModuleList()
        for block in backbone.blocks:
            layer = nn.TransformerEncoderLayer(
                config.width, config.heads, config.ff * config.width, dropout, batch_first=True
            )
            layer.self_attn.in_proj_weight = block.qkv.weight
            layer.self_attn.in_proj_bias = block.qkv.bias
            layer.self_attn.out_proj.weight, layer.self_attn.out_proj.bias = block.out.weight, block.out.bias
            layer.linear1, layer.linear2 = block.ff1, block.ff2
            layer.norm1, layer.norm2 = block.norm1, block.norm2
            self.layers.append(layer)

    def gather(self, values: Tensor, visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return values, positions and padding (B, M) of the visible positions, padded to the longest."""
        length = int(visible.sum(1).max())
        at = (~visible).to(torch.uint8).argsort(dim=1, stable=True)[:, :length]
        padding = ~visible.gather(1, at)
        return values.gather(1, at), at.masked_fill(padding, values.shape[1]), padding

    def encode(self, values: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, M, D) and their positions (B, M)."""
        x, at, padding = self.gather(values, visible)
        tokens = self.backbone.values(x) + self.backbone.positions(at)
        for layer in self.layers:
            tokens = layer(tokens, src_key_padding_mask=padding)
        return self.backbone.norm(tokens), at

    def decode(self, tokens: Tensor, at: Tensor, values: Tensor, masked: Tensor) -> Tensor:
        """Predict every position (B, L)."""
        backbone = self.backbone
        shown = backbone.values(values.masked_fill(masked, 0))
        states = torch.where(masked.unsqueeze(-1), backbone.values.masked, shown)
        states = states.scatter(1, at.unsqueeze(-1).expand_as(tokens), tokens)
        everywhere = torch.arange(values.shape[1], device=values.device)
        states = backbone.bridge(states + backbone.positions(everywhere))
        for block in backbone.decoder:
            normed = block.norm1(states)
            states = states + _attention(block.attention, normed)
            states = states + block.ff2(F.gelu(block.ff1(block.norm2(states))))
        return backbone.output(backbone.output_norm(backbone.decoder_norm(states))).squeeze(-1)

    def loss(self, values: Tensor, masked: Tensor) -> Tensor:
        """Return the mean squared error on the masked positions of one cell (1, L)."""
        tokens, at = self.encode(values, (values > 0) & ~masked)
        predicted = self.decode(tokens, at, values, masked)
        return (predicted - values)[masked].square().mean()


def _attention(layer: nn.Module, x: Tensor) -> Tensor:
    q, k, v = (one(x).unflatten(-1, (layer.heads, -1)).transpose(1, 2) for one in (layer.q, layer.k, layer.v))
    q = _features(q, layer.projection, (-1,))
    k = _features(k, layer.projection, (0, 1, 2, 3))
    scale = 1 / torch.einsum("bhnm,bhm->bhn", q, k.sum(-2))
    context = torch.einsum("bhnm,bhnd->bhmd", k, v)
    out = torch.einsum("bhmd,bhnm,bhn->bhnd", context, q, scale)
    return layer.out(out.transpose(1, 2).flatten(2))


def _features(x: Tensor, projection: Tensor, reduce: tuple[int, ...]) -> Tensor:
    x = x * x.shape[-1] ** -0.25
    projected = torch.einsum("bhnd,md->bhnm", x, projection)
    squared = x.square().sum(-1, keepdim=True) / 2
    stabiliser = projected.amax(dim=reduce, keepdim=True)
    return len(projection) ** -0.5 * (torch.exp(projected - squared - stabiliser) + 1e-4)
