"""When an arm's preference arose: each epoch's lift against that of the last."""

import pandas as pd
import streamlit as st

from pages.components import show, tables
from pages.components.kept import kept
from sgm_core.analysis.epochs import EPOCH_LIMITS, epoch_agreement, lift_by_epoch
from sgm_core.figures import mask_epochs
from sgm_core.figures.palette import arm_name
from sgm_core.runs.store import Run


def preference(run: Run, arm: str, beside: str | None, shares: pd.DataFrame, simulated: bool) -> None:
    """Draw how an arm's preference came, with the arm beside it; nothing for a run of one epoch.

    Parameters
    ----------
    shares
        arm, epoch and effective_share.
    """
    found = {each: _agreement_of(run, each) for each in ([arm, beside] if beside else [arm])}
    found = {each: rows for each, rows in found.items() if len(rows)}
    if arm not in found:
        return
    title = f"{arm_name(arm)}: preference over epochs"
    fig = mask_epochs.preference(found, shares[shares["arm"] == arm], arm, title)
    data = pd.concat([rows.assign(arm=each) for each, rows in found.items()])
    left, right = st.columns(2, gap="medium", vertical_alignment="center")
    with left:
        show.figure(fig, "preference-by-epoch", data, alt=title, simulated=simulated)
    with right:
        said = [
            f"{f'epoch {row.epoch}' if row.epoch else 'before training'} {row.correlation:z.2f} "
            f"({row.low:z.2f} to {row.high:z.2f})"
            for row in found[arm].itertuples()
        ]
        st.markdown(f"Rank correlation of lift with that of the last epoch: {'; '.join(said)}.")
        st.caption(f"{EPOCH_LIMITS[0].upper()}{EPOCH_LIMITS[1:]}.")


def _agreement_of(run: Run, arm: str) -> pd.DataFrame:
    (masks, stamp), (start, start_stamp) = (tables.key(run, name) for name in ("masks", "masks_start"))
    return _agreement((masks, start), (stamp, start_stamp), arm)


@kept("Comparing epochs")
def _agreement(paths: tuple[str, str], stamps: tuple[int, int], arm: str) -> pd.DataFrame:
    (masks, start), (stamp, start_stamp) = paths, stamps
    before = tables.cached(start, start_stamp, arm=arm, by="all") if start_stamp else None
    return epoch_agreement(lift_by_epoch(tables.cached(masks, stamp, arm=arm, by="epoch"), arm, before))
