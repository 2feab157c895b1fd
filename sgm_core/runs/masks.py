"""The mask counts of a run, of which no one needs all: a vocabulary makes millions of rows a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgm_core.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd


def mask_counts(run: Run, by: str = "all", arm: str | None = None) -> pd.DataFrame | None:
    """Return the rows of `masks` over all cells, every model's, and those of one grouping.

    Parameters
    ----------
    run
        The run.
    by
        The grouping, such as ``cell_type``; ``all`` adds none.
    arm
        Only this arm's rows.

    Returns
    -------
    DataFrame
        None if the run has none (yet).
    """
    import pandas as pd

    own: dict[str, Any] = {} if arm is None else {"arm": arm}
    rows = run.read_table("masks", by="all", **own)
    if rows is None or by == "all":
        return rows
    more = run.read_table("masks", by=by, **own)
    return pd.concat([rows, more], ignore_index=True) if more is not None else rows


def mask_groups(run: Run, arm: str | None = None) -> pd.DataFrame | None:
    """Return what an arm's masks are counted by: the distinct ``by`` and ``level`` of `masks`."""
    own: dict[str, Any] = {} if arm is None else {"arm": arm}
    rows = run.read_table("masks", columns=["by", "level"], categories=True, **own)
    return None if rows is None else rows.drop_duplicates().astype(object)
