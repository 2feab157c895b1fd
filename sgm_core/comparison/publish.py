"""The tables of a comparison, put together from its finished tasks."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core import tables
from sgm_core.analysis import statistics
from sgm_core.analysis.budgets import budget_tables, with_all_labels
from sgm_core.analysis.mask_models import RESIDUAL
from sgm_core.analysis.pooled import score_tables, with_pooled
from sgm_core.analysis.tally import DonorCounts, donor_codes, tally
from sgm_core.cells.dataset import Dataset
from sgm_core.comparison.parts import parts_of, settle
from sgm_core.comparison.tasks import FOLDER, Task, is_done
from sgm_core.errors import Cancelled
from sgm_core.progress import Observer


class Publisher:
    """Publishes the tables of a comparison as its tasks finish, beside its work.

    What a task made is read once: its predictions are counted (`sgm_core.analysis.tally`), and the tables
    that follow are derived from the counts of all tasks.

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
        self._donors = donor_codes(dataset.donors())
        self._counted: dict[str, tuple[int, pd.DataFrame]] = {}  # part -> its stamp and counts
        self._summed: dict[str, dict[Path, int]] = {}  # arm -> the counts of its models, and their stamps
        self._thread: threading.Thread | None = None
        self._problem: BaseException | None = None

    def when_due(self) -> None:
        """Publish in a thread, unless that is under way or was done a moment ago.

        Raises
        ------
        Exception
            What went wrong the last time.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        if self._problem is not None:
            raise self._problem
        if time.monotonic() >= self._next:
            self._thread = threading.Thread(target=self._aside, name="publish", daemon=True)
            self._thread.start()

    def publish(self) -> None:
        """Put the finished tasks' tables together and derive what follows from them.

        Raises
        ------
        Cancelled
            If the user asked for it; looked at between one task's tables and the next.
        """
        self.wait()
        self._publish()

    def wait(self) -> None:
        """Wait for what is being published beside the work; a cancelled run gives it up."""
        if self._thread is not None:
            self._thread.join()

    def _aside(self) -> None:
        started = time.monotonic()
        try:
            self._publish()
        except Cancelled:
            return  # the run's own loop sees it too
        except Exception as error:
            self._problem = error
        self._next = time.monotonic() + self._PAUSE * (time.monotonic() - started)

    def _publish(self) -> None:
        for task in self._done():
            settle(self.folder / FOLDER / task.name, self.folder)
        folds, counted = self._gather("folds"), self._tally()
        if folds is None or counted is None:
            return
        self.observer.table("folds", folds)
        self.observer.table("summary", statistics.summary_table(folds))
        counts = DonorCounts(counted)
        for name, table in score_tables(counted, counts).items():
            self.observer.table(name, table)
        few = self._gather("budgets")
        if few is not None:
            budgets = with_all_labels(few, folds)
            self.observer.table("budgets", budgets)
            for name, table in budget_tables(budgets, self.schemes).items():
                self.observer.table(name, table)
        paired = statistics.paired_table(folds, schemes=self.schemes)
        self.observer.table("paired", with_pooled(paired, counts))
        for name in ("mask_cells", "reconstruction", "corpus"):
            gathered = self._gather(name)
            if gathered is not None:
                # a fold's corpus is that of all its models
                self.observer.table(name, gathered.drop_duplicates() if name == "corpus" else gathered)
        for arm in dict.fromkeys(task.arm for task in self.tasks):
            self._sum_masks(arm)

    def _done(self, arm: str | None = None) -> Iterator[Task]:
        for task in self.tasks:
            self.observer.check()
            if arm in (None, task.arm) and is_done(self.folder, task):
                yield task

    def _tally(self) -> pd.DataFrame | None:
        """Return the counts of all predictions; of what was counted before, nothing is read."""
        for path in parts_of(self.folder, "predictions"):
            self.observer.check()
            when = tables.stamp(path)
            if self._counted.get(path.name, (0,))[0] != when:
                self._counted[path.name] = (when, tally(tables.read(path, categories=True), self._donors))
        # in one order, whichever task came first
        frames = [self._counted[name][1] for name in sorted(self._counted)]
        return pd.concat(frames, ignore_index=True) if frames else None

    def _sum_masks(self, arm: str) -> None:
        """Write an arm's counts summed over its models, by group; once for each model that it has more."""
        from sgm_core.training.counts import sum_models  # torch, which the first look at a run does without

        found = [self.folder / FOLDER / task.name / "masks.parquet" for task in self._done(arm)]
        stamps = {path: tables.stamp(path) for path in found if path.exists()}
        known = self._summed.get(arm, {})
        if stamps == known:
            return
        part = tables.part_path(self.folder, "masks", f"sum.{arm}")
        # models are added to the sum that is there, unless one of it was made anew
        goes_on = bool(known) and known.items() <= stamps.items() and part.exists()
        paths = [part, *(stamps.keys() - known.keys())] if goes_on else list(stamps)

        def read() -> Iterator[pd.DataFrame]:
            for path in paths:
                self.observer.check()
                yield tables.read(path, categories=True)

        total = sum_models(read())
        # a page shows one grouping at a time: its rows lie together
        total[list(RESIDUAL)] = np.nan  # all parts have the same columns
        tables.write(part, total, group=max(1, total["gene"].nunique()))
        self._summed[arm] = stamps

    def _gather(self, name: str) -> pd.DataFrame | None:
        paths = [self.folder / FOLDER / task.name / f"{name}.parquet" for task in self._done()]
        frames = [pd.read_parquet(path) for path in paths if path.exists()]
        return pd.concat(frames, ignore_index=True) if frames else None
