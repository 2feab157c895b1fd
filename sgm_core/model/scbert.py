"""scBERT: all genes of a cell as tokens of five classes, and attention by random features in every layer.

Written from the specification `scbert.md` and its numbers alone (Yang et al., Nature Machine Intelligence
2022, doi:10.1038/s42256-022-00534-z); its own code is under the GPL. A token is the vector of a class plus
the gene's row of Gene2vec, which nothing trains; a last token is the same for all cells. Hidden genes have a
class of their own, zeros are never hidden, and the classes are predicted with the cross-entropy.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sgm_core.model.attention import DecoderBlock
from sgm_core.model.interface import BackboneConfig, CellBackbone, Encoded, Scored, full_precision
from sgm_core.model.masking import content_uniform
from sgm_core.model.parts import whole

LEFT = 0.1
"""Share of the drawn genes that the released code leaves as they are, and scores all the same."""
_LEFT = 4  # purpose of random numbers
_ROUNDING = 1e-6  # of a value at a class's border, which single precision may put below it


class ClassVectors(nn.Embedding):
    """The vectors of the classes, that of a hidden gene last."""

    def bins(self, codes: Tensor) -> Tensor:
        """Return which row of `table` each class (...) is, (..., classes)."""
        return F.one_hot(codes.long(), self.num_embeddings - 1).to(self.weight.dtype)

    def forward(self, codes: Tensor) -> Tensor:
        """Map classes (...) to vectors (..., D)."""
        return super().forward(codes.long())

    @property
    def table(self) -> Tensor:
        """The vectors of the classes but for that of a hidden gene (classes, D)."""
        return self.weight[:-1]

    @property
    def masked(self) -> Tensor:
        """The vector of a hidden gene (D,)."""
        return self.weight[-1]


class FixedRows(nn.Module):
    """A row for each position, which nothing trains, in double precision as the released file has them."""

    weight: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(count, width, dtype=torch.float64))

    def forward(self, at: Tensor) -> Tensor:
        """Return the rows (..., D) of positions (...)."""
        return self.weight[at]


class ScBERT(CellBackbone):
    """scBERT at any size.

    Parameters
    ----------
    config : its shape, of the kind "scbert"; `bins` classes without that of hidden genes
    """

    predicts_values = False

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        width, heads = config.width, config.heads
        self.values: ClassVectors = ClassVectors(config.bins + 1, width)  # type: ignore[assignment]
        self.positions: FixedRows = FixedRows(config.n_positions, width)  # type: ignore[assignment]
        across_cells, head_dim = config.compat == "official", config.head_dim or width // heads
        self.rounds_up = config.compat == "official"
        self.blocks = nn.ModuleList(
            DecoderBlock(width, heads, head_dim, config.ff, across_cells, bias=False)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, config.bins + 1)
        # the released code counts its training steps, to draw the random features anew every 1,000
        self.register_buffer("redraw_calls", torch.zeros((), dtype=torch.int64))

    def gene_rows(self) -> Tensor:
        """Return the rows of the positions (L, D)."""
        return self.positions.weight.to(self.values.weight.dtype)

    def embeddings(self) -> list[nn.Module]:
        """Return the embeddings that a finetuning of them trains: of the classes alone."""
        return [self.values]

    def codes(self, values: Tensor) -> Tensor:
        """Return the classes (B, L) of normalised values: log2(1 + 10,000 count / total), cut to 0 ... 5."""
        borders = torch.arange(1, self.config.bins, device=values.device, dtype=torch.float64)
        borders = (borders * math.log(2) * (1 - _ROUNDING)).to(values.dtype)
        return torch.bucketize(values, borders, right=True).to(values.dtype)

    def shown(self, codes: Tensor) -> Tensor:
        """Return which positions (B, L) the encoder sees: all, zeros too."""
        return torch.ones_like(codes, dtype=torch.bool)

    def maskable(self, codes: Tensor) -> Tensor:
        """Return which positions (B, L) may be hidden: those of a class above zero."""
        return codes > 0

    def as_released(self, codes: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is hidden and what is scored: the same, or officially a tenth less is hidden.

        A gene that is scored and not hidden tells nothing but itself: the encoder sees its class.
        """
        if self.config.compat != "official":
            return drawn, drawn
        at = torch.arange(codes.shape[1], device=codes.device)
        return drawn & (content_uniform(codes, at, drawn, 0, _LEFT) >= LEFT), drawn

    def token_counts(self, lengths: np.ndarray) -> np.ndarray:
        """Return the tokens of cells (n,): every position."""
        return np.full_like(lengths, self.config.n_positions)

    def embed_tokens(
        self, codes: Tensor, visible: Tensor, added: Tensor | None = None, hidden: Tensor | None = None
    ) -> Encoded:
        """Return the tokens that enter the first block; what is not visible enters as hidden, or as zero."""
        own = codes.masked_fill(~visible, 0)
        if hidden is not None:
            own = own.masked_fill(hidden, self.config.bins)
        vectors = self.values(own)
        # in the positions' precision, then rounded once, as the released code adds them
        tokens = (vectors.to(self.positions.weight.dtype) + self.positions.weight).to(vectors.dtype)
        if added is not None:
            tokens = tokens + added.unsqueeze(1)
        return self._packed(tokens)

    def _packed(self, tokens: Tensor) -> Encoded:
        """Return tokens (B, L, D) as packed ones."""
        batch, length, _ = tokens.shape
        steps = torch.arange(batch * length, device=tokens.device)
        at = steps % max(1, length)
        return Encoded(tokens.flatten(0, 1), steps // max(1, length), at, [length] * batch)

    def _by_cell(self, encoded: Encoded) -> Tensor:
        return encoded.tokens.unflatten(0, (-1, self.config.n_positions))

    def through(self, encoded: Encoded, start: int = 0, stop: int | None = None) -> Encoded:
        """Send tokens through the blocks `start` to `stop`; after the last one they are normalised."""
        stop, tokens = len(self.blocks) if stop is None else stop, self._by_cell(encoded)
        for block in self.blocks[start:stop]:
            tokens = self._run(block, tokens)
        tokens = self.norm(tokens) if stop == len(self.blocks) else tokens
        return encoded._replace(tokens=tokens.flatten(0, 1))

    def _run(self, block: nn.Module, *inputs: Any) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return block(*inputs)  # type: ignore[no-any-return]

    def pooled_parts(self, encoded: Encoded, values: Tensor) -> Callable[[str], Tensor]:
        """Return what gives a part of the cells' vectors (B, D); ``cls`` is the last position."""
        tokens = self._by_cell(encoded)

        def pooled(part: str) -> Tensor:
            if part == "cls":
                return tokens[:, -1]
            if part == "weighted":
                weights = values[:, : tokens.shape[1]].to(tokens.dtype).unsqueeze(1)
                return (weights @ tokens).squeeze(1) / weights.sum(-1).clamp(min=1e-6)
            own = tokens[:, :-1] if part.startswith("gene-") else tokens
            return own.amax(1) if part.endswith("max") else own.mean(1)

        return pooled

    def logits(self, encoded: Encoded, at: Tensor | None = None) -> Tensor:
        """Return the logits of all classes at every position (B, L, classes), or at those of `at` (B, Q)."""
        tokens = self._by_cell(encoded)
        if at is not None:
            tokens = tokens.gather(1, at.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        return self.output(tokens)  # type: ignore[no-any-return]

    def _logits(self, encoded: Encoded, at: Tensor | None, added: Tensor | None) -> Tensor:
        if added is not None:
            moved = self._by_cell(encoded) + added.unsqueeze(1)
            encoded = encoded._replace(tokens=moved.flatten(0, 1))
        return self.logits(encoded, at)

    def decode(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor | None = None,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Predict classes (B, L) or (B, Q): the mean over their probabilities, hidden genes' own left out."""
        chances = full_precision(self._logits(encoded, at, added))[..., :-1].softmax(-1)
        return chances @ torch.arange(self.config.bins, device=chances.device, dtype=chances.dtype)

    def score(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor,
        real: Tensor,
        target: Tensor,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Scored:
        """Predict hidden classes; loss, `error` and `squared` are the cross-entropy over all classes."""
        logits = full_precision(self._logits(encoded, at, added))
        each = F.cross_entropy(logits.flatten(0, 1), target.gather(1, at).long().flatten(), reduction="none")
        each = each.unflatten(0, at.shape) * real
        loss = each.sum() / whole(real.sum()).clamp(min=1)
        scale = torch.arange(self.config.bins, device=logits.device, dtype=logits.dtype)
        predicted = logits[..., :-1].softmax(-1) @ scale
        return Scored(loss, loss, predicted.detach().float(), each.detach().float())

    @torch.no_grad()
    def redraw_features(self, generator: torch.Generator | None = None) -> None:
        """Draw every layer's random features anew, as the released code does every 1,000 training steps."""
        for block in self.blocks:
            block.attention.redraw(generator)  # type: ignore[union-attr,operator]
