"""The parameters of runs: all of them with their defaults, and where runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgm_core.comparison.config import CompareConfig
from sgm_core.sweeps.config import SweepConfig
from sgm_core.training.config import FINETUNE_PRESETS, PRESETS, FinetuneConfig, PretrainConfig
from sgm_core.units import written

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.runs.run import Run

CONFIGS: dict[str, type[CompareConfig | PretrainConfig | FinetuneConfig | SweepConfig]] = {
    "compare": CompareConfig,
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "sweep": SweepConfig,
}
NESTED: dict[str, type[PretrainConfig] | type[FinetuneConfig]] = {
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
}


def defaults(kind: str) -> dict[str, Any]:
    """Return the default of every field of a kind of run."""
    return CONFIGS[kind]().to_dict() if kind in CONFIGS else {}


def complete(run: Run) -> dict[str, Any]:
    """Return the parameters of `run`, with the defaults where it names none."""
    return with_defaults(run.kind, run.parameters)


def with_defaults(kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return all parameters of a kind of run, nested ones too."""
    result = {**defaults(kind), **parameters}
    for name, config in NESTED.items():
        if isinstance(result.get(name), dict):
            presets = PRESETS if name == "pretrain" else FINETUNE_PRESETS
            preset = presets.get(result[name].get("preset", "sgm"), {})
            result[name] = {**config().to_dict(), **preset, **result[name]}
    return result


def flat(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with nested fields as 'pretrain.epochs'."""
    result: dict[str, Any] = {}
    for name, item in parameters.items():
        if isinstance(item, dict):
            result |= {f"{name}.{inner}": thing for inner, thing in item.items()}
        else:
            result[name] = list(item) if isinstance(item, tuple) else item
    return result


def differences(columns: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Return a table of the parameters that differ between `columns` (name -> parameters), as words."""
    import pandas as pd

    flattened = {name: flat(parameters) for name, parameters in columns.items()}
    fields = list(dict.fromkeys(field for parameters in flattened.values() for field in parameters))
    rows = []
    for field in fields:
        texts = [
            written(parameters[field]) if field in parameters else "" for parameters in flattened.values()
        ]
        if len(set(texts)) > 1:
            rows.append([field, *texts])
    return pd.DataFrame(rows, columns=["parameter", *columns])
