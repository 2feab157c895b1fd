import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sgm_core.analysis.inference import detectable_difference, standard_error
from sgm_core.analysis.metrics import score_predictions
from sgm_core.analysis.statistics import (
    comparison_sentence,
    fold_summary,
    pair_in_view,
    paired_difference,
    paired_table,
    primary_pair,
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
    assert row["sd_folds"] == pytest.approx(np.std(values, ddof=1))
    assert np.isnan(row["sd_seeds"])
    assert (row["n_folds"], row["n_seeds"]) == (5, 1)


def test_seeds_of_a_fold_are_averaged_first() -> None:
    folds = folds_of({A: [0.4, 0.5, 0.6]})
    again = pd.concat([folds, folds.assign(seed=1, macro_f1=folds["macro_f1"] + 0.1)])
    row = fold_summary(again).iloc[0]
    assert row["n_folds"] == 3
    assert row["mean"] == pytest.approx(0.55)
    assert row["sd_folds"] == pytest.approx(0.1)
    assert row["sd_seeds"] == pytest.approx(0.1 / np.sqrt(2))
    assert row["n_seeds"] == 2


def test_fold_noise_and_training_noise_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    between, within, k, seeds = 0.05, 0.01, 300, 3
    level = 0.5 + between * rng.normal(size=k)
    frames = [folds_of({A: list(level + within * rng.normal(size=k))}).assign(seed=s) for s in range(seeds)]
    row = fold_summary(pd.concat(frames)).iloc[0]
    assert row["sd_seeds"] == pytest.approx(within, rel=0.1)
    assert row["sd_folds"] == pytest.approx(np.sqrt(between**2 + within**2 / seeds), rel=0.1)
    assert (row["n_folds"], row["n_seeds"]) == (k, seeds)


def test_a_fold_with_one_seed_says_nothing_of_training_noise() -> None:
    folds = folds_of({A: [0.4, 0.5], B: [0.4, 0.5]})
    more = folds[(folds["arm"] == A[0]) & (folds["fold"] == 0)].assign(seed=1, macro_f1=0.42)
    table = fold_summary(pd.concat([folds, more])).set_index("arm")
    assert table.loc[A[0], "sd_seeds"] == pytest.approx(0.02 / np.sqrt(2))
    assert table.loc[A[0], "n_seeds"] == 1  # as many as every fold has
    assert np.isnan(table.loc[B[0], "sd_seeds"])


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
    pair = paired_difference(folds, A, B, metric, role="primary")
    assert pair["verdict"] == verdict
    assert pair["confidence"] == ("undecided" if verdict == "undecided" else "proven")
    described = paired_difference(folds, A, B, metric)
    assert (described["role"], described["verdict"]) == ("descriptive", "described")
    assert comparison_sentence(described).endswith("over five folds: descriptive, not tested")


def correlated(rng: np.random.Generator, sd: float = 0.02, rho: float = 3 / 15, k: int = 5) -> np.ndarray:
    """Draw fold scores around 0 that share training donors: correlated as Nadeau and Bengio assume."""
    return sd * (np.sqrt(rho) * rng.normal() + np.sqrt(1 - rho) * rng.normal(size=k))


def test_the_interval_covers_what_it_promises() -> None:
    rng = np.random.default_rng(0)
    n, covered = 400, 0
    for _ in range(n):
        folds = folds_of({A: list(0.5 + correlated(rng)), B: [0.5] * 5})
        covered += paired_difference(folds, A, B, role="primary")["verdict"] == "undecided"
    assert covered / n == pytest.approx(0.95, abs=0.03)


def test_a_planted_difference_of_the_detectable_size_is_proven_four_times_in_five() -> None:
    rng, n, found = np.random.default_rng(0), 400, 0
    planted = detectable_difference(standard_error(0.02 * np.sqrt(1 - 3 / 15), 5, 3 / 12), 5)
    for _ in range(n):
        folds = folds_of({A: list(0.5 + planted + correlated(rng)), B: [0.5] * 5})
        found += paired_difference(folds, A, B, role="primary")["verdict"] == "better"
    assert found / n == pytest.approx(0.8, abs=0.06)


def test_two_seeds_of_one_model_are_seldom_proven_different() -> None:
    """Predictions of equal arms, scored as a run scores them: fold effects shared, errors their own."""
    rng, n, proven = np.random.default_rng(0), 100, 0
    classes = np.array(["B", "HSC", "NK", "T"])
    for _ in range(n):
        scores: dict[tuple[str, str], list[float]] = {A: [], B: []}
        for _ in range(5):
            true, accuracy = rng.choice(classes, 150), rng.uniform(0.5, 0.8)
            for series in scores.values():
                predicted = np.where(rng.random(150) < accuracy, true, rng.permutation(true))
                found = score_predictions(true, predicted, np.ones(150), classes)
                series.append(float(found["macro_f1"]))
        proven += paired_table(folds_of(scores))["confidence"].eq("proven").any()
    assert proven / n <= 0.05


def test_among_many_arms_without_a_difference_seldom_one_is_proven() -> None:
    """The secondary comparisons are one family: judged one by one, every fifth run would prove something."""
    rng, n = np.random.default_rng(0), 200
    others = ["no-pretraining", "uniform", "uniform+summary", "expression+summary"]
    sides = [(arm, scheme) for arm in ["self-guided", *others] for scheme in ("linear-probe", "partial")]
    sides += [("pca-knn", "baseline"), ("pca-logistic", "baseline")]
    any_proven, any_below = 0, 0
    for _ in range(n):
        folds = folds_of({side: list(0.5 + correlated(rng)) for side in sides})
        table = paired_table(
            folds[["arm", "scheme", "fold", "seed", "macro_f1", "donors_train", "donors_test"]]
        )
        secondary = table[table["role"] == "secondary"]
        assert len(secondary) == 17
        any_proven += (secondary["confidence"] == "proven").any()
        any_below += (secondary["p"] < 0.05).any()
    assert any_proven / n <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
    assert any_below / n > 0.2


def test_one_fold_gives_no_interval() -> None:
    folds = folds_of({A: [0.5], B: [0.4]})
    pair = paired_difference(folds, A, B, role="primary")
    assert pair["verdict"] == "undecided"
    assert np.isnan(pair["half_width"])
    assert comparison_sentence(pair) == (
        "Self-guided +10.0 macro F1 over uniform + summary: undecided, one fold gives no interval"
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


def test_the_primary_comparison_follows_from_the_schemes_of_the_run() -> None:
    assert primary_pair(["linear-probe", "partial"]) == (A, B)
    assert primary_pair(["linear-probe", "last-block"])[0] == ("self-guided", "linear-probe")
    rng = np.random.default_rng(0)
    sides = [(arm, scheme) for scheme in ("linear-probe", "partial") for arm in (A[0], B[0], "uniform")]
    for shift in (-0.2, 0.0, 0.2):  # whatever the results
        values = {side: list(rng.uniform(0.4, 0.6, 5) + shift * (side[1] == "partial")) for side in sides}
        table = paired_table(folds_of(values))
        primary = table[table["role"] == "primary"]
        assert primary[["arm_a", "arm_b", "scheme", "metric"]].to_numpy().tolist() == [
            ["self-guided", "uniform+summary", "partial", "macro_f1"]
        ]
        assert table.loc[table["metric"] == "macro_f1", "role"].value_counts().to_dict() == {
            "secondary": 3, "primary": 1,
        }  # fmt: skip
        assert set(table.loc[table["metric"] != "macro_f1", "role"]) == {"descriptive"}
    # under way, with the first scheme alone finished: what will be secondary isn't primary meanwhile
    first = folds_of({side: series for side, series in values.items() if side[1] == "linear-probe"})
    assert set(paired_table(first, schemes=("linear-probe", "partial"))["role"]) == {
        "secondary",
        "descriptive",
    }


def test_secondary_comparisons_are_judged_by_holm_and_the_primary_by_its_interval() -> None:
    clear, faint = [0.6, 0.61, 0.6, 0.59, 0.6], [0.53, 0.55, 0.52, 0.54, 0.52]
    same = [0.5, 0.50, 0.5, 0.49, 0.5]
    folds = folds_of({A: clear, B: faint, ("uniform", "partial"): same, ("pca-knn", "baseline"): faint})
    table = paired_table(folds).query("metric == 'macro_f1'").set_index("arm_b")
    primary = table.loc["uniform+summary"]
    assert (primary["role"], primary["confidence"], primary["level"]) == ("primary", "proven", 0.05)
    assert np.isnan(primary["p_holm"])
    family = table[table["role"] == "secondary"]
    assert family["level"].tolist() == [0.025, 0.025]
    assert family["p_holm"].tolist() == pytest.approx([2 * family["p"].min(), family["p"].max()])
    assert (family["detectable"] > family["half_width"]).all()
    # an interval without zero, yet undecided: Holm has the word
    many = folds_of({A: faint, B: same} | {(f"arm{k}", "partial"): same for k in range(8)})
    row = paired_table(many).query("metric == 'macro_f1' and arm_b == 'arm0'").iloc[0]
    assert row["low"] > 0
    assert (row["confidence"], row["verdict"]) == ("undecided", "undecided")
    assert "secondary comparison, Holm-corrected p 0.23): undecided" in comparison_sentence(row)


def test_a_pair_in_view_keeps_its_role_in_either_direction() -> None:
    folds = folds_of({A: [0.6, 0.61, 0.6], B: [0.5] * 3, ("uniform", "partial"): [0.5, 0.52, 0.51]})
    paired = paired_table(folds)
    there, back = pair_in_view(paired, folds, A, B), pair_in_view(paired, folds, B, A)
    assert there["role"] == back["role"] == "primary"
    assert (there["verdict"], back["verdict"]) == ("better", "worse")
    assert (back["low"], back["high"]) == (-there["high"], -there["low"])
    assert comparison_sentence(back).startswith("Uniform + summary -10.3 macro F1 over self-guided")
    outside = pair_in_view(paired, folds, B, ("uniform", "partial"))
    assert outside["role"] == "descriptive"


def test_the_side_with_fewer_training_donors_rules_the_variance() -> None:
    values = {A: [0.50, 0.56, 0.53, 0.61, 0.5], B: [0.5] * 5}
    folds = folds_of(values)
    folds.loc[folds["arm"] == B[0], "donors_train"] = 10
    pair = paired_difference(folds, A, B)
    assert pair["half_width"] == pytest.approx(stats.t.ppf(0.975, 4) * pair["sd"] * np.sqrt(1 / 5 + 3 / 10))


def test_a_table_of_one_arm_has_no_pairs() -> None:
    table = paired_table(folds_of({A: [0.5, 0.6]}))
    assert table.empty
    assert "verdict" in table


def test_sentences() -> None:
    values = {
        A: [0.5, 0.56, 0.53, 0.61, 0.5],
        B: [0.52] * 5,
        ("uniform", "partial"): [0.1, 0.11, 0.1, 0.1, 0.1],
    }
    table = paired_table(folds_of(values))
    secondary, described = (table[table["arm_b"] == "uniform"].iloc[k] for k in (0, 1))
    primary = table[table["role"] == "primary"].iloc[0].to_dict()
    assert comparison_sentence(primary) == (
        "Self-guided +2.0 macro F1 over uniform + summary, 95 % interval -6.6 to 10.6 (primary comparison): "
        "undecided; with five folds a difference of 11.7 would be found with 80 % power"
    )
    assert comparison_sentence(secondary) == (
        "Self-guided +43.8 macro F1 over uniform, 95 % interval 35.3 to 52.3 (secondary comparison, "
        "Holm-corrected p < 0.001): proven better over five folds"
    )
    assert comparison_sentence(primary | {"detectable": 1.2}).endswith(
        "undecided; with five folds not even a difference of 100 would be found with 80 % power"
    )
    assert comparison_sentence(described) == (
        "Self-guided +43.8 weighted F1 over uniform, 95 % interval 35.3 to 52.3 over five folds: "
        "descriptive, not tested"
    )
