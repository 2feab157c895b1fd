"""What an export to a tracker holds of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sgm_core.runs.labels import labels_of
from sgm_core.runs.parameters import complete, flat
from sgm_core.units import written

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.runs.run import Run

TABLES = ("summary", "paired", "pooled", "folds", "per_class", "mask_cells", "reconstruction")
"""Tables of an end result: small ones, for people."""
_ABOUT = ("time", "phase", "arm", "scheme", "fold", "seed", "epoch", "step", "worked", "attempt", "elapsed")


@dataclass(frozen=True)
class Point:
    """A point of a curve: its name, its place (the epoch, or the step within epochs), when, and its value."""

    name: str
    step: int
    milliseconds: int
    value: float


def points(run: Run) -> Iterator[Point]:
    """Yield the points of all curves: those of the epochs, and under ``within/`` those between them."""
    for prefix, rows, place in (("", run.metrics(), "epoch"), ("within/", run.pulses(), "step")):
        yield from _of_rows(rows, prefix, place)


def _of_rows(rows: pd.DataFrame, prefix: str, place: str) -> Iterator[Point]:
    import pandas as pd

    if rows.empty:
        return
    times = pd.to_datetime(rows["time"], format="ISO8601")
    records: list[dict[str, Any]] = [dict(row) for row in rows.to_dict("records")]  # type: ignore[arg-type]
    for row, time in zip(records, times, strict=True):
        part = "/".join(filter(None, [str(_given(row, "phase")), _whose(row)]))
        step = row.get(place)
        for name, value in row.items():
            if name not in _ABOUT and isinstance(value, int | float) and value == value:
                here = int(step) if step is not None and step == step else 0
                yield Point(f"{prefix}{part}/{name}", here, int(time.timestamp() * 1000), float(value))


def _given(row: dict[str, Any], name: str) -> Any:
    value = row.get(name)
    return "" if value is None or value != value else value


def _whose(row: dict[str, Any]) -> str:
    """Return e.g. 'self-guided/partial/fold0/seed1': what tells the trainings of a run from each other."""
    names = [str(_given(row, "arm")), str(_given(row, "scheme"))]
    numbers = [(name, _given(row, name)) for name in ("fold", "seed")]
    return "/".join(filter(None, [*names, *(f"{name}{int(item)}" for name, item in numbers if item != "")]))


def parameters(run: Run) -> dict[str, str]:
    """Return all parameters, defaults too, as people write them."""
    return {name: written(value) for name, value in flat(complete(run)).items()}


def tags(run: Run) -> dict[str, str]:
    """Return what the run is and what was said about it, as texts."""
    labels, status, config = labels_of(run), run.status, run.config
    facts = {
        "sgm.run": run.id,
        "sgm.kind": run.kind,
        "sgm.dataset": run.dataset_name,
        "sgm.dataset_hash": config.get("dataset_hash"),
        "sgm.state": status["state"],
        "sgm.code": config.get("code_version"),
        "sgm.tags": ", ".join(labels.tags),
        "sgm.note": labels.note,
    }
    return {name: str(fact) for name, fact in facts.items() if fact}


def scores(run: Run) -> dict[str, float]:
    """Return the mean macro F1 over folds of each arm and scheme, by name; empty before there are any."""
    folds = run.read_table("folds")
    if folds is None or folds.empty:
        return {}
    means = folds.groupby(["arm", "scheme"], sort=False)["macro_f1"].mean().reset_index()
    names = zip(means["arm"], means["scheme"], means["macro_f1"].tolist(), strict=True)
    return {f"macro_f1/{arm}/{scheme}": mean for arm, scheme, mean in names}


def end_tables(run: Run) -> dict[str, pd.DataFrame]:
    """Return the tables of an end result that the run has, by name."""
    found = {name: run.read_table(name) for name in TABLES}
    return {name: table for name, table in found.items() if table is not None}
