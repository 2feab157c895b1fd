"""What genes are hidden beyond expression in each donor, cell type or epoch of a run."""

import numpy as np
import pandas as pd

from sgm_core.analysis.mask_models import residuals_of
from sgm_core.analysis.masks import default_arm, mask_levels, select_masks
from sgm_core.analysis.matching import MIN_OPPORTUNITIES

SHARED_MODELS = (
    "donors share the run's models: what these prefer by chance shows in every donor, so this tells how "
    "general a preference is, not whether another model has it"
)
"""What figures by donor can't tell."""


def log_lift(rows: pd.DataFrame) -> pd.Series:
    """Return each gene's log mask frequency over that of genes of equal expression, not shrunk.

    Parameters
    ----------
    rows
        One arm and group of the run table `masks`, a row a gene.
    """
    rows = rows[rows["opportunities"] > 0]
    return residuals_of(rows).set_index(pd.Index(rows["gene"]))["residual"]


def lift_by_level(masks: pd.DataFrame, by: str, arm: str | None = None) -> pd.DataFrame:
    """Return the log lift of each gene (rows) in each level of `by` (columns).

    Parameters
    ----------
    masks
        The run table `masks`, with the rows of `by`.
    by
        ``donor``, or another column that masks are counted by.
    arm
        As in `sgm_core.analysis.masks.select_masks`.

    Returns
    -------
    DataFrame
        NaN where a gene was drawn too seldom; levels in which all were are left out.
    """
    arm = arm or default_arm(masks)
    mine = masks[(masks["by"] == by) & (masks["arm"] == arm)]
    found = {}
    for level in mask_levels(mine).get(by, []):
        rows = select_masks(mine, arm, by=by, level=level)
        if (rows["opportunities"] >= MIN_OPPORTUNITIES).any():
            found[level] = log_lift(rows)
    return pd.DataFrame(found)


def donors_above(lifts: pd.DataFrame, gene: str) -> tuple[int, int]:
    """Return in how many donors a gene is hidden more than its equals, and in how many that is known.

    Parameters
    ----------
    lifts
        From `lift_by_level`.
    """
    if gene not in lifts.index:
        return 0, 0
    known = lifts.loc[gene].to_numpy(float)
    known = known[np.isfinite(known)]
    return int((known > 0).sum()), len(known)
