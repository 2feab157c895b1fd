"""Folds kept beside the dataset that they split, so that each is worked out once."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from sgm_core import home
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.facts import FOLDER

_FOLDS = "folds-1"
"""The number grows when the same arguments give other folds."""


@dataclass(frozen=True)
class Fold:
    """One split of the donors into training, validation and test.

    Parameters
    ----------
    index : its number
    train, validation, test : the donors of each part
    draw : the number of a draw with replacement from the test cells, None = every test cell once
    """

    index: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    draw: int | None = None


def kept_folds(ds: Dataset, key: dict[str, Any], make: Callable[[], list[Fold]]) -> list[Fold]:
    """Return the folds kept under `key` (plain values), else make and keep them.

    A file that is damaged, or of other cells, is made anew; a folder that can't be written is no fault.
    """
    key = {**key, "content_hash": ds.content_hash}
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    file = ds.path / FOLDER / _FOLDS / f"{name}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = home.read_json(file)
        if kept["key"] == key:
            return [_fold(**fold) for fold in kept["folds"]]
    folds = make()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        home.write_json(file, {"key": key, "folds": [asdict(fold) for fold in folds]})
    return folds


def _fold(index: int, train: list[str], validation: list[str], test: list[str], draw: int | None) -> Fold:
    return Fold(index, tuple(train), tuple(validation), tuple(test), draw)
