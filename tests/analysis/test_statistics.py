import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sgm_core.analysis.statistics import (
    comparison_sentence,
    fold_summary,
    paired_difference,
    paired_table,
    summary_table,
)

A, B = ("self-guided", "partial"), ("uniform+summary", "partial")


def folds_of(values: dict[tuple[str, str], list[float]], train: int = 12, test: int = 3) -> pd.DataFrame:
    rows = [
        {"arm": arm, "scheme": scheme, "fold": k, "seed": 0, "macro_f1": value, "weighted_f1": value}
        | {"micro_f1": value, "ece": 1 - value, "donors_train": train, "donors_test": test}
        for (arm, scheme), series in values.items()
        for k, value in enumerate(series)
    ]
    return pd.DataFrame(rows)


def test_summary_is_the_t_interval() -> None:
    values = [0.5, 0.54, 0.49, 0.6, 0.52]
    row = fold_summary(folds_of({A: values})).iloc[0]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((np.mean(values), low, high))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert row["n_folds"] == 5


def test_seeds_of_a_fold_are_averaged_first() -> None:
    folds = folds_of({A: [0.4, 0.5, 0.6]})
    again = pd.concat([folds, folds.assign(seed=1, macro_f1=folds["macro_f1"] + 0.1)])
    row = fold_summary(again).iloc[0]
    assert row["n_folds"] == 3
    assert row["mean"] == pytest.approx(0.55)
    assert row["sd"] == pytest.approx(0.1)


def test_half_width_with_five_folds_is_1_86_standard_deviations() -> None:
    pair = paired_difference(folds_of({A: [0.50, 0.56, 0.53, 0.61, 0.5], B: [0.5] * 5}), A, B)
    assert pair["half_width"] / pair["sd"] == pytest.approx(1.86, abs=0.005)
    assert pair["half_width"] == pytest.approx(stats.t.ppf(0.975, 4) * pair["sd"] * np.sqrt(1 / 5 + 3 / 12))
    assert pair["low"] == pytest.approx(pair["difference"] - pair["half_width"])


@pytest.mark.parametrize(
    ("difference", "metric", "verdict"),
    [
        ([0.10, 0.11, 0.09, 0.10, 0.10], "macro_f1", "better"),
        ([-0.10, -0.11, -0.09, -0.10, -0.10], "macro_f1", "worse"),
        ([0.10, -0.09, 0.02, 0.04, 0.0], "macro_f1", "undecided"),
        ([0.10, 0.11, 0.09, 0.10, 0.10], "ece", "better"),  # F1 up, calibration error down
    ],
)
def test_verdicts(difference: list[float], metric: str, verdict: str) -> None:
    folds = folds_of({A: [0.5 + d for d in difference], B: [0.5] * 5})
    assert paired_difference(folds, A, B, metric)["verdict"] == verdict


def test_the_interval_covers_what_it_promises() -> None:
    """Folds that share training donors: differences correlated as Nadeau and Bengio assume."""
    rng = np.random.default_rng(0)
    rho, n, covered = 3 / 15, 400, 0  # n_test / (n_train + n_test)
    for _ in range(n):
        d = 0.02 * (np.sqrt(rho) * rng.normal() + np.sqrt(1 - rho) * rng.normal(size=5))
        covered += (
            paired_difference(folds_of({A: list(0.5 + d), B: [0.5] * 5}), A, B)["verdict"] == "undecided"
        )
    assert covered / n == pytest.approx(0.95, abs=0.03)


def test_one_fold_gives_no_interval() -> None:
    folds = folds_of({A: [0.5], B: [0.4]})
    pair = paired_difference(folds, A, B)
    assert pair["verdict"] == "undecided"
    assert np.isnan(pair["half_width"])
    assert comparison_sentence(pair) == (
        "Self-guided +10.0 macro F1 over uniform + summary: not proven, one fold gives no interval"
    )


def test_tables_hold_the_planned_pairs() -> None:
    rng = np.random.default_rng(0)
    sides = [
        (arm, scheme)
        for arm in ("no-pretraining", "uniform+summary", "self-guided")
        for scheme in ("partial",)
    ]
    folds = folds_of({side: list(rng.uniform(0.4, 0.6, 5)) for side in [*sides, ("pca-knn", "baseline")]})
    table = paired_table(folds)
    pairs = table.loc[table["metric"] == "macro_f1", ["arm_a", "arm_b", "scheme_b"]].to_numpy().tolist()
    assert pairs == [
        ["self-guided", "no-pretraining", "partial"],
        ["self-guided", "uniform+summary", "partial"],
        ["self-guided", "pca-knn", "baseline"],
        ["uniform+summary", "no-pretraining", "partial"],
    ]
    summary = summary_table(folds)
    assert summary.groupby("metric").size().to_dict() == {
        "macro_f1": 4, "weighted_f1": 4, "micro_f1": 4, "ece": 4,
    }  # fmt: skip


def test_a_table_of_one_arm_has_no_pairs() -> None:
    table = paired_table(folds_of({A: [0.5, 0.6]}))
    assert table.empty
    assert "verdict" in table


def test_sentences() -> None:
    pair = paired_difference(folds_of({A: [0.5, 0.56, 0.53, 0.61, 0.5], B: [0.52] * 5}), A, B)
    assert comparison_sentence(pair) == (
        "Self-guided +2.0 macro F1 over uniform + summary, 95 % interval -6.6 to 10.6: not proven; "
        "with five folds a difference under 8.6 could not have been seen"
    )
    pair = paired_difference(folds_of({A: [0.6, 0.61, 0.6], ("no-pretraining", "partial"): [0.5] * 3}), A,
                             ("no-pretraining", "partial"))  # fmt: skip
    assert comparison_sentence(pair) == (
        "Self-guided +10.3 macro F1 over no pretraining, 95 % interval 8.4 to 12.2: better, over three folds"
    )
