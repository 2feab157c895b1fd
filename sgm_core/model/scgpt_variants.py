"""scGPT as its code can be set up and no released file is: for a model that somebody trained with it.

Written from `scgpt.md` alone. A variant embeds values as classes or as factors, normalises the tokens that
enter the first block (a batch norm, or one for each batch of cells, its domain), knows the cells' batches in
its heads, predicts whether a value is above zero, asks the cell's vector in other ways, or names the batch
through a reversed gradient. `read_variant` builds one from its tensors, `integration_terms` are the losses of
its training. `sgm weights import` refuses such a file: its batches are those of the cells that it was trained
on, and no other cell, no new donor's, has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.model.attention import Apart, EncoderBlock, attend
from sgm_core.model.head import DeepHead
from sgm_core.model.interface import BackboneConfig, Encoded
from sgm_core.model.scgpt import PAD_CODE, CellHead, ExpressionHead, ScGPT
from sgm_core.model.scgpt_losses import reverse_gradient

_EPS = 6.1e-5  # of the batch norms
_QUERY = 64  # width of the hidden layer that reads a cell and a gene


@dataclass(frozen=True)
class Variant:
    """What of scGPT's code a model has.

    Parameters
    ----------
    values : "continuous" as released; "category", a vector of each bin; "scaling", the gene's times the bin
    norm : of the tokens that enter the first block: "none" as released, "batch", or "domain"
    batches : number of batches of cells that the heads know, or the norm has; 0 = none
    zero_chance : whether the heads also predict the chance that a value is above zero
    query : how a gene asks the cell's vector: "product" as released, "concat", "sum", or "none"
    adversary : number of batches that are named through a reversed gradient; 0 = none
    pre_norm : the form that exists with flash attention alone, and leaves no trace in the tensors
    """

    values: str = "continuous"
    norm: str = "none"
    batches: int = 0
    zero_chance: bool = False
    query: str = "product"
    adversary: int = 0
    pre_norm: bool = False


class Outputs(NamedTuple):
    """What a variant says of a batch: by token (T,), packed as `encoded`, or by cell.

    `own` and `chance` are a token's bin and its chance to be above zero, `by_cell` and `chance_by_cell` the
    same from the cell's vector, `cells` (B, D), and `batches` (B, batches) logits; None = it has none.
    """

    encoded: Encoded
    cells: Tensor
    own: Tensor
    chance: Tensor | None
    by_cell: Tensor | None
    chance_by_cell: Tensor | None
    batches: Tensor | None


class Classes(nn.Module):
    """The vector of a bin as that of a class: ``LN(row)``; hidden genes and padding are class 0."""

    def __init__(self, bins: int, width: int) -> None:
        super().__init__()
        self.rows, self.norm = nn.Embedding(bins, width), nn.LayerNorm(width)

    def look_up(self, codes: Tensor) -> Tensor:
        """Map codes (...) to vectors (..., D)."""
        return self.norm(self.rows(codes.clamp(min=0).long()))  # type: ignore[no-any-return]


class Factors(nn.Module):
    """A bin as the number that a gene's vector is multiplied by; hidden genes and padding are 0."""

    def look_up(self, codes: Tensor) -> Tensor:
        """Map codes (...) to factors (..., 1)."""
        return codes.clamp(min=0).unsqueeze(-1)


class TokenNorm(nn.Module):
    """Batch norms of tokens, one or one of each domain.

    By default a cell is normalised by its own domain, and padding counts nowhere. The released code
    (`official`) takes the domain of the batch's first cell for all, and the padding into the statistics.
    """

    def __init__(self, width: int, domains: int, official: bool) -> None:
        super().__init__()
        self.official = official
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width, eps=_EPS, affine=not domains) for _ in range(max(1, domains))
        )

    def forward(self, encoded: Encoded, padding: Tensor, domain: Tensor) -> Tensor:
        """Normalise tokens (T, D) of cells of a `domain` (B,); `padding` (D,) is what padding enters as."""
        tokens = encoded.tokens
        if self.official:
            places = len(encoded.lengths) * max(encoded.lengths)
            with_padding = torch.cat([tokens, padding.expand(places - len(tokens), -1)])
            return self.norms[int(domain[0])](with_padding)[: len(tokens)]  # type: ignore[no-any-return]
        normed, own = torch.empty_like(tokens), domain[encoded.cell]
        for one in own.unique().tolist():
            at = (own == one).nonzero()[:, 0]
            normed = normed.index_copy(0, at, self.norms[one](tokens[at]))
        return normed


class PreNormBlock(EncoderBlock):
    """``x = LN(x); x = x + MHA(x); x = LN(x); x = x + W2 relu(W1 x)``: what is normalised goes on, too."""

    def forward(self, x: Tensor, lengths: Sequence[int], split: Apart | None = None) -> Tensor:
        """Map the tokens (T, D) of cells of these `lengths` to (T, D)."""
        assert split is None, "nothing is generated in this form"
        x = self.norm1(x)
        attended = attend(self.qkv(x).unflatten(-1, (3, self.heads, -1)), lengths).flatten(1)
        x = self.norm2(x + self.dropout(self.out(attended)))
        return x + self.dropout(self.ff2(self.dropout(F.relu(self.ff1(x)))))


class QueryHead(nn.Module):
    """The bin of a gene by a hidden layer over its query and the cell's vector, side by side or their sum."""

    def __init__(self, width: int, concat: bool) -> None:
        super().__init__()
        self.concat = concat
        self.query = nn.Linear(width, _QUERY if concat else width)
        self.fc1, self.slope = nn.Linear(width + _QUERY * concat, _QUERY), nn.PReLU()
        self.fc2 = nn.Linear(_QUERY, 1)

    def forward(self, genes: Tensor, cells: Tensor) -> Tensor:
        """Map genes' rows and their cells' vectors (T, D) to bins (T,)."""
        asked = torch.sigmoid(self.query(genes))
        both = torch.cat([cells, asked], dim=1) if self.concat else cells + asked
        return self.fc2(self.slope(self.fc1(both))).squeeze(-1)  # type: ignore[no-any-return]


class ScGPTVariant(ScGPT):
    """A variant of scGPT.

    Parameters
    ----------
    config : its shape, of the kind "scgpt"; `compat` "official" for the released code's token norm
    variant : what it has
    """

    def __init__(self, config: BackboneConfig, variant: Variant) -> None:
        super().__init__(config)
        self.variant, width = variant, config.width
        if variant.values != "continuous":
            own = Classes(config.bins, width) if variant.values == "category" else Factors()
            self.values = own  # type: ignore[assignment]
        self.token_norm: TokenNorm | None = None
        if variant.norm != "none":
            domains = variant.batches if variant.norm == "domain" else 0
            self.token_norm = TokenNorm(width, domains, config.compat == "official")
        if variant.pre_norm:
            self.blocks = nn.ModuleList(
                PreNormBlock(width, config.heads, config.ff, config.dropout) for _ in range(config.depth)
            )
        both = width * (2 if variant.batches else 1)
        self.batches = nn.Embedding(variant.batches, width) if variant.batches else None
        self.batch_norm = nn.LayerNorm(width) if variant.batches else None
        self.expression = ExpressionHead(width, both)
        self.zero = ExpressionHead(width, both) if variant.zero_chance else None
        self.by_cell: Any = None
        self.zero_by_cell: nn.Linear | None = None
        if variant.query == "product":
            self.by_cell = CellHead(width, both)
            self.zero_by_cell = nn.Linear(width, both) if variant.zero_chance else None
        elif variant.query != "none":
            self.by_cell = QueryHead(width, variant.query == "concat")
        self.adversary = DeepHead(width, variant.adversary, 3, F.leaky_relu) if variant.adversary else None

    def join(self, genes: Tensor, values: Tensor) -> Tensor:
        """Return the tokens (T, D) of genes and their values."""
        return genes * values if self.variant.values == "scaling" else super().join(genes, values)

    def outputs(
        self, codes: Tensor, visible: Tensor, hidden: Tensor | None = None, batch: Tensor | None = None
    ) -> Outputs:
        """Encode cells and predict the bin of every token.

        Parameters
        ----------
        codes, visible, hidden : see `CellBackbone.encode`
        batch : (B,) number of each cell's batch, for a variant that knows them
        """
        if batch is None:
            batch = torch.zeros(len(codes), dtype=torch.long, device=codes.device)
        entered = self.embed_tokens(codes, visible, None, hidden)
        if self.token_norm is not None:
            padding = self.join(self.gene_norm(self.positions.weight[-1:]), self._padding(codes))
            domain = batch if self.variant.norm == "domain" else torch.zeros_like(batch)
            entered = entered._replace(tokens=self.token_norm(entered, padding[0], domain))
        encoded = self.through(entered)
        cells, tokens = self.cells(encoded), encoded.tokens
        asked = cells
        if self.batches is not None and self.batch_norm is not None:
            known = self.batch_norm(self.batches(batch))
            tokens = torch.cat([tokens, known[encoded.cell]], dim=1)
            asked = torch.cat([cells, known], dim=1)
        chance = None if self.zero is None else torch.sigmoid(self.zero(tokens))
        predicted, chance_by_cell = self._by_cell(encoded, asked)
        named = None if self.adversary is None else self.adversary(reverse_gradient(cells))
        return Outputs(encoded, cells, self.expression(tokens), chance, predicted, chance_by_cell, named)

    def _padding(self, codes: Tensor) -> Tensor:
        return self.values.look_up(codes.new_full((1,), PAD_CODE))

    def _by_cell(self, encoded: Encoded, asked: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return what the cells' vectors (B, D or 2 D) say of every token's gene: bins and chances (T,)."""
        genes = encoded.genes
        assert genes is not None
        if not isinstance(self.by_cell, CellHead):
            return None if self.by_cell is None else self.by_cell(genes, asked[encoded.cell]), None
        query = torch.sigmoid(self.by_cell.query(genes))
        predicted = (query * self.by_cell.matched(asked)[encoded.cell]).sum(-1)
        if self.zero_by_cell is None:
            return predicted, None
        return predicted, torch.sigmoid((self.zero_by_cell(query) * asked[encoded.cell]).sum(-1))
