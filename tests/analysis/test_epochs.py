import numpy as np
import pandas as pd
from synthetic_masks import masks_and_cells, simulated_values, untrained

from sgm_core.analysis.epochs import epoch_agreement, lift_by_epoch

VALUES = simulated_values(600, 300)
STRENGTH = np.random.default_rng(1).normal(0, 0.5, 300)


def by_epoch(*strength: float) -> pd.DataFrame:
    parts = []
    for epoch, times in enumerate(strength, 1):
        table, _ = masks_and_cells(times * STRENGTH + np.zeros_like(VALUES), VALUES, seed=epoch)
        parts.append(table.assign(by="epoch", level=str(epoch)))
    return pd.concat(parts, ignore_index=True)


def test_a_preference_that_grows_comes_to_that_of_the_last_epoch() -> None:
    lifts = lift_by_epoch(by_epoch(0.1, 0.5, 1.0), start=untrained(VALUES))
    assert list(lifts.columns) == [0, 1, 2, 3]
    assert np.corrcoef(lifts[3], STRENGTH[[int(gene[1:]) for gene in lifts.index]])[0, 1] > 0.9
    found = epoch_agreement(lifts).set_index("epoch")
    assert list(found.index) == [0, 1, 2]
    assert found["correlation"].is_monotonic_increasing
    assert found.loc[0, "low"] < 0 < found.loc[0, "high"]
    assert found.loc[2, "correlation"] > 0.8
    assert (found["genes"] == 300).all()


def test_one_epoch_without_a_start_has_nothing_to_compare() -> None:
    assert epoch_agreement(lift_by_epoch(by_epoch(1.0))).empty
    masks, _ = masks_and_cells(np.zeros_like(VALUES), VALUES, seeds=2)
    assert epoch_agreement(lift_by_epoch(masks)).empty
