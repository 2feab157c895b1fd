"""Whether a run fits the machine, and the first change under which it would."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.config import CompareConfig
from sgm_core.errors import InputError
from sgm_core.estimate.measured import pretraining_of
from sgm_core.estimate.run import Estimate, Measured, estimate_run
from sgm_core.model.sizes import SIZES
from sgm_core.sweeps.config import SweepConfig
from sgm_core.training.config import FinetuneConfig, PretrainConfig, Settings
from sgm_core.units import duration

_SHARE = 0.95  # the system and other programs need the rest
_PARTS: dict[str, type[Settings]] = {"pretrain": PretrainConfig, "finetune": FinetuneConfig}


def problem(estimate: Estimate) -> str | None:
    """Return why a run of this estimate can't work, or None if it can."""
    tokens, host = estimate.tokens, estimate.machine
    if tokens.over:
        return (
            f"{tokens.over:,} cells have more than {tokens.max_tokens:,} tokens, the longest "
            f"{tokens.longest:,}"
        )
    if estimate.memory_bytes > _SHARE * host.total:
        return (
            f"it needs about {estimate.memory_bytes / 1e9:,.1f} GB of {host.what} and {host.whose} has "
            f"{host.total / 1e9:,.1f} GB"
        )
    return None


def in_job(estimate: Estimate, memory: int | None) -> Estimate:
    """Return an estimate as one of a job of a cluster; a comparison has a job for each task.

    Parameters
    ----------
    estimate
        Of this machine.
    memory
        Bytes that a job has, if that is known. The memory of the cluster's graphics cards is not.
    """
    on_gpu = "GPU" in estimate.machine.what
    room = sys.maxsize if memory is None or on_gpu else memory
    estimate = dataclasses.replace(
        estimate, machine=dataclasses.replace(estimate.machine, total=room, free=room, whose="a job")
    )
    if estimate.pretrainings is None:  # one model, in all processes of its job
        return estimate
    return dataclasses.replace(
        estimate,
        memory_bytes=estimate.memory_bytes // (1 if on_gpu else estimate.processes),
        seconds=estimate.seconds * estimate.processes,
        processes=1,
    )


def warnings(estimate: Estimate) -> list[str]:
    """Return what may go wrong without being certain to."""
    host = estimate.machine
    if _SHARE * host.total >= estimate.memory_bytes > host.free:
        return [
            f"it needs about {estimate.memory_bytes / 1e9:,.1f} GB and {host.free / 1e9:,.1f} GB of "
            f"{host.what} are free now: other programs may have to end first"
        ]
    return []


def require_fit(
    config: Settings, dataset: Dataset, measured: Measured | None = None, processes: int | None = None
) -> Estimate:
    """Return the estimate of a run that can work.

    Parameters
    ----------
    config, dataset, measured, processes
        As for `estimate_run`.

    Raises
    ------
    InputError
        If it can't: what it needs, what there is, and what would fit.
    """
    estimate = estimate_run(config, dataset, measured, processes)
    reason = problem(estimate)
    if reason is None:
        return estimate
    changes = suggestion(config, dataset, estimate, processes)
    if changes is None:
        advice = "nothing smaller fits either: use a machine with more memory, or filter the cells"
    else:
        seconds = estimate_run(with_changes(config, changes), dataset, processes=processes).seconds
        advice = f"this would fit: {as_options(config, changes)} (about {duration(seconds)})"
    raise InputError(f"the run would not fit: {reason}; {advice}")


def suggestion(
    config: Settings, dataset: Dataset, estimate: Estimate, processes: int | None = None
) -> dict[str, Any] | None:
    """Return the first changes of fields under which a run fits whose estimate does not, None if none do.

    In this order, each on top of the one before: a larger `max_tokens` where cells are over it, recomputed
    activations, smaller batches with more accumulation; then a smaller backbone in their place.
    """
    tokens = estimate.tokens
    longer = {"max_tokens": tokens.longest} if tokens.over else {}
    counted = estimate_run(config, dataset, processes=processes)
    factor = max(1.0, estimate.memory_bytes / counted.memory_bytes)  # what was measured is known better
    for changes in ([longer] if longer else []) + [longer | one for one in _candidates(config)]:
        try:
            changed = estimate_run(with_changes(config, changes), dataset, processes=processes)
        except InputError:
            continue
        if problem(dataclasses.replace(changed, memory_bytes=int(changed.memory_bytes * factor))) is None:
            return changes
    return None


def as_options(config: Settings, changes: dict[str, Any]) -> str:
    """Return changes as they are written on the command line."""
    sets, rest = [], []
    for name, value in changes.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if name == "backbone":
            rest.append(f"--backbone {text}")
        elif isinstance(config, CompareConfig | SweepConfig):
            sets += [f"{part}.{name}={text}" for part, kind in _PARTS.items() if name in _names(kind)]
        else:
            sets.append(f"{name}={text}")
    return " ".join([*rest, *(["--set", *sets] if sets else [])])


def with_changes(config: Settings, changes: dict[str, Any]) -> Settings:
    """Return `config` with fields changed; those of a comparison's parts go where they belong.

    With another backbone, a comparison that has the original weights has the usual arms of that backbone.
    """
    if not isinstance(config, CompareConfig | SweepConfig):
        return type(config).from_dict({**config.to_dict(), **changes})
    values = config.to_dict()
    if "backbone" in changes:
        values["backbone"] = changes["backbone"]
        if "original" in values.get("arms", ()):
            del values["arms"]
    for part, kind in _PARTS.items():
        own = {name: value for name, value in changes.items() if name in _names(kind) - {"backbone"}}
        values[part] = {**values[part], **own}
    return type(config).from_dict(values)


def _names(kind: type[Settings]) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]


def _candidates(config: Settings) -> Iterator[dict[str, Any]]:
    changes: dict[str, Any] = {}
    now = (config if isinstance(config, FinetuneConfig) else pretraining_of(config)).to_dict()
    if not now.get("recompute", True):
        yield (changes := {"recompute": True})
    batch, accumulation = now["batch_size"], now["accumulation"]
    while batch > 1:
        batch, accumulation = batch // 2, accumulation * 2
        yield (changes := {**changes, "batch_size": batch, "accumulation": accumulation})
    if isinstance(config, FinetuneConfig):
        return  # what is finetuned has its backbone
    sizes = list(SIZES)
    smaller = sizes[: sizes.index(now["backbone"])] if now["backbone"] in sizes else sizes
    yield from ({"backbone": size} for size in reversed(smaller))
