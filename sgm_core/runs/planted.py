"""How much of what a run on simulated cells hides most was planted there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.errors import InputError
from sgm_core.resources.panel import planted_genes
from sgm_core.runs.run import Run
from sgm_core.runs.terms import masks_of

if TYPE_CHECKING:
    import pandas as pd


def run_planted(run: Run, arm: str | None = None, top: int = 50) -> pd.DataFrame:
    """Return `sgm_core.analysis.planted.planted_precision` of a run's arm and its controls.

    Raises
    ------
    InputError
        If the cells were not simulated, or `top` is not smaller than the number of genes.
    """
    from sgm_core.analysis.planted import planted_precision
    from sgm_core.analysis.rankings import rankings

    run.check_dataset()
    require_simulated(open_dataset(run.dataset_name))
    ranked = rankings(masks_of(run), arm, top, run.read_table("masks_start", by="all"))
    return planted_precision(ranked, planted_genes(), top)


def require_simulated(dataset: Dataset) -> None:
    """Refuse cells that were measured: nothing is known to be planted in them.

    Raises
    ------
    InputError
        If the dataset was not simulated.
    """
    if not dataset.simulated:
        raise InputError(
            f"dataset {dataset.name!r} holds measured cells: what is planted is known of simulated ones "
            "only, such as the demo"
        )
