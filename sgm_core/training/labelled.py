"""The labelled cells of a fold, and a model that learns to name them."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold, fold_cells
from sgm_core.errors import InputError
from sgm_core.model.reconstruction import MaskedModel
from sgm_core.progress import Observer
from sgm_core.saved.keeper import Keeper
from sgm_core.training.classifier import train_classifier
from sgm_core.training.config import FinetuneConfig
from sgm_core.training.data import Values
from sgm_core.training.logistic import Linear, Scale, choose_logistic, scale_of
from sgm_core.training.pooling import Pooled
from sgm_core.training.probe import probe
from sgm_core.training.train_cells import FINETUNING, ONE_DRAW, TrainCells, train_cells
from sgm_core.training.validation import encode_classes


def labelled_rows(
    dataset: Dataset, fold: Fold, label: str | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.Series]:
    """Return the labelled rows of the training, the validation and the test donors, and all labels.

    Raises
    ------
    InputError
        If the training or the test donors have no labelled cell.
    """
    labels = dataset.labels(label)
    has_label = labels.notna().to_numpy()
    train, validation, test = (rows[has_label[rows]] for rows in fold_cells(dataset, fold))
    for part, rows, donors in (("training", train, fold.train), ("test", test, fold.test)):
        if not len(rows):
            raise InputError(
                f"fold {fold.index} has no labelled cells of its {part} donors ({', '.join(donors)}): choose "
                "another label column, or fewer folds"
            )
    return train, validation, test, labels


@dataclass(frozen=True)
class LabelledFold:
    """The cells that a classifier of a fold learns from, is chosen by, and is tested on.

    Parameters
    ----------
    classes : the C classes of the training donors, sorted
    cells : the training cells of each epoch
    codes : class number of each of ``cells.rows`` (n,)
    drawn : which of ``cells.rows`` linear probes and baselines train on, one draw for all of them (n,) bool
    validation, validation_codes : row and class numbers of the validation cells of these classes
    test : row numbers of the test cells
    scaled_by : row numbers of the cells that give a linear head's scale: they need no labels, so with few
        labelled cells they are all training cells
    """

    classes: np.ndarray
    cells: TrainCells
    codes: np.ndarray
    drawn: np.ndarray
    validation: np.ndarray
    validation_codes: np.ndarray
    test: np.ndarray
    scaled_by: np.ndarray

    @property
    def once(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and class numbers of the cells that linear probes and baselines train on."""
        return self.cells.rows[self.drawn], self.codes[self.drawn]

    @property
    def encoded(self) -> np.ndarray:
        """Row numbers of the cells whose vectors a linear probe needs, ascending."""
        return np.unique(np.concatenate([self.once[0], self.scaled_by, self.validation, self.test]))


def labelled_fold(
    dataset: Dataset, fold: Fold, label: str | None, asked: int | None, seed: int
) -> LabelledFold:
    """Return the labelled cells of a fold.

    Parameters
    ----------
    dataset, fold, label : what was split, and the label column
    asked : the field ``train_cells``
    seed : of the draws of a trained classifier; the one of probes and baselines has no seed

    Raises
    ------
    InputError
        If the training or the test donors have no labelled cell.
    """
    train, validation, test, labels = labelled_rows(dataset, fold, label)
    classes, codes, known, chosen_by = encode_classes(labels.iloc[train], labels.iloc[validation])
    cells, once = (
        train_cells(dataset, train, codes, asked, number, FINETUNING) for number in (seed, ONE_DRAW)
    )
    drawn = np.isin(train, once.epoch(0), assume_unique=True)
    return LabelledFold(classes, cells, codes, drawn, validation[known], chosen_by, test, train[drawn])


def name_cells(
    model: MaskedModel,
    values: Values,
    part: LabelledFold,
    config: FinetuneConfig,
    pooled: Pooled | None,
    observer: Observer,
    keeper: Keeper | None = None,
    **where: Any,
) -> tuple[np.ndarray, str]:
    """Train what ``config.scheme`` trains on a fold's cells, and classify its test cells.

    Parameters
    ----------
    model, values : the model, which all schemes but the linear probe change, and what it reads
    part : the cells
    config : the scheme and every other choice
    pooled : the vectors of the cells ``part.encoded``, which the linear probe needs; another scheme with a
        linear head starts from its probe, where they are given, and else makes them
    observer : is told the progress and asked whether to stop
    keeper : keeps the state of a training that changes the model; a linear probe takes seconds
    where : arm, fold and seed, for the metrics

    Returns
    -------
    tuple
        Class probabilities (test cells, C), and what the validation cells chose, in words.
    """
    n_classes, chosen_by = len(part.classes), (part.validation, part.validation_codes)
    if config.scheme != "linear-probe":
        probed = config.head == "linear" and config.scheme != "official"  # which pools other tokens
        return train_classifier(
            model,
            values,
            part.cells,
            part.codes,
            *chosen_by,
            part.test,
            n_classes,
            config,
            observer,
            part.scaled_by,
            None if pooled is None or not probed else _linear(part, pooled, config.seed),
            keeper,
            **where,
        )
    assert pooled is not None, "a linear probe reads vectors"
    rows, codes = part.once
    if config.head == "linear":
        scale, fitted = _linear(part, pooled, config.seed)
        chosen = f"C {fitted.strength:g}" + ("" if len(part.validation) else ", no validation cells")
        return fitted.classify(scale.apply(pooled.of(part.test))), chosen
    train, validation, test = (pooled.of(cells) for cells in (rows, part.validation, part.test))
    return probe(train, codes, validation, part.validation_codes, test, n_classes, config, observer)


def _linear(part: LabelledFold, pooled: Pooled, seed: int) -> tuple[Scale, Linear]:
    """Return the scale of the vectors and logistic regression on the labelled cells, once for all schemes."""
    rows, codes = part.once
    key = hashlib.sha256(b"".join(each.tobytes() for each in (rows, codes, part.validation))).hexdigest()
    if key not in pooled.fits:
        scale = scale_of(pooled.of(part.scaled_by))
        train, validation = (scale.apply(pooled.of(cells)) for cells in (rows, part.validation))
        fitted = choose_logistic(train, codes, validation, part.validation_codes, seed)
        pooled.fits[key] = scale, fitted
    return pooled.fits[key]
