"""A dense backbone: a masked autoencoder of standardised values, with one token a cell.

For sets of cells that are small for a transformer, and several times cheaper a cell than `tiny`. The recipe
is that of the masked autoencoders that do well on single cells (Richter et al., Nature Machine Intelligence
2025, doi:10.1038/s42256-024-00934-3: SELU, input rescaled by what is visible, squared error on hidden genes);
it has no normalisation layer, which costs the vectors five points of macro F1 at few labels
(`benchmarks/results/dense_search.md`).
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.head import CLIP
from sgm_core.model.interface import BackboneConfig, CellBackbone, Encoded, ValueEmbedding
from sgm_core.model.parts import Dropout


class DenseBlock(nn.Module):
    """Residual block without normalisation: ``h += W2 selu(W1 h)``, at first the identity (W2 = 0)."""

    def __init__(self, width: int, ff: float, dropout: float) -> None:
        super().__init__()
        inner = round(ff * width)
        self.ff1, self.ff2 = _lecun(width, inner), nn.Linear(inner, width)
        nn.init.zeros_(self.ff2.weight)
        nn.init.zeros_(self.ff2.bias)
        self.dropout = Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        """Map the cells' vectors (B, D) to (B, D)."""
        return h + self.ff2(self.dropout(F.selu(self.ff1(h))))


class DenseBackbone(CellBackbone):
    """Encoder ``h = selu(W z + b)`` and blocks, decoder through a bottleneck; z are standardised values.

    A hidden gene, and one that the cell's dataset did not measure, enters as its mean, and what is visible is
    scaled up to the sum of all. The decoder gives values in their own unit; errors are measured in each
    gene's spread, so that a gene counts as much as any other.

    Parameters
    ----------
    config : its shape: `width` D, `depth` blocks of `ff` x D units, `decoder_width` of the bottleneck

    Attributes
    ----------
    mean, spread : of each position (L,) over the training cells, set by `standardise`
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        length, width = config.n_positions, config.width
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("spread", torch.ones(length))
        # rows of unit spread divided by sqrt(L) are LeCun's start, which SELU wants
        self.positions = nn.Embedding(length + 1, width)
        nn.init.normal_(self.positions.weight, std=length**-0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        # what maskers know of a value: fixed features, which nothing trains
        self.values = ValueEmbedding(config.bins, width, config.bin_alpha).requires_grad_(False)
        self.blocks = nn.ModuleList(DenseBlock(width, config.ff, config.dropout) for _ in range(config.depth))
        self.dropout = Dropout(config.dropout)
        self.bottleneck = _lecun(width, config.decoder_width)
        self.up = _lecun(config.decoder_width, width)
        # zero at first: the prediction starts at each gene's mean, and leaves it by learning alone
        self.output = nn.Linear(width, length)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @torch.no_grad()
    def standardise(self, mean: Tensor, variance: Tensor) -> None:
        """Take mean and variance (G,) of the genes over the training cells; T and S stay as they are."""
        n = self.config.n_genes
        self.mean[:n] = mean
        self.spread[:n] = torch.where(variance > 0, variance, 1.0).sqrt()

    def gene_rows(self) -> Tensor:
        """Return what stands for each position (L, D), detached, of unit spread."""
        rows = super().gene_rows()
        return rows / rows.std().clamp(min=1e-6)

    def error_unit(self) -> Tensor:
        """Return each position's spread (L,)."""
        return self.spread

    def shown(self, codes: Tensor) -> Tensor:
        """Return which positions (B, L) the encoder sees when nothing is masked: all, zeros too."""
        return torch.ones_like(codes, dtype=torch.bool)

    def token_counts(self, lengths: np.ndarray) -> np.ndarray:
        """Return the tokens of cells (n,): one each."""
        return np.ones_like(lengths)

    def packed(self, tokens: Tensor, visible: Tensor) -> Encoded:
        """Return tokens (B, D) that were kept, with what belongs to them."""
        return _encoded(tokens.float())

    def embed_tokens(
        self, codes: Tensor, visible: Tensor, added: Tensor | None = None, hidden: Tensor | None = None
    ) -> Encoded:
        """Return the vector that enters the first block (see `encode`)."""
        z = ((codes - self.mean) / self.spread).clamp(-CLIP, CLIP).masked_fill(~visible, 0)
        z = z * (visible.shape[1] / visible.sum(1, keepdim=True).clamp(min=1))
        h = z @ self.positions.weight[:-1] + self.bias
        return _encoded(F.selu(h if added is None else h + added))

    def through(self, encoded: Encoded, start: int = 0, stop: int | None = None) -> Encoded:
        """Send the cells' vectors through the blocks `start` to `stop`."""
        h = encoded.tokens
        for block in self.blocks[start:stop]:
            h = block(h)
        return encoded._replace(tokens=h)

    def pooled_parts(self, encoded: Encoded, values: Tensor) -> Callable[[str], Tensor]:
        """Return what gives a part of the cells' vectors: each is the one token itself."""
        return lambda part: encoded.tokens

    def decode(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor | None = None,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Predict normalised values (B, L) or (B, Q), see `CellBackbone.decode`; `pooled` is not needed."""
        z = F.selu(self.bottleneck(self.dropout(encoded.tokens)))
        up = self.up(z) if added is None else self.up(z) + added
        predicted = self.mean + self.spread * self.output(self.dropout(F.selu(up)))
        return predicted if at is None else predicted.gather(1, at)


def _encoded(tokens: Tensor) -> Encoded:
    cells = torch.arange(len(tokens), device=tokens.device)
    return Encoded(tokens, cells, torch.zeros_like(cells), [1] * len(tokens))


def _lecun(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear layer with LeCun's start, which keeps SELU's mean and variance."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=inputs**-0.5)
    nn.init.zeros_(layer.bias)
    return layer
