"""The pooled score and its bootstrap over donors."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from sgm_core.analysis.pooled import POOLED_COLUMNS, donor_bootstrap, pooled_table, with_pooled
from sgm_core.analysis.statistics import paired_table
from sgm_core.errors import InputError

CLASSES = np.array(["B", "HSC", "NK", "T", "pDC"])
A, B = ("self-guided", "partial"), ("uniform", "partial")
N, DONORS = 420, 7


@pytest.fixture
def donors() -> np.ndarray:
    return np.array([f"D{i % DONORS}" for i in range(N)])


def predictions_of(
    accuracy: dict[tuple[str, str], float], rng: np.random.Generator, seeds: int = 1, n: int = N
) -> pd.DataFrame:
    """Donors 0 to 3 are tested in fold 0, the others in fold 1; pDC isn't scored."""
    true = rng.choice(CLASSES, n, p=[0.3, 0.25, 0.15, 0.2, 0.1])
    fold = (np.arange(n) % DONORS > 3).astype(int)
    frames = []
    for (arm, scheme), right in accuracy.items():
        for seed in range(seeds):
            predicted = np.where(rng.random(n) < right, true, rng.choice(CLASSES, n))
            frame = pd.DataFrame({"cell": np.arange(n), "fold": fold, "arm": arm, "scheme": scheme})
            frames.append(frame.assign(seed=seed, true=true, predicted=predicted, scored=true != "pDC"))
    return pd.concat(frames, ignore_index=True)


def macro(cells: pd.DataFrame) -> float:
    cells = cells[cells["scored"]]
    return f1_score(cells["true"], cells["predicted"], labels=sorted(set(cells["true"])), average="macro")


@pytest.fixture
def cells() -> pd.DataFrame:
    return predictions_of({A: 0.8, B: 0.5}, np.random.default_rng(0), seeds=3)


def of(cells: pd.DataFrame, side: tuple[str, str], seed: int) -> pd.DataFrame:
    return cells[(cells["arm"] == side[0]) & (cells["scheme"] == side[1]) & (cells["seed"] == seed)]


def test_the_pooled_score_is_sklearns_over_all_folds_per_seed(cells, donors) -> None:
    table = pooled_table(cells, donors, n=200).set_index("arm")
    for side in (A, B):
        row = table.loc[side[0]]
        assert row["value"] == pytest.approx(np.mean([macro(of(cells, side, s)) for s in range(3)]))
        assert row["low"] < row["value"] < row["high"]
        assert (row["n_donors"], row["n_folds"], row["n_seeds"]) == (DONORS, 2, 3)
        assert row["n_cells"] == of(cells, side, 0)["scored"].sum()


def test_a_draw_repeats_donors(cells, donors) -> None:
    """One resample by hand: cells of donor d repeated as often as d was drawn, the same in every seed."""
    drawn = np.random.default_rng(0).multinomial(DONORS, np.full(DONORS, 1 / DONORS), size=1)[0]
    again = cells.loc[cells.index.repeat(drawn[cells["cell"] % DONORS])]
    expected = np.mean([macro(of(again, A, s)) for s in range(3)])
    assert donor_bootstrap(cells, donors, A, n=1)["low"] == pytest.approx(expected)


def test_a_difference_uses_the_same_draws(cells, donors) -> None:
    same = donor_bootstrap(cells, donors, A, A, n=100)
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    both = donor_bootstrap(cells, donors, A, B, n=500)
    alone = pooled_table(cells, donors, n=10).set_index("arm")["value"]
    assert both["value"] == pytest.approx(alone["self-guided"] - alone["uniform"])
    assert both["low"] > 0


def test_sides_are_held_against_each_other_on_common_folds_and_whole_seeds(cells, donors) -> None:
    """A run under way: B lacks fold 1, A's last seed too."""
    part = cells[(cells["arm"] != "uniform") | (cells["fold"] == 0)]
    part = part[(part["seed"] < 2) | (part["fold"] == 0)]
    both = donor_bootstrap(part, donors, A, B, n=10)
    first = cells[cells["fold"] == 0]
    expected = [np.mean([macro(of(first, side, s)) for s in range(3)]) for side in (A, B)]
    assert both["value"] == pytest.approx(expected[0] - expected[1])
    row = pooled_table(part, donors, n=10).set_index("arm").loc["self-guided"]
    assert (row["n_folds"], row["n_seeds"]) == (2, 2)
    assert row["value"] == pytest.approx(np.mean([macro(of(cells, A, s)) for s in range(2)]))
    with pytest.raises(InputError, match="no scored predictions"):
        donor_bootstrap(part, donors, A, ("unknown", "partial"))


def test_a_class_with_few_cells_is_left_out_and_one_donor_has_no_interval(cells) -> None:
    few = cells[(cells["true"] != "NK") | (cells["cell"] < 30)]
    assert 0 < (of(few, A, 0)["true"] == "NK").sum() < 10
    one = donor_bootstrap(few, np.full(N, "D0"), A)
    assert np.isnan([one["low"], one["high"]]).all()
    kept = few[few["scored"]]
    expected = [
        f1_score(
            of(kept, A, s)["true"], of(kept, A, s)["predicted"], labels=["B", "HSC", "T"], average="macro"
        )
        for s in range(3)
    ]
    assert one["value"] == pytest.approx(np.mean(expected))


def test_the_paired_table_gets_the_pooled_differences_of_macro_f1(cells, donors) -> None:
    rows = [
        {"arm": arm, "scheme": scheme, "fold": fold, "seed": seed, "macro_f1": macro(part), "ece": 0.1}
        | {"donors_train": 5, "donors_test": 2}
        for (arm, scheme, fold, seed), part in cells.groupby(["arm", "scheme", "fold", "seed"])
    ]
    paired = with_pooled(paired_table(pd.DataFrame(rows)), cells, donors, n=300)
    assert paired.loc[paired["metric"] == "ece", POOLED_COLUMNS].isna().all(axis=None)
    found = donor_bootstrap(cells, donors, A, B, n=300)
    row = paired[paired["metric"] == "macro_f1"].iloc[0]
    assert row[POOLED_COLUMNS].tolist() == pytest.approx([found["value"], found["low"], found["high"]])


def test_the_interval_of_two_equal_models_holds_zero(donors) -> None:
    """Two seeds of one model: the bootstrap of their difference rarely leaves zero out."""
    n, outside = 200, 0
    for k in range(n):
        cells = predictions_of({A: 0.7, B: 0.7}, np.random.default_rng(k))
        found = donor_bootstrap(cells, donors, A, B, n=500)
        outside += not found["low"] <= 0 <= found["high"]
    assert outside / n <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)
