"""Whether a run fits the machine, and what would fit if it does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.estimate.run import Measured, costliest, estimate_run
from sgm_core.model.sizes import SIZES
from sgm_core.training.config import FinetuneConfig, PretrainConfig, Settings
from sgm_core.units import duration

_SHARE = 0.95  # the system and other programs need the rest


def problem(guess: dict[str, Any]) -> str | None:
    """Return why a run of this estimate can't work, or None if it can."""
    tokens = guess["tokens"]
    if tokens["over"]:
        return (
            f"{tokens['over']:,} cells have more than {tokens['max_tokens']:,} tokens, the longest "
            f"{tokens['longest']:,}"
        )
    host = guess["machine"]
    if guess["memory_bytes"] > _SHARE * host["total"]:
        return (
            f"it needs about {guess['memory_bytes'] / 1e9:,.1f} GB of {host['what']} and this machine has "
            f"{host['total'] / 1e9:,.1f} GB"
        )
    return None


def warnings(guess: dict[str, Any]) -> list[str]:
    """Return what may go wrong without being certain to."""
    host = guess["machine"]
    if _SHARE * host["total"] >= guess["memory_bytes"] > host["free"]:
        return [
            f"it needs about {guess['memory_bytes'] / 1e9:,.1f} GB and {host['free'] / 1e9:,.1f} GB of "
            f"{host['what']} are free now: other programs may have to end first"
        ]
    return []


def what_would_fit(config: Settings, dataset: Dataset, factor: float = 1.0) -> dict[str, Any] | None:
    """Return the first changes of fields under which the run fits, or None if none were found.

    In this order, each on top of the one before: recompute activations, smaller batches with more
    accumulation, bf16, a smaller backbone; before all of them a larger `max_tokens`, where cells are over it.

    Parameters
    ----------
    config, dataset : what does not fit
    factor : how much more memory was measured than counted
    """
    longest = estimate_run(config, dataset)["tokens"]
    longer = {"max_tokens": longest["longest"]} if longest["over"] else {}
    for changes in ([longer] if longer else []) + [longer | one for one in _candidates(config)]:
        try:
            guess = estimate_run(with_changes(config, changes), dataset)
        except InputError:
            continue
        guess["memory_bytes"] = int(guess["memory_bytes"] * factor)
        if problem(guess) is None:
            return changes
    return None


def as_options(config: Settings, changes: dict[str, Any]) -> str:
    """Return changes as they are written on the command line."""
    sets, rest = [], []
    for name, value in changes.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if name == "backbone":
            rest.append(f"--backbone {text}")
        elif isinstance(config, CompareConfig):
            sets += [f"{part}.{name}={text}" for part, kind in _PARTS.items() if name in _names(kind)]
        else:
            sets.append(f"{name}={text}")
    return " ".join([*rest, *(["--set", *sets] if sets else [])])


def require_fit(config: Settings, dataset: Dataset, measured: Measured | None = None) -> dict[str, Any]:
    """Return the estimate of a run that can work.

    Raises
    ------
    InputError
        If it can't: what it needs, what there is, and what would fit.
    """
    guess = estimate_run(config, dataset, measured)
    reason = problem(guess)
    if reason is not None:
        raise InputError(f"the run would not fit: {reason}; {advice(config, dataset, guess)}")
    return guess


def suggestion(config: Settings, dataset: Dataset, guess: dict[str, Any]) -> dict[str, Any] | None:
    """Return the changes under which a run fits whose estimate does not (see `what_would_fit`)."""
    factor = 1.0
    if guess["measured"]:
        factor = max(1.0, guess["memory_bytes"] / estimate_run(config, dataset)["memory_bytes"])
    return what_would_fit(config, dataset, factor)


def advice(config: Settings, dataset: Dataset, guess: dict[str, Any]) -> str:
    """Say what would fit in place of a run that does not, as options of the command line."""
    changes = suggestion(config, dataset, guess)
    if changes is None:
        return "nothing smaller fits either: use a machine with more memory, or filter the cells"
    seconds = estimate_run(with_changes(config, changes), dataset)["seconds"]
    return f"this would fit: {as_options(config, changes)} (about {duration(seconds)})"


def with_changes(config: Settings, changes: dict[str, Any]) -> Settings:
    """Return `config` with fields changed; those of a comparison's parts go where they belong.

    With another backbone, a comparison that has the original weights has the usual arms of that backbone.
    """
    if not isinstance(config, CompareConfig):
        return type(config).from_dict({**config.to_dict(), **changes})
    values = config.to_dict()
    if "backbone" in changes and "original" in config.arms:
        del values["arms"]
    for name, value in changes.items():
        if name in _names(CompareConfig):
            values[name] = value
        for part, kind in _PARTS.items():
            if name in _names(kind) and name not in _names(CompareConfig):
                values[part] = {**values[part], name: value}
    return CompareConfig.from_dict(values)


_PARTS: dict[str, type[Settings]] = {"pretrain": PretrainConfig, "finetune": FinetuneConfig}


def _names(kind: type[Settings]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]


def _candidates(config: Settings) -> Iterator[dict[str, Any]]:
    changes: dict[str, Any] = {}
    nested = isinstance(config, CompareConfig)
    known = set().union(*map(_names, _PARTS.values())) if nested else _names(type(config))
    now = costliest(config).to_dict() if isinstance(config, CompareConfig) else config.to_dict()
    if "recompute" in known and not now.get("recompute"):
        changes["recompute"] = True
        yield dict(changes)
    batch, accumulation = now["batch_size"], now["accumulation"]
    while batch > 1:
        batch, accumulation = batch // 2, accumulation * 2
        changes["batch_size"] = batch
        changes["accumulation"] = accumulation
        yield dict(changes)
    if now["precision"] != "bf16":
        changes["precision"] = "bf16"
        yield dict(changes)
    if isinstance(config, FinetuneConfig):
        return  # what is finetuned has its backbone
    backbone = config.to_dict()["backbone"]
    for smaller in ("small", "tiny"):
        if backbone not in SIZES or list(SIZES).index(smaller) < list(SIZES).index(backbone):
            yield {"backbone": smaller}
            yield {**changes, "backbone": smaller}
