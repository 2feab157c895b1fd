"""When does an arm begin to prefer genes: what it hides beyond expression in each epoch, and in the last."""

import numpy as np
import pandas as pd

from sgm_core.analysis.agreement import rank_correlation
from sgm_core.analysis.level_lift import log_lift
from sgm_core.analysis.masks import default_arm, mask_arms, mask_levels, select_masks

EPOCH_LIMITS = (
    "an epoch is counted over all models together: what each seed prefers alone partly cancels, and the "
    "noise of few draws lowers a correlation"
)
"""What the figures by epoch can't tell."""


def lift_by_epoch(
    masks: pd.DataFrame, arm: str | None = None, start: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the log lift of each gene (rows) in each epoch (columns); see `EPOCH_LIMITS`.

    Parameters
    ----------
    masks
        The run table `masks`, with the rows of ``by="epoch"``.
    arm
        As in `sgm_core.analysis.masks.select_masks`.
    start
        The run table `masks_start`: epoch 0, before the first update.

    Returns
    -------
    DataFrame
        Log of the mask frequency over that of genes of equal expression, not shrunk; genes without one in
        every epoch are left out. No columns where the run counted no epochs.
    """
    arm = arm or default_arm(masks)
    rows = {}
    if start is not None and arm in mask_arms(start):
        rows[0] = select_masks(start, arm)
    for level in mask_levels(masks).get("epoch", []):
        rows[int(level)] = select_masks(masks, arm, by="epoch", level=level)
    return pd.DataFrame({epoch: log_lift(of) for epoch, of in rows.items()}).dropna()


def epoch_agreement(lifts: pd.DataFrame) -> pd.DataFrame:
    """Return the rank correlation of each earlier epoch's lift with that of the last.

    Parameters
    ----------
    lifts
        From `lift_by_epoch`.

    Returns
    -------
    DataFrame
        epoch, correlation (Spearman), low, high (95 %, bootstrap over genes), genes; empty where there is
        nothing to compare.
    """
    values, last = lifts.to_numpy(), lifts.shape[1] - 1
    columns = ["epoch", "correlation", "low", "high", "genes"]
    if last < 1 or len(lifts) < 3:
        return pd.DataFrame(columns=columns)
    each = np.arange(last + 1)
    found = [rank_correlation(values, each[k : k + 1], each[-1:], each) for k in range(last)]
    rows = [(epoch, *three, len(lifts)) for epoch, three in zip(lifts.columns, found)]
    return pd.DataFrame(rows, columns=columns)
