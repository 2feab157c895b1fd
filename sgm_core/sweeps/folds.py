"""The donors of a sweep: those that are held back, and those that train and validate, each in turn."""

from dataclasses import dataclass

from sgm_core.analysis.metrics import MIN_TEST_CELLS
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold, scored_classes
from sgm_core.errors import InputError
from sgm_core.sweeps.config import SweepConfig
from sgm_core.training.folds import run_folds


@dataclass(frozen=True)
class SweepFolds:
    """The donors of a sweep.

    Parameters
    ----------
    folds : what a trial is scored on, one after the other; ``test`` is ``validation`` in each, so that the
        donors held back are no part of any
    held_back : the donors that no trial looks at
    scored : the classes of the score, counted without those donors
    """

    folds: tuple[Fold, ...]
    held_back: tuple[str, ...]
    scored: tuple[str, ...]


def sweep_folds(dataset: Dataset, config: SweepConfig) -> SweepFolds:
    """Return the donors of a sweep.

    The test donors of ``config.fold`` are held back. Of all others, those that another fold tests validate
    while the rest trains; under the split ``holdout`` its validation donors do.

    Raises
    ------
    InputError
        If the dataset can't be split so, or there is nothing to score.
    """
    all_ = run_folds(dataset, {name: getattr(config, name) for name in ("split", "n_folds", "label")})
    outer = all_[config.fold]
    rest = sorted({*outer.train, *outer.validation})
    scored, _ = scored_classes(dataset, config.label, donors=rest)
    if len(scored) < 2:
        raise InputError(
            f"dataset {dataset.name!r} has {len(scored)} classes with at least 20 cells and 5 donors beside "
            "the donors that are held back: a sweep needs two; choose another label column, or more n_folds"
        )
    if config.split == "cv":
        validating = [(fold.index, fold.test) for fold in all_ if fold.index != outer.index]
    else:
        validating = [(outer.index, outer.validation)]
    folds = []
    for index, donors in validating[: config.folds]:
        train = tuple(donor for donor in rest if donor not in donors)
        folds.append(Fold(index, train, donors, donors))
    labels, donor = dataset.labels(config.label), dataset.donors()
    for fold in folds:
        counts = labels[donor.isin(fold.validation).to_numpy()].value_counts()
        if not (counts.reindex(scored, fill_value=0) >= MIN_TEST_CELLS).any():
            raise InputError(
                f"the validation donors of fold {fold.index} ({', '.join(fold.validation)}) have no class of "
                f"{MIN_TEST_CELLS} cells that is scored: take fewer n_folds"
            )
    return SweepFolds(tuple(folds), outer.test, tuple(scored))
