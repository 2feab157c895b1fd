"""Runs in a store of MLflow: ``mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`` shows them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core.runs.trackers import facts
from sgm_core.spreadsheet import csv_text

if TYPE_CHECKING:
    from sgm_core.runs.run import Run

STORE = "mlflow.db"
_METRICS, _OTHERS = 1000, 100  # the most that MLflow takes at once
_LONGEST = 6000  # characters of a parameter
_STATUS = {
    "queued": "SCHEDULED",
    "done": "FINISHED",
    "failed": "FAILED",
    "lost": "FAILED",
    "cancelled": "KILLED",
}
_NOT_A_NAME = re.compile(r"[^\w\-. :/]")


def write(run: Run, folder: Path) -> Path:
    """Write a run into the experiment ``sgm``; an earlier export of it is deleted once this one is whole."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(f"sqlite:///{folder / STORE}")
    experiment = _experiment(client, folder)
    earlier = client.search_runs([experiment], f"tags.\"sgm.run\" = '{run.id}'")
    status, config = run.status, run.config
    # it bears the tag that it is found by only once it is whole
    made = client.create_run(experiment, _milliseconds(config["created"]), run_name=run.title).info.run_id
    points = [Metric(_name(p.name), p.value, p.milliseconds, p.step) for p in facts.points(run)]
    end = _milliseconds(status.get("finished") or config["created"])
    points += [Metric(_name(name), value, end, 0) for name, value in facts.scores(run).items()]
    params = [Param(name, value[:_LONGEST]) for name, value in facts.parameters(run).items()]
    for part in _parts(points, _METRICS):
        client.log_batch(made, metrics=part)
    for part in _parts(params, _OTHERS):
        client.log_batch(made, params=part)
    with tempfile.TemporaryDirectory() as scratch:
        for name, table in facts.end_tables(run).items():
            path = Path(scratch, f"{name}.csv")
            path.write_text(csv_text(table), newline="")
            client.log_artifact(made, str(path), "tables")
    state = _STATUS.get(status["state"], "RUNNING")
    client.set_terminated(made, state, end if status.get("finished") else None)
    client.log_batch(made, tags=[RunTag(name, value) for name, value in facts.tags(run).items()])
    for old in earlier:
        client.delete_run(old.info.run_id)
    return folder / STORE


def _experiment(client: Any, folder: Path) -> str:
    found = client.get_experiment_by_name("sgm")
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment("sgm", artifact_location=(folder / "artifacts").as_uri()))


def _name(text: str) -> str:
    """Return what MLflow takes as the name of a curve; ``+`` is not among it."""
    return _NOT_A_NAME.sub("-", text)


def _milliseconds(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp() * 1000)


def _parts(things: Sequence[Any], most: int) -> list[Sequence[Any]]:
    return [things[start : start + most] for start in range(0, len(things), most)]
