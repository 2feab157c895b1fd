"""Training a part of a model and a head to name cell types."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sgm_core.model.head import LinearHead
from sgm_core.model.parts import cells as cells_of_batch
from sgm_core.model.parts import idle, whole_mean
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.saved.keeper import Keeper
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.data import Values, ahead, to_device
from sgm_core.training.logistic import Linear, Scale, choose_logistic, scale_of
from sgm_core.training.loop import Loop, Task, who_asks
from sgm_core.training.prefix import Entered, Store, stored
from sgm_core.training.schemes import Classifier
from sgm_core.training.train_cells import TrainCells
from sgm_core.training.validation import validation_score
from sgm_core.world import world

FLAT_BELOW = 50
"""The imbalance up to which the authors' class weights are equal."""


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


def class_loss(logits: Tensor, codes: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over cells of the weighted cross-entropy.

    Not over the sum of the weights, as torch has it: in a batch of one cell they would cancel.

    Parameters
    ----------
    logits : (B, C)
    codes : (B,) class numbers
    weights : (C,), None = 1
    """
    return whole_mean(F.cross_entropy(logits, codes, weights, reduction="none"))


def chosen_epoch(loop: Loop[Any]) -> str:
    """Say which epoch's weights a finished training has."""
    if loop.best is not None and loop.best.score is not None:
        return f"epoch {loop.best.epoch}" if loop.best.epoch else "no epoch: the linear probe it started from"
    return f"epoch {loop.epoch}, the last: no validation cells"


class _Batch(NamedTuple):
    rows: np.ndarray
    x: Tensor
    entered: Entered | None


class Finetuning(Task[_Batch]):
    """A classifier's training as a task of the loop.

    Parameters
    ----------
    classifier : what is trained, and of what
    cells : the cells that each epoch trains on
    codes : class number of each of ``cells.rows``
    validation, validation_codes : row and class numbers of the validation cells, which choose the epoch
    store : what is kept of the cells, None = nothing
    observer : is told the metrics of each epoch
    where : arm and fold, for the metrics
    """

    phase, rates = "finetuning", "lr"

    def __init__(
        self,
        classifier: Classifier,
        cells: TrainCells,
        codes: np.ndarray,
        validation: np.ndarray,
        validation_codes: np.ndarray,
        store: Store | None,
        observer: Observer,
        where: dict[str, object],
    ) -> None:
        self.classifier, self.config, self.store = classifier, classifier.config, store
        self.cells, self.validation, self.validation_codes = cells, validation, validation_codes
        self.observer = observer
        self.facts = {"phase": "finetune", "scheme": self.config.scheme, **where}
        self.values = classifier.values
        self.device, self.modules = self.values.device, classifier.modules()
        self.n_batches = -(-cells.size // self.config.batch_size)
        self._codes = np.zeros(len(self.values.lengths), np.int64)
        self._codes[cells.rows] = codes
        n_classes = classifier.head.output.out_features
        self._weights: Tensor | None = None
        if self.config.class_weights:
            drawn = self._codes[cells.epoch(0)]  # every epoch has as many of a class
            self._weights = class_weights(drawn, n_classes, self.config.class_weighting).to(self.device)
        self.order: np.random.Generator = np.random.default_rng([self.config.seed, 1])
        self._total = torch.zeros((), device=self.device)

    def groups(self) -> list[dict[str, Any]]:
        """Return the one group."""
        return [{"params": self.classifier.parameters(), "lr": self.config.lr}]

    def start_epoch(self, epoch: int) -> list[np.ndarray]:
        """Return cells of similar length, in random order."""
        self.classifier.train(True)
        self._total.zero_()
        return self.classifier.batches(self.cells.epoch(epoch), self.order)

    def make(self, epoch: int, rows: np.ndarray) -> _Batch:
        """Read the cells of a batch, or this process's part of it, and what is kept of them."""
        return self._read(world().part(rows))

    def _read(self, rows: np.ndarray) -> _Batch:
        return _Batch(rows, *self.classifier.entered(rows, self.store))

    def loss(self, batch: _Batch) -> Tensor:
        """Return the weighted cross-entropy."""
        known = to_device(torch.from_numpy(self._codes[batch.rows]), self.device)
        loss = class_loss(self.classifier.logits(batch.x, batch.entered), known, self._weights)
        if not idle():
            self._total += loss.detach() * cells_of_batch(len(batch.rows))
        return loss

    def counted(self) -> list[Tensor]:
        """Return the loss of the epoch."""
        return [self._total]

    def end_epoch(self, epoch: int, seconds: float) -> tuple[float, float] | None:
        """Score and report the epoch."""
        n_cells = self.cells.size
        row: dict[str, float] = {"epoch": epoch + 1, "step": (epoch + 1) * self.n_batches}
        row["train_loss"] = float(self._total) / n_cells
        row["cells_per_s"] = n_cells / seconds
        score = None
        if len(self.validation):
            score = validation_score(self.validation_codes, self.classify(self.validation))
            row |= {"validation_f1": score[0], "validation_loss": -score[1]}
        self.observer.metric(**self.facts, **row)
        return score

    def probe(self, scaled_by: np.ndarray) -> tuple[Scale, Linear]:
        """Return the scale of the cells `scaled_by` and logistic regression on the training cells."""
        # every training cell once, or those of the first epoch's draw
        rows = np.unique(self.cells.epoch(0))
        scale = scale_of(self._of_cells(scaled_by, self.classifier.pooled))
        train, chosen_by = (
            scale.apply(self._of_cells(part, self.classifier.pooled)) for part in (rows, self.validation)
        )
        codes, seed = self._codes[rows], self.config.seed
        return scale, choose_logistic(train, codes, chosen_by, self.validation_codes, seed)

    def start_from_probe(self, scale: Scale, fitted: Linear) -> None:
        """Give the linear head a scale and the weights of logistic regression."""
        head = self.classifier.head
        assert isinstance(head, LinearHead)
        with torch.no_grad():
            for into, new in (
                (head.mean, scale.mean),
                (head.spread, scale.spread),
                (head.output.weight, fitted.weight),
                (head.output.bias, fitted.bias),
            ):
                into.copy_(torch.from_numpy(new))

    def classify(self, rows: np.ndarray) -> np.ndarray:
        """Return the class probabilities (n, C) of cells."""
        logits = torch.from_numpy(self._of_cells(rows, self.classifier.logits))
        return logits.softmax(1).numpy()  # type: ignore[no-any-return]

    @torch.no_grad()
    def _of_cells(self, rows: np.ndarray, function: Callable[[Tensor, Entered | None], Tensor]) -> np.ndarray:
        """Return what `function` says of cells (n, ...), without dropout, float32.

        Processes that train together each ask it of some of the batches, and all have the same answer.
        """
        self.classifier.train(False)
        output = self.classifier.head.output
        width = output.out_features if function == self.classifier.logits else output.in_features
        made = np.zeros((len(rows), width), np.float32)
        place = np.empty(len(self.values.lengths), np.int64)
        place[rows] = np.arange(len(rows))
        asked = who_asks(self.observer)
        for batch in ahead(self._read, world().deal(self.classifier.batches(rows, None)), self.device):
            asked.check()
            made[place[batch.rows]] = function(batch.x, batch.entered).float().cpu().numpy()
        world().sum(torch.from_numpy(made))
        return made

    def cell_names(self, rows: np.ndarray) -> list[str]:
        """Return the names of cells."""
        return self.values.cell_names(rows)

    def within_epoch(self) -> dict[str, Any]:
        """Return the loss of the epoch under way."""
        return {"total": self._total}

    def go_on_within(self, state: dict[str, Any]) -> None:
        """Go back to what `within_epoch` returned."""
        self._total.copy_(state["total"])


def train_classifier(
    model: MaskedModel,
    values: Values,
    cells: TrainCells,
    codes: np.ndarray,
    validation: np.ndarray,
    validation_codes: np.ndarray,
    test: np.ndarray,
    n_classes: int,
    config: FinetuneConfig,
    observer: Observer | None = None,
    scaled_by: np.ndarray | None = None,
    start: tuple[Scale, Linear] | None = None,
    keeper: Keeper | None = None,
    **where: object,
) -> tuple[np.ndarray, str]:
    """Train what ``config.scheme`` trains, and the head; classify the test cells.

    The weights are those of the epoch with the best `validation_score`; ``config.patience`` ends the training
    early. Without validation cells, the last epoch's are kept. A linear head starts from logistic regression
    on the frozen model, which counts as epoch 0: first probing, then finetuning keeps what the model knows
    (Kumar et al. 2022, arXiv:2202.10054).

    Parameters
    ----------
    model : changed in place
    values : the dataset's normalised values
    cells : the cells that each epoch trains on
    codes : class number of each of ``cells.rows`` (n,)
    validation, validation_codes : row and class numbers of the validation cells, which never train
    test : row numbers of the test cells (m,)
    n_classes : number of classes C
    config : the scheme and every other choice
    observer : is told the metrics of each epoch
    scaled_by : row numbers of the cells that give a linear head's scale, by default the training cells
    start : scale and probe that a linear head starts from, by default made of the frozen model's vectors
    keeper : keeps the training's state, from which it goes on; None = nothing is kept
    where : arm and fold, for the metrics

    Returns
    -------
    tuple
        Class probabilities (m, C), and what the validation cells chose, in words.

    Raises
    ------
    InputError
        If the backbone is too shallow for the scheme, or the disk too small for what is kept.
    TrainingError
        If a loss or a weight is not a finite number.
    """
    observer = observer or Observer()
    scaled_by = cells.epoch(0) if scaled_by is None else scaled_by
    classifier = Classifier(model, values, n_classes, config)
    with ExitStack() as stack:
        store = None
        if config.cache and not classifier.scheme.embeddings:
            everyone = np.unique(np.concatenate([cells.over(config.epochs), validation, test, scaled_by]))
            store = stack.enter_context(stored(classifier.prefix, everyone, observer))
        task = Finetuning(classifier, cells, codes, validation, validation_codes, store, observer, where)
        loop = Loop(task, config, observer, keeper=keeper)
        if isinstance(classifier.head, LinearHead):
            task.start_from_probe(*(start or task.probe(scaled_by)))
            if len(validation) and loop.best is not None:
                loop.best.ends(validation_score(validation_codes, task.classify(validation)), 0)
        loop.run()
        return task.classify(test), chosen_epoch(loop)
