"""What a fit is asked for, checked: cells, classes, folds, arm; and the steps that it tells."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sgm_core import home
from sgm_core.annotation.annotated import UNKNOWN
from sgm_core.annotation.arms import BASELINE, PROBE, check_arm
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import MIN_CELLS, MIN_DONORS, Fold, donor_folds, scored_classes
from sgm_core.errors import InputError
from sgm_core.progress import Observer

if TYPE_CHECKING:
    from sgm_core.annotation.backbone import Backbones
    from sgm_core.annotation.reader import Reader


class Steps(Observer):
    """Counts the steps of a fit.

    Parameters
    ----------
    observer : whom it stands for
    total : number of steps
    """

    def __init__(self, observer: Observer, total: int) -> None:
        self._observer, self._total, self._done = observer, total, 0

    def said(self, what: str) -> "Steps":
        """Say that the next step begins."""
        self._observer.check()
        self._observer.progress(self._done, self._total, what)
        self._done += 1
        return self

    def progress(self, done: float, total: float, what: str = "") -> None:
        """Pass on how much of the step under way is done."""
        before = max(0, self._done - 1)
        self._observer.progress(before + min(1.0, done / max(total, 1e-9)), self._total, what)

    def check(self) -> None:
        """Ask whom it stands for."""
        self._observer.check()


@dataclass(frozen=True)
class Task:
    """What a fit works on.

    Parameters
    ----------
    dataset : the cells
    label : the label column
    labels : label of each cell (n_cells,), missing where there is none
    classes : the C classes that a model can name, sorted
    others : classes that are too rare, with the reason
    codes : class number of each cell (n_cells,); -1 for those that are rare or without a label
    split : the donor folds
    arm : as a comparison names it
    train_cells : the field of that name, as in a comparison
    seed : of the draws
    steps : is told the progress
    backbones : what a probe or a finetuned classifier reads cells by; None = a baseline
    epochs : that finetuning takes where no validation donors choose them; 0 = none
    """

    dataset: Dataset
    label: str
    labels: pd.Series
    classes: list[str]
    others: pd.DataFrame
    codes: np.ndarray
    split: list[Fold]
    arm: str
    train_cells: int | str | None
    seed: int
    steps: Steps
    backbones: "Backbones | None" = None
    epochs: int = 0

    @property
    def finetunes(self) -> bool:
        """Whether a part of the backbone trains too."""
        return self.scheme not in (BASELINE, PROBE)

    @property
    def scheme(self) -> str:
        """The scheme of the arm."""
        return BASELINE if self.backbones is None else self.backbones.scheme

    def reader(self, fold: Fold | None) -> "Reader | None":
        """Return the pretrained backbone of a fold, or that of all donors; None for a baseline."""
        if self.backbones is None:
            return None
        if not self.backbones.has(fold):
            whose = "all donors" if fold is None else f"fold {fold.index}"
            self.steps.said(f"{whose}: the backbone")
        return self.backbones.encoder(fold, self.steps)


def make_task(
    dataset: Dataset,
    arm: str,
    label: str | None,
    folds: int,
    train_cells: int | str | None,
    seed: int,
    observer: Observer,
    backbones: "Backbones | None" = None,
) -> Task:
    """Return the task of fitting `arm` on a dataset.

    Raises
    ------
    InputError
        If the dataset has no counts, no such label, fewer than two classes that a model can name, or one that
        is called 'unknown'.
    """
    dataset.require_counts("a model that names cells")
    column = label or dataset.cell_type_column
    labels = dataset.labels(label)
    classes, others = scored_classes(dataset, label)
    if len(classes) < 2:
        raise InputError(
            f"dataset {dataset.name!r} has {len(classes)} classes with at least {MIN_CELLS} cells and "
            f"{MIN_DONORS} donors under {column!r}: a model needs two"
        )
    for name in classes:
        if name.casefold() == UNKNOWN:
            raise InputError(
                f"cells labelled {name!r} would be a class of their own under {column!r}, and a model says "
                f"'{UNKNOWN}' of what it does not know: import the dataset with --unlabelled {name!r}"
            )
    codes = pd.Index(classes).get_indexer(pd.Index(labels))
    split = donor_folds(dataset, "cv", folds, 0, label)
    more = 0 if backbones is None else 2 * len(split) + 1 + len(split) * (backbones.scheme != PROBE)
    steps = Steps(observer, 3 * len(split) + len(classes) + 4 + more)
    return Task(
        dataset, column, labels, classes, others, codes, split, arm, train_cells, seed, steps, backbones
    )


def check_fit(name: str, arm: str, scheme: str, false_alarm: float) -> None:
    """Check what can be checked before any cell is read.

    Raises
    ------
    InputError
        If the name is taken or unsafe, the arm can't be kept as a model, or the rate makes no sense.
    """
    home.check_name(name, "model name")
    if (home.folder("models") / name).exists():
        raise InputError(f"a model {name!r} exists already: choose another name")
    check_arm(arm, scheme)
    if not 0 < false_alarm <= 0.5:
        raise InputError(f"the false-alarm rate is {false_alarm}: give a share above 0 and up to 0.5")
