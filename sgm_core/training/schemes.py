"""What a finetuning scheme trains, and the loop that does it."""

import time
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgm_core.device import autocast
from sgm_core.errors import InputError
from sgm_core.model.backbone import Backbone
from sgm_core.model.head import Head
from sgm_core.model.padded import pool_padded, through_padded
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.data import Values, ahead, batches, group_size, to_device, token_batches
from sgm_core.training.prefix import Entered, Prefix, Store, as_padded, stored, unpack
from sgm_core.training.schedule import schedule
from sgm_core.training.stopping import EarlyStopping

FLAT_BELOW = 50
"""The imbalance up to which the authors' class weights are equal."""


@dataclass(frozen=True)
class Scheme:
    """What is trained beside the head.

    Parameters
    ----------
    block : number of the trained block
    embeddings : the token and position embeddings too, so that nothing can be kept
    genes_only : T and S are left out
    pool : parts of the pooled vector, None = the backbone's own
    """

    block: int
    embeddings: bool = False
    genes_only: bool = False
    pool: tuple[str, ...] | None = None

    def modules(self, backbone: Backbone) -> list[nn.Module]:
        """Return the trained modules; the encoder's final norm is never one."""
        parts: list[nn.Module] = [backbone.values, backbone.positions] if self.embeddings else []
        return [*parts, backbone.blocks[self.block]]


def scheme(name: str, backbone: Backbone, block: str = "last") -> Scheme:
    """Return what the scheme `name` trains of a backbone.

    ``partial`` is the paper's: embeddings and last block. ``last-block`` leaves the embeddings. ``official``
    is what scFoundation's own code does: the second-to-last block, on the genes alone, pooled by the maximum.
    The two others train the second-to-last block too where `block` says so.

    Raises
    ------
    InputError
        If the backbone has no second-to-last block.
    """
    depth = len(backbone.blocks)
    if name == "official":
        if depth < 2:
            raise InputError(
                "the scheme 'official' trains the second-to-last block, and this backbone has one block: "
                "choose last-block or partial"
            )
        return Scheme(depth - 2, genes_only=True, pool=("max",))
    if name not in ("partial", "last-block"):
        raise InputError(f"scheme {name!r} trains no block: choose partial, last-block or official")
    if block == "second-to-last" and depth < 2:
        raise InputError(
            "trained_block is 'second-to-last', and this backbone has one block: choose a backbone of two "
            "blocks or more, or trained_block=last"
        )
    return Scheme(depth - (2 if block == "second-to-last" else 1), embeddings=name == "partial")


def class_weights(codes: np.ndarray, n_classes: int, rule: str = "sqrt") -> Tensor:
    """Return loss weights (C,) of mean one over the cells.

    Parameters
    ----------
    codes : (n,) class numbers of the training cells
    n_classes : number of classes C
    rule : ``sqrt``: square root of the inverse class frequency; ``authors``: the inverse frequency of classes
        over 50 times rarer than the most frequent one, the same for all others (method.md, section 2)
    """
    counts = np.bincount(codes, minlength=n_classes).clip(min=1)
    rarity = counts.max() / counts
    weights = np.sqrt(rarity) if rule == "sqrt" else np.maximum(rarity, FLAT_BELOW)
    return torch.tensor(weights / (weights[codes].mean()), dtype=torch.float32)


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
        keep_summary = config.keep_summary and config.scheme != "official"
        # with trained embeddings nothing before the block is frozen
        stop = 0 if self.scheme.embeddings else self.scheme.block
        self.prefix = Prefix(
            model, values, stop, keep_summary, self.scheme.genes_only, self.padded, config.precision
        )
        torch.manual_seed(config.seed)
        width = backbone.config.width * len(self.scheme.pool or backbone.config.pool)
        # the released classifier's head has no dropout
        dropout = 0.0 if config.scheme == "official" else config.dropout
        self.head = Head(width, n_classes, config.head_hidden, dropout).to(values.device)
        model.requires_grad_(False)
        for module in self.scheme.modules(backbone):
            module.requires_grad_(True)

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained."""
        trained = [p for module in self.scheme.modules(self.model.backbone) for p in module.parameters()]
        return [*trained, *self.head.parameters()]

    def train(self, on: bool) -> None:
        """Switch dropout and batch statistics on or off; what is frozen never has dropout."""
        self.model.eval()
        for module in self.scheme.modules(self.model.backbone):
            module.train(on)
        self.head.train(on)

    def entered(self, rows: np.ndarray, store: Store | None) -> tuple[Tensor, Entered | None]:
        """Return the values (B, L) of cells, and what is kept of them."""
        x = self.values.batch(rows)
        if store is None:
            return x, None
        tokens, padding = store.read(rows)
        visible = self.model.backbone.shown(x)
        if self.scheme.genes_only:
            visible[:, self.model.backbone.config.n_genes :] = False
        moved = None if padding is None else to_device(padding, x.device).float()
        return x, Entered(unpack(to_device(tokens, x.device), visible), moved)

    def logits(self, x: Tensor, entered: Entered | None = None) -> Tensor:
        """Classify the cells of the values `x` (B, L): logits (B, C), float32."""
        backbone = self.model.backbone
        if entered is None:
            with torch.set_grad_enabled(self.scheme.embeddings and torch.is_grad_enabled()):
                entered = self.prefix.compute(x)
        with autocast(x.device, self.config.precision):
            if self.padded:
                padded = through_padded(backbone, as_padded(entered), self.prefix.stop)
                pooled = pool_padded(padded)
            else:
                encoded = backbone.through(entered.encoded, self.prefix.stop)
                pooled = backbone.pool(encoded, x, self.scheme.pool)
            return self.head(pooled).float()  # type: ignore[no-any-return]

    def batches(self, rows: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        """Return the batches of an epoch in random order, or those of the test cells."""
        size, lengths = self.config.batch_size, self.values.lengths
        if rng is None and not self.padded:
            return list(token_batches(rows, lengths, 128))
        return list(batches(rows, lengths, size, rng))  # padded: the cells beside it are part of a prediction


def train_classifier(
    model: MaskedModel,
    values: Values,
    train: np.ndarray,
    codes: np.ndarray,
    test: np.ndarray,
    n_classes: int,
    config: FinetuneConfig,
    observer: Observer | None = None,
    held: np.ndarray | None = None,
    **where: object,
) -> np.ndarray:
    """Train what ``config.scheme`` trains, and the head; classify the test cells.

    Parameters
    ----------
    model : changed in place
    values : the dataset's normalised values
    train, test : row numbers; `codes` (len(train),) are the class numbers of `train`
    held : (len(train),) bool, the cells of `train` that early stopping watches instead of training on them
    where : arm and fold, for the metrics

    Returns
    -------
    Class probabilities (len(test), C).

    Raises
    ------
    InputError
        If the backbone is too shallow for the scheme, or the disk too small for what is kept.
    """
    observer = observer or Observer()
    device = values.device
    classifier = Classifier(model, values, n_classes, config)
    parameters = classifier.parameters()
    optimiser = torch.optim.Adam(
        parameters, config.lr, weight_decay=config.weight_decay, amsgrad=config.amsgrad
    )
    code_of = np.zeros(len(values.lengths), np.int64)
    code_of[train] = codes
    watched = train[:0] if held is None else train[held]
    stopping = None
    if len(watched):
        stopping = EarlyStopping(
            config.patience or 1, [*classifier.scheme.modules(model.backbone), classifier.head]
        )
        train = train[~np.isin(train, watched)]
    weights = None
    if config.class_weights:
        weights = class_weights(code_of[train], n_classes, config.class_weighting).to(device)
    rng = np.random.default_rng([config.seed, 1])
    updates = config.epochs * -(-len(train) // (config.batch_size * config.accumulation))
    update = 0
    with ExitStack() as stack:
        store = None
        if config.cache and not classifier.scheme.embeddings:
            everyone = np.concatenate([train, watched, test])
            store = stack.enter_context(stored(classifier.prefix, everyone, observer))

        def make(rows: np.ndarray) -> tuple[Tensor, Entered | None]:
            return classifier.entered(rows, store)

        @torch.no_grad()
        def classify(rows: np.ndarray) -> Tensor:
            """Return the logits (n, C) of cells, on the CPU."""
            classifier.train(False)
            logits = torch.empty(len(rows), n_classes)
            place = np.empty(len(values.lengths), np.int64)
            place[rows] = np.arange(len(rows))
            order = classifier.batches(rows, None)
            for batch, inputs in zip(order, ahead(make, order, device), strict=True):
                observer.check()
                logits[place[batch]] = classifier.logits(*inputs).cpu()
            return logits

        for epoch in range(config.epochs):
            classifier.train(True)
            started, total, last_said = time.perf_counter(), torch.zeros((), device=device), 0.0
            order = classifier.batches(train, rng)
            for number, (rows, inputs) in enumerate(zip(order, ahead(make, order, device), strict=True)):
                observer.check()
                known = to_device(torch.from_numpy(code_of[rows]), device)
                each = F.cross_entropy(classifier.logits(*inputs), known, weights, reduction="none")
                loss = each.mean()  # not over the sum of weights: in a batch of one cell they would cancel
                (loss / group_size(number, len(order), config.accumulation)).backward()
                total += loss.detach() * len(rows)
                if (number + 1) % config.accumulation == 0 or number + 1 == len(order):
                    if config.clip:
                        torch.nn.utils.clip_grad_norm_(parameters, config.clip)
                    for group in optimiser.param_groups:
                        group["lr"] = config.lr * schedule(config.schedule, update, updates)
                    optimiser.step()
                    optimiser.zero_grad(set_to_none=True)
                    update += 1
                if time.perf_counter() - last_said > 0.5:
                    last_said = time.perf_counter()
                    done = epoch + (number + 1) / len(order)
                    observer.progress(done, config.epochs, f"finetuning, epoch {epoch + 1}")
            row = {"epoch": epoch + 1, "train_loss": float(total) / len(train)}
            row["cells_per_s"] = len(train) / (time.perf_counter() - started)
            ends = False
            if stopping is not None:
                known = torch.from_numpy(code_of[watched])
                each = F.cross_entropy(
                    classify(watched), known, weights.cpu() if weights is not None else None, reduction="none"
                )
                row["validation_loss"] = float(each.mean())
                ends = stopping.ends(row["validation_loss"])
            observer.metric(phase="finetune", scheme=config.scheme, **row, **where)
            if ends:
                observer.message(f"stopped after epoch {epoch + 1}: no improvement on the validation donors")
                break
        if stopping is not None:
            stopping.restore()
        return classify(test).softmax(1).numpy()  # type: ignore[no-any-return]
