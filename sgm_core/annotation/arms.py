"""Which arms of a comparison can be kept as a model."""

from collections.abc import Mapping
from typing import Any

from sgm_core.errors import InputError

KEEPABLE = ("hvg-logistic", "pca-logistic")
"""Baselines that can be."""
BASELINE = "baseline"
"""The scheme of a baseline."""
PROBE = "linear-probe"
SCHEMES = (PROBE, "partial")
"""Schemes of a backbone that can be."""


def is_keepable(arm: str, scheme: str, finetune: Mapping[str, Any] | None = None) -> bool:
    """Return whether an arm can be kept as a model.

    Parameters
    ----------
    arm, scheme : as a comparison names them
    finetune : what its comparison changed of finetuning
    """
    if scheme == BASELINE:
        return arm in KEEPABLE
    return scheme in SCHEMES and (finetune or {}).get("head", "linear") == "linear"


def check_arm(arm: str, scheme: str) -> None:
    """Check that an arm can be kept as a model.

    Raises
    ------
    InputError
        If it can't; the message says which can.
    """
    from sgm_core.comparison.config import ARMS

    if scheme == BASELINE and arm not in KEEPABLE:
        more = f", or a scheme of its backbone ({' or '.join(SCHEMES)})" if arm in ARMS else ""
        raise InputError(f"arm {arm!r} can't be kept as a model: choose {' or '.join(KEEPABLE)}{more}")
    if scheme != BASELINE and arm not in ARMS:
        raise InputError(f"arm {arm!r} has no backbone: the arms with one are {', '.join(ARMS)}")
    if scheme != BASELINE and scheme not in SCHEMES:
        raise InputError(f"scheme {scheme!r} can't be kept as a model: choose {' or '.join(SCHEMES)}")
