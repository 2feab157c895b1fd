"""The linear probe: a head on vectors that were computed once."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgm_core.model.head import Head
from sgm_core.progress import Observer, Part
from sgm_core.training.classifier import chosen_epoch, class_loss, class_weights
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.loop import Loop, Task
from sgm_core.training.stopping import Score
from sgm_core.training.validation import validation_score

HEAD_DECAYS = (0.0, 1e-4, 1e-3, 1e-2)
"""Weight decays that the validation cells choose among, beside the one asked for."""


class Probe(Task[np.ndarray]):
    """The training of a head as a task of the loop; rows are those of `vectors`.

    Parameters
    ----------
    vectors, codes : (n, P) of the training cells and their class numbers
    validation, validation_codes : the same of the validation cells
    n_classes : number of classes C
    config : every choice
    """

    phase, rates = "the linear probe", "lr"
    shared = False  # it takes seconds: every process trains it alike

    def __init__(
        self,
        vectors: np.ndarray,
        codes: np.ndarray,
        validation: np.ndarray,
        validation_codes: np.ndarray,
        n_classes: int,
        config: FinetuneConfig,
    ) -> None:
        torch.manual_seed(config.seed)
        self.head = Head(vectors.shape[1], n_classes, config.head_hidden, config.dropout)
        self.device, self.modules, self.rate = torch.device("cpu"), [self.head], config.lr
        self._x, self._y = torch.from_numpy(vectors), torch.from_numpy(codes)
        self._validation, self._validation_codes = validation, validation_codes
        self._weights = (
            class_weights(codes, n_classes, config.class_weighting) if config.class_weights else None
        )
        self.order: np.random.Generator = np.random.default_rng(config.seed)
        self.n_batches = max(1, len(vectors) // config.probe_batch_size)

    def groups(self) -> list[dict[str, Any]]:
        """Return the one group."""
        return [{"params": list(self.head.parameters()), "lr": self.rate}]

    def start_epoch(self, epoch: int) -> list[np.ndarray]:
        """Return the vectors in random order, in batches of nearly one size."""
        self.head.train()
        return np.array_split(self.order.permutation(len(self._x)), self.n_batches)

    def make(self, epoch: int, rows: np.ndarray) -> np.ndarray:
        """Return the rows: the vectors are there already."""
        return rows

    def loss(self, batch: np.ndarray) -> Tensor:
        """Return the weighted cross-entropy."""
        return class_loss(self.head(self._x[batch]), self._y[batch], self._weights)

    def end_epoch(self, epoch: int, seconds: float) -> tuple[float, float] | None:
        """Score the epoch."""
        if not len(self._validation):
            return None
        return validation_score(self._validation_codes, self.classify(self._validation))

    @torch.no_grad()
    def classify(self, vectors: np.ndarray) -> np.ndarray:
        """Return the class probabilities (n, C) of vectors."""
        self.head.eval()
        return self.head(torch.from_numpy(vectors)).softmax(1).numpy()  # type: ignore[no-any-return]


def probe(
    train: np.ndarray,
    codes: np.ndarray,
    validation: np.ndarray,
    validation_codes: np.ndarray,
    test: np.ndarray,
    n_classes: int,
    config: FinetuneConfig,
    observer: Observer | None = None,
) -> tuple[np.ndarray, str]:
    """Train the head alone on cached vectors; the validation cells choose its weight decay and its epoch.

    Every head trains on the same cells from the same start; the best `validation_score` wins. Without
    validation cells, or with ``config.choose_decay`` off, the weight decay is ``config.weight_decay``.

    Parameters
    ----------
    train, codes : vectors (n, P) of the training cells, float32, and their class numbers
    validation, validation_codes : the same of the validation cells, which never train
    test : vectors (m, P)
    n_classes : number of classes C
    config : every choice
    observer : is told the progress and asked whether to stop

    Returns
    -------
    tuple
        Class probabilities (m, C), and what the validation cells chose, in words.

    Raises
    ------
    TrainingError
        If a loss or a weight is not a finite number.
    """
    decays = [config.weight_decay]
    if config.choose_decay and len(validation):
        decays = sorted({*HEAD_DECAYS, config.weight_decay})
    best_score: Score = (-np.inf, -np.inf)
    best = np.empty(0), ""
    for number, decay in enumerate(decays):
        task = Probe(train, codes, validation, validation_codes, n_classes, config)
        recipe = replace(config, epochs=config.probe_epochs, accumulation=1, weight_decay=decay)
        loop = Loop(task, recipe, Part(observer or Observer(), number, len(decays)))
        loop.run()
        score = loop.best.score if loop.best is not None else None
        if number == 0 or (score is not None and score > best_score):
            best_score = score or best_score
            best = task.classify(test), f"{chosen_epoch(loop)}, weight decay {decay:g}"
    return best
