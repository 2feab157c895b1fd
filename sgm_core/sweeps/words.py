"""A setting in words, and the comparison that scores it on test donors."""

import json
from typing import Any

import pandas as pd

from sgm_core.comparison.config import CompareConfig
from sgm_core.sweeps.config import SweepConfig
from sgm_core.units import written


def setting_of(trials: pd.DataFrame, number: int) -> dict[str, Any]:
    """Return the values of a trial by path."""
    return dict(json.loads(trials.loc[trials["number"] == number, "setting"].iloc[0]))


def value_text(value: Any) -> str:
    """Return a value as people write it, a number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else written(value)


def setting_text(setting: dict[str, Any]) -> str:
    """Return e.g. 'pretrain.lr_backbone=0.00123, finetune.head=mlp'."""
    return ", ".join(f"{path}={value_text(value)}" for path, value in setting.items())


def comparison_of(config: SweepConfig, setting: dict[str, Any]) -> CompareConfig:
    """Return the comparison that scores a setting on test donors: its arm, and the one held against it."""
    from sgm_core.comparison.config import PRIMARY

    arms = PRIMARY if config.arm == PRIMARY[0] else (config.arm,)
    return config.comparison(setting, arms=arms, seeds=1)
