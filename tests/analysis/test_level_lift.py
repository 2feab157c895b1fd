"""What is hidden beyond expression in each donor: a planted preference is found, chance is none."""

import numpy as np
import pandas as pd
from synthetic_masks import masks_and_cells, simulated_values

from sgm_core.analysis.level_lift import donors_above, lift_by_level

VALUES = simulated_values(400, 200)
DONORS = [f"D{i}" for i in range(8)]


def by_donor(law: np.ndarray) -> pd.DataFrame:
    parts = [
        masks_and_cells(law + np.zeros_like(VALUES), VALUES, seed=seed)[0].assign(by="donor", level=donor)
        for seed, donor in enumerate(DONORS)
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_preference_is_in_every_donor_and_its_size_is_right():
    law = np.zeros(200)
    law[[10, 20]] = np.log(3), -np.log(3)
    lifts = lift_by_level(by_donor(law), "donor")
    assert list(lifts.columns) == DONORS
    assert donors_above(lifts, "G0010") == (8, 8) and donors_above(lifts, "G0020") == (0, 8)
    assert 2 < np.exp(lifts.loc["G0010"].mean()) < 3.3
    assert donors_above(lifts, "NOSUCHGENE") == (0, 0)


def test_uniform_masks_are_above_in_half_of_the_donors():
    lifts = lift_by_level(by_donor(np.zeros(200)), "donor")
    above = np.array([donors_above(lifts, gene)[0] for gene in lifts.index])
    assert 3.7 < above.mean() < 4.3
    assert (above == 8).mean() < 0.03


def test_a_donor_of_few_draws_is_left_out():
    masks = by_donor(np.zeros(200))
    few = masks["level"] == "D0"
    masks.loc[few, ["masked", "opportunities"]] = 1, 5
    assert list(lift_by_level(masks, "donor").columns) == DONORS[1:]
