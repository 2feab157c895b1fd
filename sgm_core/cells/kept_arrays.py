"""Arrays that follow from a dataset's counts, worked out once and kept beside them."""

import hashlib
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from sgm_core import home
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.facts import FOLDER

_KEPT = 64
"""Most files of a kind; the oldest go first."""


def kept_array(dataset: Dataset, kind: str, key: bytes, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array of the dataset, made on first use.

    Parameters
    ----------
    dataset
        What it is of.
    kind
        Name of its folder; it ends in a number that grows when what is in the file changes.
    key
        What the array depends on beside the counts.
    make
        Works it out.
    """
    path = dataset.path / FOLDER / kind / f"{hashlib.sha256(key).hexdigest()[:24]}.npy"
    with suppress(OSError, ValueError):  # not there, or damaged: it is made again
        array: np.ndarray = np.load(path, allow_pickle=False)
        return array
    array = make()
    with suppress(OSError):  # it may be that this user may not write there
        with home.whole_file(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, array)
        kept = sorted(path.parent.glob("[!.]*.npy"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-_KEPT]:
            old.unlink(missing_ok=True)
    return array
