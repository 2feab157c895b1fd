"""What a run remembers of the cells that it saw, so that no donor is tested whom its model has met."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold
from sgm_core.errors import InputError
from sgm_core.home import read_json, write_json

_FILE = "donors.json"


def check_same_dataset(run: str, description: Mapping[str, Any], dataset: Dataset) -> None:
    """Refuse a dataset that is not the one a run was made on, though it bears its name.

    Parameters
    ----------
    run
        The run's ID.
    description
        Its ``config.json``, which has the ``dataset_hash``.
    dataset
        The dataset that has the name today.

    Raises
    ------
    InputError
        If the content differs.
    """
    seen = description.get("dataset_hash")
    if seen and seen != dataset.content_hash:
        raise InputError(
            f"run {run} was made on other cells than dataset {dataset.name!r} holds now (content {seen[:8]}, "
            f"now {dataset.content_hash[:8]}): its results don't belong to them. Start a new run, or import "
            "the earlier file under this name again"
        )


def keep_donors(folder: Path, fold: Fold | None, dataset: Dataset) -> None:
    """Write the donors of each part into a run's folder; shared pretraining (None) trains on all."""
    parts = Fold(-1, tuple(sorted(dataset.donors().unique())), (), ()) if fold is None else fold
    write_json(folder / _FILE, asdict(parts))


def kept_fold(folder: Path, dataset: Dataset) -> Fold | None:
    """Return the fold whose donors a run kept; None if the run is older than that.

    Raises
    ------
    InputError
        If they are not the donors of `dataset`, or a test donor was trained on.
    """
    if not (folder / _FILE).exists():
        return None
    kept = read_json(folder / _FILE)
    train, validation, test = (tuple(kept[part]) for part in ("train", "validation", "test"))
    fold = Fold(kept["index"], train, validation, test)
    donors = [*fold.train, *fold.validation, *fold.test]
    if sorted(donors) != sorted(dataset.donors().unique()):
        raise InputError(
            f"run {folder.name} kept other donors than those of dataset {dataset.name!r}, or one of them in "
            f"two parts ({folder / _FILE}): a donor that it trained on could be tested; pretrain again"
        )
    return fold
