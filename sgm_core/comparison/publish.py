"""The tables of a comparison, put together from its finished tasks."""

import time
from pathlib import Path

import pandas as pd

from sgm_core.analysis import statistics
from sgm_core.analysis.pooled import with_pooled
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.tasks import FOLDER, Task
from sgm_core.progress import Observer
from sgm_core.training.counts import sum_models


class Publisher:
    """Publishes the tables of a comparison as its tasks finish, without spending its time on that.

    Parameters
    ----------
    dataset : the cells
    schemes : the finetuning schemes of the comparison, which its primary pair follows from
    tasks : all tasks of the comparison
    folder : the run's
    observer : keeps the tables
    """

    _PAUSE = 10  # times as long as publishing took, it is left alone

    def __init__(
        self,
        dataset: Dataset,
        schemes: tuple[str, ...],
        tasks: list[Task],
        folder: Path,
        observer: Observer,
    ) -> None:
        self.dataset, self.schemes = dataset, schemes
        self.tasks, self.folder, self.observer = tasks, folder, observer
        self._next = 0.0

    def when_due(self) -> None:
        """Publish, unless that was done a moment ago."""
        if time.monotonic() >= self._next:
            started = time.monotonic()
            self.publish()
            self._next = time.monotonic() + self._PAUSE * (time.monotonic() - started)

    def publish(self) -> None:
        """Put the finished tasks' tables together and derive what follows from them."""
        from sgm_core.training.finetune import publish  # torch, which the first look at a run does without

        folds, predictions = self._gather("folds"), self._gather("predictions")
        if folds is None or predictions is None:
            return
        publish(predictions, folds, self.dataset, self.observer)
        self.observer.table("summary", statistics.summary_table(folds))
        paired = statistics.paired_table(folds, schemes=self.schemes)
        self.observer.table("paired", with_pooled(paired, predictions, self.dataset.donors()))
        for name in ("mask_cells", "masks_start"):
            self._keep(name, self._gather(name))
        self._keep("masks", self._masks())

    def _keep(self, name: str, table: pd.DataFrame | None) -> None:
        if table is not None:
            self.observer.table(name, table)

    def _masks(self) -> pd.DataFrame | None:
        """Return every model's counts over all cells, and for each arm all counts summed over its models."""
        # one arm at a time: a full vocabulary has a million rows a model
        parts = []
        for arm in dict.fromkeys(task.arm for task in self.tasks):
            masks = self._gather("masks", arm)
            if masks is not None:
                parts += [masks[masks["by"] == "all"], sum_models(masks)]
        return pd.concat(parts, ignore_index=True) if parts else None

    def _gather(self, name: str, arm: str | None = None) -> pd.DataFrame | None:
        paths = [
            self.folder / FOLDER / task.name / f"{name}.parquet"
            for task in self.tasks
            if arm in (None, task.arm)
        ]
        frames = [pd.read_parquet(path) for path in paths if path.exists()]
        return pd.concat(frames, ignore_index=True) if frames else None
