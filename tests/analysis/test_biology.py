import numpy as np
import pandas as pd
from synthetic_masks import masks_and_cells, simulated_values

from sgm_core.analysis.biology import biology, biology_sentence
from sgm_core.analysis.rankings import group_rankings, rankings

PLANTED = np.arange(0, 400, 13)
VALUES = simulated_values()
SETS = {"planted": [f"G{i:04d}" for i in PLANTED]} | {
    f"random {k}": [f"G{i:04d}" for i in np.random.default_rng(k).choice(400, 30, False)] for k in range(20)
}


def tables(law: np.ndarray) -> pd.DataFrame:
    masks, _ = masks_and_cells(law, VALUES, seeds=3)
    total = masks.drop(columns=["seed", "fold", "by", "level"]).groupby(["arm", "gene"]).sum().reset_index()
    return pd.concat([masks, total.assign(seed=-1, fold=-1, by="cell_type", level="HSC")], ignore_index=True)


def test_a_planted_set_is_found_beyond_the_controls_and_in_the_cell_type() -> None:
    law = np.zeros_like(VALUES)
    law[:, PLANTED] += np.log(4)
    masks = tables(law)
    table = biology(rankings(masks, top=40), SETS, group_rankings(masks, "cell_type", top=40))
    found = table[table["beyond_controls"]]
    assert set(found["set"]) == {"planted"}
    assert set(found["level"]) == {"", "HSC"}
    assert biology_sentence(table).endswith("no control does: planted")
    assert {"uniform", "expression", "inverse"} <= set(table.loc[table["control"], "ranking"])


def test_uniform_shuffled_and_expression_masks_say_nothing_beyond_the_controls() -> None:
    uniform = tables(np.zeros_like(VALUES))
    shuffled = tables(np.random.default_rng(0).permutation(400)[None] / 200 + np.zeros_like(VALUES))
    for masks in (uniform, shuffled, tables(np.log(VALUES + 0.05))):
        table = biology(rankings(masks, top=40), SETS, group_rankings(masks, "cell_type", top=40))
        assert not table["beyond_controls"].any()
        assert "no control does" not in biology_sentence(table)
