"""The scFoundation architecture at any size: an encoder of the visible genes and a decoder of all of them.

Written from the public description of scFoundation (Hao et al., Nature Methods 2024,
doi:10.1038/s41592-024-02305-7): value embedding by soft bins, a position row per gene, post-norm encoder
over visible non-zero genes, Performer decoder over every gene. Three fields go beyond it and are off in
the released model: `value_scaling`, which lets a token keep how much of its gene there is,
`cell_context`, and the pool part `weighted`.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sgm_core.model.attention import DecoderBlock, EncoderBlock
from sgm_core.model.interface import BackboneConfig, CellBackbone, Encoded, ValueEmbedding


class Backbone(CellBackbone):
    """Encoder and decoder of one cell's genes.

    Parameters
    ----------
    config : its shape
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        width = config.decoder_width
        self.values = ValueEmbedding(config.bins, config.width, config.bin_alpha, config.depth_tokens)
        self.positions = nn.Embedding(config.n_positions + 1, config.width)
        self.blocks = nn.ModuleList(
            EncoderBlock(config.width, config.heads, config.ff, config.dropout, config.attention_dropout)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.bridge = nn.Linear(config.width, width)
        self.context = nn.Linear(config.width_of(config.token_pool), width) if config.cell_context else None
        across_cells = config.compat == "official"
        self.decoder = nn.ModuleList(
            DecoderBlock(width, config.decoder_heads, config.decoder_head_dim, config.ff, across_cells)
            for _ in range(config.decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(width)
        self.output_norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, 1)
        if config.depth_tokens:
            # the released model counts its training steps, to draw the random features anew every 1,000
            self.register_buffer("redraw_calls", torch.zeros((), dtype=torch.int64))

    def _run(self, block: nn.Module, *inputs: Any) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return block(*inputs)  # type: ignore[no-any-return]

    def shown(self, codes: Tensor) -> Tensor:
        """Return which positions (B, L) of `codes` (B, L) the encoder sees when nothing is masked."""
        visible = codes > 0
        if self.config.depth_tokens and self.config.compat == "corrected":
            visible[:, self.config.n_genes :] = True
        return visible

    def embed(self, values: Tensor, at: Tensor) -> Tensor:
        """Return the tokens (..., D) of the values (...) at the positions `at` (...)."""
        rows = self.positions(at)
        if self.config.value_scaling:
            rows = rows * (1 + values).unsqueeze(-1)
        return self.values(values) + rows

    def embed_tokens(
        self, codes: Tensor, visible: Tensor, added: Tensor | None = None, hidden: Tensor | None = None
    ) -> Encoded:
        """Return the tokens that enter the first block (see `encode`)."""
        cell, at = visible.nonzero(as_tuple=True)
        tokens = self.embed(codes[cell, at], at)
        if added is not None:
            # not added[cell]: its gradient is summed by racing threads, another one in every run
            tokens = tokens + added.index_select(0, cell)
        return Encoded(tokens, cell, at, visible.sum(1).tolist())

    def through(self, encoded: Encoded, start: int = 0, stop: int | None = None) -> Encoded:
        """Send tokens through the blocks `start` to `stop`; after the last one they are normalised."""
        tokens = encoded.tokens
        stop = len(self.blocks) if stop is None else stop
        for block in self.blocks[start:stop]:
            tokens = self._run(block, tokens, encoded.lengths)
        return encoded._replace(tokens=self.norm(tokens) if stop == len(self.blocks) else tokens)

    def pooled_parts(self, encoded: Encoded, values: Tensor) -> Callable[[str], Tensor]:
        """Return what gives a part of the cells' vectors (B, D) by its name."""
        tokens, cell, at, lengths = encoded[:4]
        per_cell = tokens.split(lengths)
        expressed = values[cell, at].to(tokens.dtype).split(lengths)
        # S is a cell's last token, and T the one before
        last = torch.tensor(lengths, device=tokens.device).cumsum(0) - 1

        def pooled(part: str) -> Tensor:
            if part in ("S", "T"):
                return tokens.index_select(0, last - int(part == "T"))
            ours = [one[:-2] for one in per_cell] if part.startswith("gene-") else per_cell
            if part == "weighted":
                pairs = zip(expressed, ours, strict=True)
                return torch.stack([w @ one / w.sum().clamp(min=1e-6) for w, one in pairs])
            over = torch.amax if part.endswith("max") else torch.mean
            empty = tokens.new_zeros(tokens.shape[1])
            return torch.stack([over(one, 0) if len(one) else empty for one in ours])

        return pooled

    def decode(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor | None = None,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Predict normalised values (B, L) or (B, Q), see `CellBackbone.decode`."""
        states = self.decoder_states(encoded, masked, at, added, pooled)
        return self.output(states).squeeze(-1)

    def decoder_states(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor | None = None,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Return what `decode` predicts from, (B, L or Q, Dd): the gene embeddings of a cell."""
        zero = self.values(encoded.tokens.new_zeros(1))
        # the bridge is linear, so what all cells share goes through it once
        positions = self.bridge(self.positions.weight[:-1])
        states = positions + torch.where(
            masked.unsqueeze(-1),
            F.linear(self.values.masked, self.bridge.weight),
            F.linear(zero, self.bridge.weight),
        )
        bridged = F.linear(encoded.tokens, self.bridge.weight) + positions.index_select(0, encoded.at)
        states = states.index_put((encoded.cell, encoded.at), bridged.to(states.dtype))
        if added is not None:
            states = states + F.linear(added, self.bridge.weight).unsqueeze(1)
        if self.context is not None and pooled is not None:
            states = states + self.context(pooled).unsqueeze(1)
        for block in self.decoder[:-1]:
            states = self._run(block, states)
        states = self._run(self.decoder[-1], states, at)
        return self.output_norm(self.decoder_norm(states))

    @torch.no_grad()
    def redraw_features(self, generator: torch.Generator | None = None) -> None:
        """Draw the decoder's random features anew, as the released code does every 1,000 training steps."""
        for block in self.decoder:
            block.attention.redraw(generator)  # type: ignore[union-attr,operator]
