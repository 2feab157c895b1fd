"""The donor folds of a run: one function for training, comparison, estimates and pages."""

from typing import Any

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold, donor_folds


def fold_count(config: Any) -> int:
    """Return how many folds a configuration has."""
    return int(getattr(config, "folds", None) or config.n_folds)


def run_folds(dataset: Dataset, config: Any) -> list[Fold]:
    """Return the folds of a configuration, whatever its kind and seed."""
    return donor_folds(dataset, "cv", fold_count(config), 0, config.label)
