"""What a finetuning scheme trains of a model."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sgm_core.device import autocast
from sgm_core.errors import InputError
from sgm_core.model.head import DeepHead, Head, LinearHead, PositionsHead
from sgm_core.model.interface import CellBackbone
from sgm_core.model.padded import pool_padded, through_padded
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.model.scbert import ScBERT
from sgm_core.model.scgpt import ScGPT
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.data import Values, batches, to_device, token_batches
from sgm_core.training.prefix import Entered, Prefix, Store, as_padded


@dataclass(frozen=True)
class Scheme:
    """What is trained beside the head.

    Parameters
    ----------
    block : number of the trained block
    embeddings : the token and position embeddings too, so that nothing can be kept
    genes_only : T and S are left out
    pool : parts of the pooled vector, None = the backbone's own
    all_after : all blocks after it, too
    norm : the encoder's final norm, too, which is otherwise left alone
    head : the released classifier's own: ``deep`` on the vector, ``positions`` on every position; "" = ours
    """

    block: int
    embeddings: bool = False
    genes_only: bool = False
    pool: tuple[str, ...] | None = None
    all_after: bool = False
    norm: bool = False
    head: str = ""

    def modules(self, backbone: CellBackbone) -> list[nn.Module]:
        """Return the trained modules."""
        parts = backbone.embeddings() if self.embeddings else []
        stop = len(backbone.blocks) if self.all_after else self.block + 1
        norm = [backbone.norm] if self.norm and isinstance(backbone, ScBERT) else []
        return [*parts, *backbone.blocks[self.block : stop], *norm]


def scheme(name: str, backbone: CellBackbone, block: str = "last") -> Scheme:
    """Return what the scheme `name` trains of a backbone.

    ``partial`` is the paper's: embeddings and last block. ``last-block`` leaves the embeddings. ``official``
    is what the model's own code does. scFoundation: the second-to-last block, on the genes alone, pooled by
    the maximum. scGPT: everything, and a deep head on the cell's token. scBERT: the second-to-last block, the
    final norm and a head on every position. The two others train the second-to-last block where `block` says.

    Raises
    ------
    InputError
        If the backbone has no second-to-last block.
    """
    depth = len(backbone.blocks)
    if name == "official" and isinstance(backbone, ScGPT):
        return Scheme(0, embeddings=True, pool=("cls",), all_after=True, head="deep")
    if name == "official":
        if depth < 2:
            raise InputError(
                "the scheme 'official' trains the second-to-last block, and this backbone has one block: "
                "choose last-block or partial"
            )
        if isinstance(backbone, ScBERT):
            return Scheme(depth - 2, norm=True, head="positions")
        return Scheme(depth - 2, genes_only=True, pool=("max",))
    if name not in ("partial", "last-block"):
        raise InputError(f"scheme {name!r} trains no block: choose partial, last-block or official")
    if block == "second-to-last" and depth < 2:
        raise InputError(
            "trained_block is 'second-to-last', and this backbone has one block: choose a backbone of two "
            "blocks or more, or trained_block=last"
        )
    return Scheme(depth - (2 if block == "second-to-last" else 1), embeddings=name == "partial")


class Classifier:
    """A model and a head of which a scheme trains a part.

    Parameters
    ----------
    model : changed in place; what the scheme leaves alone is frozen
    values : what it reads
    n_classes : number of cell types C
    config : the scheme and every other choice
    """

    def __init__(self, model: MaskedModel, values: Values, n_classes: int, config: FinetuneConfig) -> None:
        self.model, self.values, self.config = model, values, config
        backbone = model.backbone
        self.scheme = scheme(config.scheme, backbone, config.trained_block)
        self.padded = config.compat == "official"
        if self.padded and backbone.config.cell_token:
            raise InputError(
                "compat=official of a finetuning is scFoundation's padded pooling, which this backbone has "
                "not: leave compat at corrected"
            )
        keep_summary = config.keep_summary and config.scheme != "official"
        # with trained embeddings nothing before the block is frozen
        stop = 0 if self.scheme.embeddings else self.scheme.block
        self.prefix = Prefix(
            model, values, stop, keep_summary, self.scheme.genes_only, self.padded, config.precision
        )
        torch.manual_seed(config.seed)
        width = backbone.config.width_of(self.scheme.pool or backbone.config.pool)
        # the released classifier's head has no dropout
        dropout = 0.0 if config.scheme == "official" else config.dropout
        self.head: Head | LinearHead | DeepHead | PositionsHead
        if self.scheme.head == "deep":
            self.head = DeepHead(width, n_classes)
        elif self.scheme.head == "positions":
            self.head = PositionsHead(backbone.config.n_positions, backbone.config.width, n_classes)
        elif config.head == "mlp":
            self.head = Head(width, n_classes, config.head_hidden, dropout)
        else:
            self.head = LinearHead(torch.zeros(width), torch.ones(width), n_classes, dropout)
        self.head.to(values.device)
        model.requires_grad_(False)
        for module in self.scheme.modules(backbone):
            module.requires_grad_(True)

    def modules(self) -> list[nn.Module]:
        """Return what is trained."""
        return [*self.scheme.modules(self.model.backbone), self.head]

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of what is trained."""
        return [p for module in self.modules() for p in module.parameters()]

    def train(self, on: bool) -> None:
        """Switch dropout and batch statistics on or off; what is frozen never has dropout."""
        self.model.eval()
        for module in self.modules():
            module.train(on)

    def entered(self, rows: np.ndarray, store: Store | None) -> tuple[Tensor, Entered | None]:
        """Return the values (B, L) of cells, and what is kept of them."""
        x = self.values.batch(rows)
        if store is None:
            return x, None
        tokens, padding = store.read(rows)
        visible = self.model.backbone.shown(self.model.backbone.codes(x))
        if self.scheme.genes_only:
            visible[:, self.model.backbone.config.n_genes :] = False
        moved = None if padding is None else to_device(padding, x.device).float()
        return x, Entered(self.model.backbone.packed(to_device(tokens, x.device), visible), moved)

    def logits(self, x: Tensor, entered: Entered | None = None) -> Tensor:
        """Classify the cells of the values `x` (B, L): logits (B, C), float32."""
        pooled = self.pooled(x, entered)
        with autocast(x.device, self.config.precision):
            return self.head(pooled).float()  # type: ignore[no-any-return]

    def pooled(self, x: Tensor, entered: Entered | None = None) -> Tensor:
        """Return what the head reads of the cells of the values `x` (B, L): (B, P), or (B, L, D)."""
        backbone = self.model.backbone
        if entered is None:
            with torch.set_grad_enabled(self.scheme.embeddings and torch.is_grad_enabled()):
                entered = self.prefix.compute(x)
        with autocast(x.device, self.config.precision):
            if self.padded:
                padded = through_padded(backbone, as_padded(entered), self.prefix.stop)
                return pool_padded(padded)
            encoded = backbone.through(entered.encoded, self.prefix.stop)
            if self.scheme.head == "positions":
                return encoded.tokens.unflatten(0, (len(x), -1))
            return backbone.pool(encoded, x, self.scheme.pool)

    def batches(self, rows: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        """Return the batches of an epoch in random order, or those of cells to classify."""
        size, lengths = self.config.batch_size, self.values.lengths
        if rng is None and not self.padded:
            return list(token_batches(rows, lengths, 128))
        return list(batches(rows, lengths, size, rng))  # padded: the cells beside it are part of a prediction
