"""Measured steps that are kept, ``$SGM_HOME/estimates/HASH.json``, so that nobody measures the same twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import sgm_core
from sgm_core import home
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.device import on_gpu, usable_cores
from sgm_core.estimate.formula import shape_of
from sgm_core.estimate.run import costliest, source_of, threads_of
from sgm_core.sweeps.config import SweepConfig
from sgm_core.training.config import FinetuneConfig, PretrainConfig, Settings

# Fields that change what is learned or how often, but neither a step's time nor its memory.
_NO_MATTER = {
    *("preset", "fold", "split", "n_folds", "label", "seed", "validation_masks", "penalty_weight"),
    *("schedule", "epochs", "patience", "accumulation", "lr_new", "lr_backbone", "weight_decay", "data"),
    *("redraw_interval", "max_tokens", "target_depth", "temperature", "key_init"),
}
_CODE = (
    "model/*.py",
    "estimate/measure.py",
    *(f"training/{name}.py" for name in ("counts", "data", "draws", "loop", "pooling", "pretrain", "start")),
)


def pretraining_of(config: Settings) -> PretrainConfig:
    """Return the pretraining whose steps stand for a run: its own, its source's, or its costliest arm's."""
    if isinstance(config, CompareConfig):
        return costliest(config)
    if isinstance(config, FinetuneConfig):
        return source_of(config)
    if isinstance(config, SweepConfig):
        return config.recipes()[0]
    assert isinstance(config, PretrainConfig)
    return config


def only_encodes(config: Settings) -> bool:
    """Say whether a run's steps are those of the encoder alone."""
    return isinstance(config, FinetuneConfig)


def place(config: Settings, dataset: Dataset) -> Path:
    """Return where what is measured of a run is kept.

    The name is a hash over the backbone's shape, the dataset's content, the device, the code, and the fields
    that decide how long a step takes and what it needs.
    """
    own = pretraining_of(config)
    decides = {
        "fields": {name: value for name, value in own.to_dict().items() if name not in _NO_MATTER},
        "shape": shape_of(own, own.n_genes),
        "dataset": dataset.content_hash,
        "device": "gpu" if on_gpu(own.device) else f"{threads_of(config)} of {usable_cores()} cores",
        "encodes": only_encodes(config),
        "code": _code(),
    }
    text = json.dumps(decides, sort_keys=True, default=list)
    return home.home() / "estimates" / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def kept(config: Settings, dataset: Dataset) -> dict[str, Any] | None:
    """Return what was measured of such a run earlier, or None."""
    try:
        return dict(home.read_json(place(config, dataset))["parts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # a damaged file is measured again


def worth_again(parts: Mapping[str, Any]) -> bool:
    """Say whether what was measured may be better measured again: other programs slowed it down."""
    return any(part.get("busy") for part in parts.values())


@lru_cache(maxsize=1)
def _code() -> str:
    root = Path(sgm_core.__file__).parent
    files = sorted(path for pattern in _CODE for path in root.glob(pattern))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
