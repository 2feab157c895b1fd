"""scGPT: an encoder of gene and bin tokens behind a token of the cell, hidden genes among them.

Written from the specification `scgpt.md` alone (Cui et al., Nature Methods 2024,
doi:10.1038/s41592-024-02201-0). A token is LN(gene row) + MLP(bin); a hidden gene's bin is -1, the cell's own
token <cls> stands last here, for there are no positions. Hidden bins are predicted twice: from the gene's
token (GEP), and from the gene's row and the cell's vector (GEPC, also MVC). There is no decoder beyond that.

The released models were pretrained by generation: a hidden gene has a flag's vector in place of its bin,
nothing but itself attends to it, and later in the training the cell's vector of the first pass takes the
place of <cls> in a second one, from which the hidden genes are predicted once more.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sgm_core.errors import InputError
from sgm_core.model.attention import Apart, EncoderBlock
from sgm_core.model.binning import bin_values, kept_genes
from sgm_core.model.interface import BackboneConfig, CellBackbone, Encoded, Scored, full_precision
from sgm_core.model.masking import content_uniform, pack
from sgm_core.model.parts import Dropout, whole

PAD_CODE, MASK_CODE, CLS_CODE = -2.0, -1.0, 0.0
"""What stands in place of a bin: padding (and <cls> where cells are embedded), a hidden gene, <cls>."""
_LARGEST = 512.0
_CLS = 5  # purpose of random numbers


class BinEncoder(nn.Module):
    """The vector of a bin: ``LN(W2 relu(W1 min(bin, 512) + b1) + b2)``, negative codes too.

    Parameters
    ----------
    bins, width : number of bins, and width D
    flag : whether there is a vector in place of a hidden gene's, for generation

    Attributes
    ----------
    generative : whether it is used
    """

    generative = False

    def __init__(self, bins: int, width: int, flag: bool = False) -> None:
        super().__init__()
        self.n_bins = bins
        self.flag = nn.Parameter(torch.randn(width)) if flag else None
        self.linear1, self.linear2 = nn.Linear(1, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, codes: Tensor) -> Tensor:
        """Map codes (...) to vectors (..., D)."""
        scaled = codes.to(self.linear1.weight.dtype).clamp(max=_LARGEST).unsqueeze(-1)
        return self.norm(self.linear2(F.relu(self.linear1(scaled))))  # type: ignore[no-any-return]

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the same for whole codes from -2 up to the last bin: each is computed once."""
        first = int(PAD_CODE)
        table = self(torch.arange(first, self.n_bins, device=codes.device))
        if self.generative:
            hidden = int(MASK_CODE) - first
            table = torch.cat([table[:hidden], self.masked[None].to(table.dtype), table[hidden + 1 :]])
        return table.index_select(0, codes.flatten().long() - first).unflatten(0, codes.shape)

    def bins(self, codes: Tensor) -> Tensor:
        """Return which row of `table` each code (...) is, (..., bins)."""
        one = F.one_hot(codes.long().clamp(min=0), self.n_bins)
        return one.to(self.linear1.weight.dtype)

    @property
    def table(self) -> Tensor:
        """The vectors of the bins (bins, D)."""
        return self(torch.arange(self.n_bins, device=self.linear1.weight.device))  # type: ignore[no-any-return]

    @property
    def masked(self) -> Tensor:
        """The vector of a hidden gene's bin (D,)."""
        if self.generative:
            assert self.flag is not None
            return self.flag
        return self(self.linear1.weight.new_tensor(MASK_CODE))  # type: ignore[no-any-return]


class ExpressionHead(nn.Module):
    """The bin of a token: ``D -> D -> D -> 1`` with leaky ReLUs of slope 0.01 between.

    Parameters
    ----------
    width : token width D
    read : width of what is read, where that is more than the token
    """

    def __init__(self, width: int, read: int | None = None) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(read or width, width), nn.Linear(width, width)
        self.fc3 = nn.Linear(width, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (..., D) to bins (...)."""
        hidden = F.leaky_relu(self.fc2(F.leaky_relu(self.fc1(tokens))))
        return self.fc3(hidden).squeeze(-1)  # type: ignore[no-any-return]


class CellHead(nn.Module):
    """The bin of a gene from its row g and the cell's vector c: ``(W sigmoid(V g + v)) . c``.

    Parameters
    ----------
    width : width D of a gene's row
    cell : width of a cell's vector, where that is another
    """

    def __init__(self, width: int, cell: int | None = None) -> None:
        super().__init__()
        self.query, self.match = nn.Linear(width, width), nn.Linear(width, cell or width, bias=False)

    def forward(self, genes: Tensor, cells: Tensor) -> Tensor:
        """Map genes' rows (B, Q, D), or (Q, D) for all cells, and cells (B, D) to bins (B, Q)."""
        return (torch.sigmoid(self.query(genes)) @ self.matched(cells).unsqueeze(-1)).squeeze(-1)

    def matched(self, cells: Tensor) -> Tensor:
        """Return W^T c (B, D): (W q) . c = q . (W^T c), once a cell and not once a gene."""
        return cells @ self.match.weight


class ScGPT(CellBackbone):
    """scGPT at any size.

    Parameters
    ----------
    config : its shape, of the kind "scgpt"

    Attributes
    ----------
    seed : decides among the bins of tied values, and which genes of a cell over the length limit are kept
    feedback_after : steps of generative training after which the second pass is made
    """

    seed = 0
    feedback_after = 1000
    predicts_values = False

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.values: BinEncoder = BinEncoder(config.bins, width, config.flag)  # type: ignore[assignment]
        # the genes, <cls>, and padding, which nothing here reads
        self.positions = nn.Embedding(config.n_positions + 1, width)
        self.gene_norm = nn.LayerNorm(width)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            EncoderBlock(width, config.heads, config.ff, config.dropout, config.attention_dropout)
            for _ in range(config.depth)
        )
        self.expression, self.by_cell = ExpressionHead(width), CellHead(width)

    def generate(self) -> None:
        """From now on generate hidden genes: no other token sees them, a flag stands in place of a value.

        The token of the cell then has the code that it has where cells are embedded, as in that training.
        """
        if self.values.flag is None:
            raise InputError(
                "objective is 'generative', and these weights came without flag_encoder.weight, which stands "
                "for genes to generate: import them again from a file that has it, or choose objective=masked"
            )
        self.generative = self.values.generative = True

    def gene_rows(self) -> Tensor:
        """Return the genes' part of their tokens (L, D), detached."""
        with torch.no_grad():
            return self.gene_norm(self.positions.weight[:-1])  # type: ignore[no-any-return]

    def embeddings(self) -> list[nn.Module]:
        """Return the embeddings that a finetuning of them trains."""
        return [self.values, self.positions, self.gene_norm]

    def codes(self, values: Tensor) -> Tensor:
        """Return the bins (B, L) of values (B, L), counts or their logarithms; <cls> keeps its own code."""
        n = self.config.n_genes
        bins, own = bin_values(values[:, :n], self.config.bins, self.seed), values[:, n:]
        return torch.cat([bins, torch.full_like(own, PAD_CODE) if self.generative else own], dim=1)

    def _genes(self, codes: Tensor) -> Tensor:
        codes = codes[:, : self.config.n_genes]
        most = self.config.max_length
        return codes > 0 if most is None else kept_genes(codes, most - 1, self.seed)

    def shown(self, codes: Tensor) -> Tensor:
        """Return which positions (B, L) the encoder sees: genes up to the length limit, and <cls>."""
        return F.pad(self._genes(codes), (0, 1), value=True)

    def maskable(self, codes: Tensor) -> Tensor:
        """Return which positions (B, L) may be hidden: all but the genes that the length limit left out."""
        genes = codes[:, : self.config.n_genes]
        return F.pad(self._genes(codes) | (genes <= 0), (0, 1), value=False)

    def as_released(self, codes: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is hidden and scored: what was drawn, or officially the token <cls> now and then too.

        The released masking draws it like a gene, as often, and its code, 0, is then to be predicted.
        """
        if self.config.compat != "official" or self.generative:
            return drawn, drawn
        at, real = pack(drawn)
        genes = self._genes(codes)
        share = (drawn[:, :-1] & genes).sum(1) / genes.sum(1).clamp(min=1)
        also = content_uniform(codes.gather(1, at), at, real, 0, _CLS)[:, 0] < share
        drawn = torch.cat([drawn[:, :-1], also.unsqueeze(1)], dim=1)
        return drawn, drawn

    def token_counts(self, lengths: np.ndarray) -> np.ndarray:
        """Return the tokens of cells (n,), which their lengths are already."""
        return lengths

    def join(self, genes: Tensor, values: Tensor) -> Tensor:
        """Return the tokens (T, D) of genes and their values."""
        return genes + values

    def embed_tokens(
        self, codes: Tensor, visible: Tensor, added: Tensor | None = None, hidden: Tensor | None = None
    ) -> Encoded:
        """Return the tokens that enter the first block: visible genes by their bins, hidden ones by -1."""
        present = visible if hidden is None else visible | hidden
        cell, at = present.nonzero(as_tuple=True)
        own = codes if hidden is None else codes.masked_fill(hidden, MASK_CODE)
        vectors = self.dropout(self.values.look_up(own[cell, at]))
        genes = self.gene_norm(self.positions(at))
        tokens = self.join(genes, vectors)
        if added is not None:
            tokens = tokens + added.index_select(0, cell)
        encoded = Encoded(tokens, cell, at, present.sum(1).tolist(), genes)
        if not self.generative or hidden is None:
            return encoded
        apart = hidden[cell, at]
        alone, seen = apart.nonzero()[:, 0], (~apart).nonzero()[:, 0]
        counts = hidden.sum(1).tolist(), (present & ~hidden).sum(1).tolist()
        split = Apart(alone, seen, torch.cat([seen, alone]).argsort(), *counts)
        return encoded._replace(split=split, entered=tokens)

    def through(self, encoded: Encoded, start: int = 0, stop: int | None = None) -> Encoded:
        """Send tokens through the blocks `start` to `stop`."""
        tokens = encoded.tokens
        for block in self.blocks[start:stop]:
            tokens = self._run(block, tokens, encoded.lengths, encoded.split)
        return encoded._replace(tokens=tokens)

    def _run(self, block: nn.Module, *inputs: Any) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return block(*inputs)  # type: ignore[no-any-return]

    def cells(self, encoded: Encoded) -> Tensor:
        """Return the token <cls> of each cell (B, D)."""
        return encoded.tokens.index_select(0, self._last(encoded))

    def _last(self, encoded: Encoded) -> Tensor:
        return torch.tensor(encoded.lengths, device=encoded.tokens.device).cumsum(0) - 1

    def pooled_parts(self, encoded: Encoded, values: Tensor) -> Callable[[str], Tensor]:
        """Return what gives a part of the cells' vectors (B, D) by its name."""

        def pooled(part: str) -> Tensor:
            if part == "cls":
                return self.cells(encoded)
            if part == "weighted":
                weights = self.codes(values).clamp(min=0)[encoded.cell, encoded.at].to(encoded.tokens.dtype)
                sums = encoded.tokens.new_zeros(len(values), 1 + encoded.tokens.shape[1])
                rows = torch.cat([weights[:, None], weights[:, None] * encoded.tokens], dim=1)
                sums = sums.index_add(0, encoded.cell, rows)
                return sums[:, 1:] / sums[:, :1].clamp(min=1e-6)
            per_cell = encoded.tokens.split(encoded.lengths)
            if part.startswith("gene-"):
                per_cell = tuple(one[:-1] for one in per_cell)
            over = torch.amax if part.endswith("max") else torch.mean
            empty = encoded.tokens.new_zeros(encoded.tokens.shape[1])
            return torch.stack([over(one, 0) if len(one) else empty for one in per_cell])

        return pooled

    def decode(
        self,
        encoded: Encoded,
        masked: Tensor,
        at: Tensor | None = None,
        added: Tensor | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Predict bins (B, L) or (B, Q): by a gene's token, or by gene and cell where there is none."""
        cells = self.cells(encoded)
        if at is None:
            predicted = self.by_cell(self.gene_norm(self.positions.weight[:-1]), cells)
            own = self.expression(self._moved(encoded.tokens, encoded.cell, added))
            return predicted.index_put((encoded.cell, encoded.at), own.to(predicted.dtype))
        place, found = self._places(encoded, at)
        cell = torch.arange(len(at), device=at.device).repeat_interleave(at.shape[1])
        own = self.expression(self._moved(encoded.tokens[place], cell, added)).unflatten(0, at.shape)
        if bool(found.all()):
            return own
        return torch.where(found, own, self.by_cell(self.gene_norm(self.positions(at)), cells))

    def _moved(self, tokens: Tensor, cell: Tensor, added: Tensor | None) -> Tensor:
        return tokens if added is None else tokens + added.index_select(0, cell)

    def _places(self, encoded: Encoded, at: Tensor) -> tuple[Tensor, Tensor]:
        """Return the token of each position (B Q,), and which positions (B, Q) have one."""
        n = self.config.n_positions
        keys = encoded.cell * n + encoded.at
        wanted = (torch.arange(len(at), device=at.device).unsqueeze(1) * n + at).flatten()
        place = torch.searchsorted(keys, wanted).clamp(max=max(0, len(keys) - 1))
        return place, (keys[place] == wanted).unflatten(0, at.shape)

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
        """Predict hidden bins; the loss is that of the tokens (GEP) and that of the cells (GEPC).

        Only hidden genes go through the heads. `error` and `squared` are those of the tokens. In generative
        training the tokens of a second pass count too, once `feedback_after` steps are done.
        """
        wanted, count = target.gather(1, at), whole(real.sum()).clamp(min=1)
        cell, _ = real.nonzero(as_tuple=True)
        place, _ = self._places(encoded, at)
        place = place.unflatten(0, at.shape)[real]
        tokens = self._moved(encoded.tokens.index_select(0, place), cell, added)
        own = wanted[real]
        predicted = full_precision(self.expression(tokens))
        squared = (predicted - own).square()
        error = squared.sum() / count
        matched = self.by_cell.matched(self.cells(encoded)).index_select(0, cell)
        assert encoded.genes is not None
        # looked up once, for a gradient of the whole vocabulary comes back from each look-up
        genes = encoded.genes.index_select(0, place)
        by_cell = full_precision((torch.sigmoid(self.by_cell.query(genes)) * matched).sum(-1))
        loss = error + (by_cell - own).square().sum() / count
        if encoded.entered is not None and torch.is_grad_enabled() and self.steps >= self.feedback_after:
            again = self._with_cells(encoded, encoded.entered).tokens.index_select(0, place)
            again = full_precision(self.expression(self._moved(again, cell, added)))
            loss = loss + (again - own).square().sum() / count
        empty = torch.zeros(at.shape, device=at.device)
        filled = (empty.masked_scatter(real, part.detach().float()) for part in (predicted, squared))
        return Scored(loss, error, *filled)

    def _with_cells(self, encoded: Encoded, entered: Tensor) -> Encoded:
        """Encode again with each cell's vector, without a gradient, in place of its token <cls>."""
        cells = self.cells(encoded).detach().to(entered.dtype)
        return self.through(encoded._replace(tokens=entered.index_copy(0, self._last(encoded), cells)))
