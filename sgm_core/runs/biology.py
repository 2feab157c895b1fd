"""What the most masked genes of a run are: against the sets that this machine has, kept beside the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgm_core.errors import NotFoundError
from sgm_core.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from sgm_core.analysis.mask_models import ModelResiduals
    from sgm_core.analysis.rankings import Rankings
    from sgm_core.resources.store import Resource

TOP = 100
FACTORS = "Transcription factors"
"""How the name of a set of them begins; its list's name follows in brackets."""
HOW_TO_ADD = "'sgm resources add transcription-factors FILE' and 'sgm resources add signatures FILE'"


def set_resources() -> list[Resource]:
    """Return the resources that genes are held against: transcription factors first, then signatures."""
    from sgm_core.resources.store import list_resources

    return [*list_resources("transcription-factors"), *list_resources("signatures")]


def registered_sets() -> dict[str, list[str]]:
    """Return the genes of every registered list of transcription factors and of every signature.

    Raises
    ------
    NotFoundError
        If there is none, with how to add one.
    """
    from sgm_core.resources.store import read_gmt, read_transcription_factors

    sets: dict[str, list[str]] = {}
    for resource in set_resources():
        if resource.kind == "signatures":
            sets |= read_gmt(resource.path)
        else:
            sets[f"{FACTORS} ({resource.name})"] = read_transcription_factors(resource.path)
    if not sets:
        raise NotFoundError(
            "no signatures and no transcription factors to hold the genes against: add them with "
            f"{HOW_TO_ADD}"
        )
    return sets


def run_biology(
    run: Run, arm: str | None = None, top: int = TOP, models: ModelResiduals | None = None
) -> tuple[pd.DataFrame, Rankings]:
    """Hold an arm's most masked genes, and the controls, against `registered_sets`; by cell type too.

    Parameters
    ----------
    run
        The run.
    arm, top, models
        As in `sgm_core.analysis.rankings.rankings`.

    Returns
    -------
    The table of `sgm_core.analysis.biology.biology` with the column ``arm``, and the lists over all cells.

    Raises
    ------
    NotFoundError
        If the run has no mask counts, or there is no set.
    InputError
        If `top` is not smaller than the universe.
    """
    from sgm_core.analysis.biology import biology
    from sgm_core.analysis.rankings import group_rankings, rankings
    from sgm_core.runs.masks import mask_counts

    sets = registered_sets()
    masks = mask_counts(run, "cell_type")
    if masks is None:
        raise NotFoundError(f"run {run.id} has no mask counts")
    ranked = rankings(masks, arm, top, run.read_table("masks_start"), models)
    table = biology(ranked, sets, group_rankings(masks, "cell_type", ranked.arm, top))
    return table.assign(arm=ranked.arm), ranked


def keep_biology(run: Run, table: pd.DataFrame) -> None:
    """Keep the table beside the run, as ``biology.parquet`` and ``biology.csv``."""
    from sgm_core.home import whole_file
    from sgm_core.spreadsheet import csv_text

    run.table("biology", table)
    with whole_file(run.path / "biology.csv") as path:
        path.write_text(csv_text(table), newline="")
