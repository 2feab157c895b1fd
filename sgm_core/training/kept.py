"""What a training's kept states belong to."""

import hashlib
import json
from pathlib import Path
from typing import Any

from sgm_core.cells.dataset import Dataset
from sgm_core.cells.split import Fold
from sgm_core.progress import Observer
from sgm_core.saved.keeper import Keeper
from sgm_core.training.config import FinetuneConfig, PretrainConfig

_NO_NUMBER = ("checkpoint_minutes", "parallel")


def keeper_of(
    config: PretrainConfig | FinetuneConfig,
    folder: Path,
    dataset: Dataset,
    fold: Fold | None,
    observer: Observer,
    **more: Any,
) -> Keeper:
    """Return the keeper of a training's states.

    Parameters
    ----------
    config : its recipe; how often it is kept and how processes share it change no number
    folder : of this training alone
    dataset, fold : its cells; None = all donors
    observer : is told what could not be written or read
    more : what else it follows from, as plain values
    """
    recipe = {name: value for name, value in config.to_dict().items() if name not in _NO_NUMBER}
    text = json.dumps([recipe, more], sort_keys=True)
    donors = None if fold is None else [list(fold.train), list(fold.validation), list(fold.test)]
    made_of = {
        "recipe": hashlib.sha256(text.encode()).hexdigest()[:16],
        "cells": dataset.content_hash,
        "donors": donors,
    }
    return Keeper(folder, config.checkpoint_minutes, made_of, observer)
