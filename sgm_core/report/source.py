"""What a report reads of a run: each table once, each statistic worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import pandas as pd

from sgm_core.analysis.diagnostic import diagnostic, mask_basis
from sgm_core.analysis.mask_models import ModelResiduals, model_residuals, model_rows
from sgm_core.analysis.masks import gene_statistics, mask_arms
from sgm_core.analysis.metrics import paired_table, summary_table
from sgm_core.analysis.verdict import Verdict, verdict
from sgm_core.cells.dataset import Dataset
from sgm_core.figures.compare import in_order
from sgm_core.report.compare_tables import with_pooled_columns
from sgm_core.runs.masks import mask_counts
from sgm_core.runs.run import Run


class Source:
    """A run and its dataset, with what several sections of a report need.

    Parameters
    ----------
    run
        The run.
    dataset
        The cells that it was made on.
    """

    def __init__(self, run: Run, dataset: Dataset) -> None:
        self.run, self.dataset = run, dataset
        self._kept: dict[tuple[str, str], Any] = {}

    def table(self, name: str) -> pd.DataFrame | None:
        """Return a table of the run, None if it is missing or empty."""
        found = self._once("table", name, lambda: self.run.read_table(name))
        return found if found is not None and len(found) else None

    def _once(self, what: str, name: str, make: Callable[[], Any]) -> Any:
        key = (what, name)
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    # ---- scores

    @cached_property
    def schemes(self) -> tuple[str, ...]:
        """The schemes that the run was asked for."""
        return tuple(self.run.parameters.get("schemes") or ())

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Mean and interval of each score, of the folds that are finished."""
        return summary_table(self._folds)

    @cached_property
    def paired(self) -> pd.DataFrame:
        """Paired differences, judged anew as the page Compare does."""
        judged = paired_table(self._folds, schemes=self.schemes or None)
        return with_pooled_columns(judged, self.table("paired"))

    @property
    def _folds(self) -> pd.DataFrame:
        folds = self.table("folds")
        assert folds is not None, "asked for by sections of scores alone"
        return folds

    # ---- masks

    @cached_property
    def masks(self) -> pd.DataFrame | None:
        """Mask counts over all cells."""
        return mask_counts(self.run)

    @cached_property
    def arms(self) -> list[str]:
        """The arms that hid genes, in the order of figures."""
        there = self.masks is not None and self.table("mask_cells") is not None
        return in_order(mask_arms(self.masks)) if there and self.masks is not None else []

    @property
    def arm(self) -> str:
        """The arm in question: self-guided, else the first that hid genes."""
        return "self-guided" if "self-guided" in self.arms else self.arms[0]

    def models(self, arm: str, table: str = "masks") -> ModelResiduals:
        """Return what each model of an arm prefers, in training or (``masks_start``) before it."""
        rows = self.masks if table == "masks" else self.table(table)
        assert rows is not None, "an arm is one of `arms`"
        return self._once(table, arm, lambda: model_residuals(model_rows(rows, arm)))

    def statistics(self, arm: str) -> pd.DataFrame:
        """Return `sgm_core.analysis.masks.gene_statistics` of an arm."""
        masks = self.masks
        assert masks is not None, "an arm is one of `arms`"
        return self._once("stats", arm, lambda: gene_statistics(masks, arm=arm, models=self.models(arm)))

    def diagnostic(self, arm: str) -> dict[str, Any]:
        """Return `sgm_core.analysis.diagnostic.diagnostic` of an arm."""
        return self._once("diagnostic", arm, lambda: self._diagnostic(arm))

    def _diagnostic(self, arm: str) -> dict[str, Any]:
        masks, cells, start = self.masks, self.table("mask_cells"), self.table("masks_start")
        assert masks is not None and cells is not None, "an arm is one of `arms`"
        before = start if start is not None and arm in mask_arms(start) else None
        return diagnostic(
            masks,
            cells,
            arm,
            basis=mask_basis(self.run.parameters),
            start=before,
            residuals=self.models(arm),
            before=self.models(arm, "masks_start") if before is not None else None,
        )

    def verdict(self, arm: str) -> Verdict:
        """Return the verdict on an arm's masks."""
        return verdict(self.diagnostic(arm))
