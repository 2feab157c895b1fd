"""The plain ways to run scGPT and scBERT, as yardsticks: padded or one by one, materialised, fp32.

They follow the released codes' choices, not their text. scGPT: PyTorch's own encoder over a batch padded to
its longest cell, the value embedding of every token and both heads at every position. scBERT: one cell at a
time, all random features kept, logits at every position.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.features import FLOOR
from sgm_core.model.scbert import ScBERT
from sgm_core.model.scgpt import MASK_CODE, PAD_CODE, ScGPT


class PlainScGPT(nn.Module):
    """The weights of a `ScGPT`, run the plain way."""

    def __init__(self, model: ScGPT, dropout: float = 0.2) -> None:
        super().__init__()
        self.model = model
        config = model.config
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, round(config.ff * config.width), dropout, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.depth)
        for own, block in zip(self.encoder.layers, model.blocks, strict=True):
            own.self_attn.in_proj_weight, own.self_attn.in_proj_bias = block.qkv.weight, block.qkv.bias
            own.self_attn.out_proj.weight, own.self_attn.out_proj.bias = block.out.weight, block.out.bias
            own.linear1, own.linear2 = block.ff1, block.ff2
            own.norm1, own.norm2 = block.norm1, block.norm2
        self.dropout = nn.Dropout(dropout)

    def tokens(self, codes: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return encoded tokens (B, M, D), genes' vectors, positions, and which are no padding (B, M)."""
        present = self.model.shown(codes) | hidden
        length = int(present.sum(1).max())
        at = (~present).to(torch.uint8).argsort(dim=1, stable=True)[:, :length]
        real = present.gather(1, at)
        own = codes.masked_fill(hidden, MASK_CODE).gather(1, at).masked_fill(~real, PAD_CODE)
        genes = self.model.gene_norm(self.model.positions(at.masked_fill(~real, codes.shape[1])))
        x = genes + self.dropout(self.model.values(own))
        return self.encoder(x, src_key_padding_mask=~real), genes, at, real

    def cells(self, codes: Tensor) -> Tensor:
        """Return the token of each cell (B, D)."""
        tokens, _, at, _ = self.tokens(codes, torch.zeros_like(codes, dtype=torch.bool))
        cls = (at == codes.shape[1] - 1).to(torch.uint8).argmax(1)
        return tokens[torch.arange(len(codes)), cls]

    def loss(self, codes: Tensor, hidden: Tensor) -> Tensor:
        """Return the loss of hidden bins, by token and by cell."""
        tokens, genes, at, _ = self.tokens(codes, hidden)
        cls = (at == codes.shape[1] - 1).to(torch.uint8).argmax(1)
        cells = tokens[torch.arange(len(codes)), cls]
        own, scored = codes.gather(1, at), hidden.gather(1, at)
        by_token = self.model.expression(tokens)
        query = torch.sigmoid(self.model.by_cell.query(genes))
        by_cell = (self.model.by_cell.match(query) @ cells.unsqueeze(-1)).squeeze(-1)
        errors = (by_token - own).square() + (by_cell - own).square()
        return (errors * scored).sum() / scored.sum()


class PlainScBERT(nn.Module):
    """The weights of a `ScBERT`, run the plain way."""

    def __init__(self, model: ScBERT) -> None:
        super().__init__()
        self.model = model

    @staticmethod
    def features(x: Tensor, projection: Tensor, query: bool) -> Tensor:
        """Return random features (B, H, L, m)."""
        scaled = x * x.shape[-1] ** -0.25
        a = scaled @ projection.T
        half = 0.5 * scaled.square().sum(-1, keepdim=True)
        top = a.amax(-1, keepdim=True) if query else a.amax()
        return len(projection) ** -0.5 * ((a - half - top).exp() + FLOOR)

    def tokens(self, codes: Tensor, hidden: Tensor) -> Tensor:
        """Return encoded tokens (B, L, D)."""
        model = self.model
        own = codes.masked_fill(hidden, model.config.bins)
        x = (model.values(own).double() + model.positions.weight).float()
        for block in model.blocks:
            normed, attention = block.norm1(x), block.attention
            q, k, v = (
                part(normed).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
                for part in (attention.q, attention.k, attention.v)
            )
            q = self.features(q, attention.projection, True)
            k = self.features(k, attention.projection, False)
            scale = 1 / (q @ k.sum(2).unsqueeze(-1))
            out = (q @ (k.transpose(-1, -2) @ v)) * scale
            x = x + attention.out(out.transpose(1, 2).flatten(2))
            x = x + block.ff2(F.gelu(block.ff1(block.norm2(x))))
        return model.norm(x)

    def cells(self, codes: Tensor) -> Tensor:
        """Return the mean over the positions of each cell (B, D)."""
        nothing = torch.zeros_like(codes, dtype=torch.bool)
        return torch.cat([self.tokens(one[None], no[None]).mean(1) for one, no in zip(codes, nothing)])

    def loss(self, codes: Tensor, hidden: Tensor) -> Tensor:
        """Return the cross-entropy of hidden classes."""
        logits = self.model.output(self.tokens(codes, hidden))
        target = codes.long().masked_fill(~hidden, -100)
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())
