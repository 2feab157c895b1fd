import numpy as np
import pandas as pd
from synthetic_masks import masks_and_cells, simulated_values, untrained

from sgm_core.analysis.biology import biology, biology_sentence, biology_verdict
from sgm_core.analysis.diagnostic import diagnostic
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


def test_a_set_is_proven_only_in_proven_masks_of_three_seeds() -> None:
    law = np.zeros_like(VALUES)
    law[:, PLANTED] += np.log(4)
    masks, cells = masks_and_cells(law, VALUES, seeds=3)
    table = biology(rankings(masks, top=40), SETS)
    d = diagnostic(masks, cells, start=untrained(VALUES))
    assert biology_verdict(table, d).confidence == "proven"
    two = biology_verdict(table, d | {"seeds": 2})
    assert (two.confidence, "2 seeds can't tell" in two.sentence) == ("undecided", True)
    chance = biology_verdict(table, d | {"added_sd": 0.0})
    assert (chance.confidence, "guided is not proven" in chance.sentence) == ("undecided", True)


def test_sets_without_a_gene_of_the_universe_leave_an_empty_table() -> None:
    masks, _ = masks_and_cells(np.zeros_like(VALUES), VALUES, seeds=3)
    table = biology(rankings(masks, top=40), {"elsewhere": ["NOSUCHGENE"]})
    assert table.empty
    assert not table["beyond_controls"].any()
    assert biology_verdict(table, {}).sentence == "No gene set to hold the genes against"
