"""Statistics by number of labels: what is averaged first, what Holm corrects, what chance gives."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sgm_core.analysis.budgets import BUDGETS, budget_tables, with_all_labels
from sgm_core.analysis.inference import holm, standard_error

ARMS = ("no-pretraining", "uniform+summary", "self-guided")


def scores(effect: float, seed: int = 0, folds: int = 5, labels=(10, 0)) -> pd.DataFrame:
    """Return scores in which every arm beats the one before it by `effect`, with noise of folds and draws."""
    rng = np.random.default_rng(seed)
    rows = []
    for fold in range(folds):
        level = rng.normal(0.5, 0.05)
        for n in labels:
            for number, arm in enumerate(ARMS):
                for draw in range(3 if n else 1):
                    rows.append(
                        {
                            **{"arm": arm, "scheme": "partial", "fold": fold, "seed": 0, "labels": n},
                            **{"draw": draw, "macro_f1": level + number * effect + rng.normal(0, 0.01)},
                            **{"weighted_f1": 0.5, "n_train": 10, "n_classes": 3, "short": 0},
                            **{"donors_train": 12, "donors_test": 3},
                        }
                    )
    return pd.DataFrame(rows)[BUDGETS]


def test_draws_then_seeds_then_folds_are_averaged():
    table = scores(0.05)
    more = table[(table["fold"] == 0) & (table["draw"] == 0) & (table["labels"] == 10)].assign(seed=1)
    table = pd.concat([table, more], ignore_index=True)
    summary = budget_tables(table)["budget_summary"].set_index(["arm", "labels"])
    own = table[(table["arm"] == "self-guided") & (table["labels"] == 10)]
    by_seed = own.groupby(["fold", "seed"])["macro_f1"].mean()
    by_fold = by_seed.groupby("fold").mean()
    row = summary.loc[("self-guided", 10)]
    assert row["mean"] == pytest.approx(by_fold.mean())
    half = stats.t.ppf(0.975, 4) * by_fold.std() / np.sqrt(5)
    assert row["high"] - row["mean"] == pytest.approx(half)
    assert row["draws"] == 3 and row["folds"] == 5 and summary.loc[("self-guided", 0), "draws"] == 1


def test_main_comparisons_are_one_family_over_all_budgets():
    table = scores(0.01, seed=3)
    paired = budget_tables(table)["budget_paired"]
    main = paired[paired["main"]]
    assert len(main) == 4  # two comparisons at two budgets; there is no hvg-logistic
    assert paired.loc[~paired["main"], "p_holm"].isna().all()
    assert (paired.loc[~paired["main"], "verdict"] == "described").all()
    mean = table.groupby(["arm", "fold", "labels"])["macro_f1"].mean()
    p = []
    for row in main.itertuples():
        d = (mean[row.arm] - mean[row.against]).xs(row.labels, level="labels")
        error = standard_error(float(d.std()), 5, 3 / 12)
        p.append(2 * stats.t.sf(abs(d.mean()) / error, 4))
    np.testing.assert_allclose(main["p"], p)
    np.testing.assert_allclose(main["p_holm"], holm(np.array(p)))


def test_an_effect_is_found_and_chance_is_not():
    found = budget_tables(scores(0.1))["budget_paired"]
    assert (found.loc[found["main"], "verdict"] == "better").all()
    wrong = 0
    for seed in range(40):
        table = scores(0.1, seed)
        rng = np.random.default_rng(seed)
        for _, rows in table.groupby(["fold", "labels"]):
            names = dict(zip(ARMS, rng.permutation(ARMS)))
            table.loc[rows.index, "arm"] = rows["arm"].map(names)
        paired = budget_tables(table)["budget_paired"]
        wrong += (paired.loc[paired["main"], "verdict"] != "undecided").any()
    assert wrong <= 4, "at most 5 % of families, of 40, with room for chance"


def test_one_fold_has_no_interval_and_proves_nothing():
    paired = budget_tables(scores(0.1, folds=1))["budget_paired"]
    main = paired[paired["main"]]
    assert main["p_holm"].isna().all() and (main["verdict"] == "undecided").all()


def test_scores_with_all_labels_come_from_the_folds():
    """Seen: n_classes was 12 with 10 labels and 9, the classes that are scored, with all of them."""
    few = scores(0.1, folds=2, labels=(10,))
    few["n_classes"] = few["fold"].map({0: 3, 1: 4})
    folds = scores(0.1, folds=2, labels=(0,)).drop(columns=["labels", "draw", "n_classes", "short"])
    whole = with_all_labels(few, folds.assign(classes_scored=2))
    assert sorted(whole["labels"].unique()) == [0, 10] and len(whole) == len(few) + len(folds)
    assert whole["n_classes"].dtype == few["n_classes"].dtype
    learned = whole.groupby(["fold", "labels"])["n_classes"].unique().map(list)
    assert learned.to_dict() == {(0, 0): [3], (0, 10): [3], (1, 0): [4], (1, 10): [4]}
