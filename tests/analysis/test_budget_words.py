"""What is said of few labels is what the tables prove, and nothing of models that learned nothing."""

import numpy as np
import pandas as pd
import pytest
from synthetic_budgets import budget_scores

from sgm_core.analysis.budget_words import (
    budget_finding,
    budgets_of,
    has_budgets,
    in_reading_order,
    scores_by_labels,
)
from sgm_core.analysis.budgets import MAIN, budget_tables

LEVELS = {"self-guided": 0.70, "uniform+summary": 0.66, "no-pretraining": 0.60, "hvg-logistic": 0.65}


def folds_of(rng: np.random.Generator, n_folds: int = 5) -> pd.DataFrame:
    rows = []
    for fold in range(n_folds):
        donor = rng.normal(0, 0.05)
        for arm, level in LEVELS.items():
            score = level + donor + rng.normal(0, 0.005)
            scheme = "baseline" if arm == "hvg-logistic" else "partial"
            rows.append(
                {"arm": arm, "scheme": scheme, "fold": fold, "seed": 0, "macro_f1": score}
                | {"weighted_f1": score, "classes_scored": 12, "donors_train": 12, "donors_test": 3}
                | {"n_train": 5000}
            )
    return pd.DataFrame(rows)


def paired_of(rng: np.random.Generator, change=lambda budgets: budgets) -> pd.DataFrame:
    folds = folds_of(rng)
    return budget_tables(change(budget_scores(folds, rng)))["budget_paired"]


def row(arm, against, labels, difference, half, verdict, main=True, detectable=0.031):
    return {
        "arm": arm, "against": against, "scheme": "partial", "against_scheme": "partial", "labels": labels,
        "difference": difference, "low": difference - half, "high": difference + half, "p": 0.01,
        "p_holm": 0.02 if main else np.nan, "main": main, "detectable": detectable, "verdict": verdict,
    }  # fmt: skip


def test_the_sentence_names_budget_size_and_interval_of_what_is_proven():
    paired = pd.DataFrame(
        [
            row("self-guided", "uniform+summary", 0, 0.004, 0.02, "undecided", detectable=0.028),
            row("self-guided", "uniform+summary", 10, 0.011, 0.02, "undecided", detectable=0.0312),
            row("uniform+summary", "no-pretraining", 0, 0.01, 0.02, "undecided", detectable=0.025),
            row("uniform+summary", "no-pretraining", 10, 0.12, 0.04, "better"),
            row("uniform", "no-pretraining", 10, 0.33, 0.01, "better", main=False),
        ]
    )
    assert budget_finding(paired, "partial finetune") == (
        "Macro F1 by labelled cells a class, partial finetune: uniform + summary over no pretraining "
        "proven +12.0 at 10 (95 % interval 8.0 to 16.0), undecided at all labels (a difference of 2.5 would "
        "have been found with 80 % power); self-guided over uniform + summary undecided at 10 and all "
        "labels (a difference of 2.8 at all labels would have been found)",
        "proven",
    )
    nothing, sure = budget_finding(paired[paired["verdict"] == "undecided"])
    assert sure == "undecided" and "proven" not in nothing


def test_a_loss_is_proven_with_its_sign():
    paired = pd.DataFrame([row("self-guided", "hvg-logistic", 10, -0.05, 0.02, "worse")])
    said = budget_finding(paired)[0]
    assert "self-guided over variable genes + logistic regression proven -5.0 at 10" in said


def test_the_truth_is_found():
    text, sure = budget_finding(paired_of(np.random.default_rng(0)))
    assert sure == "proven"
    assert "self-guided over uniform + summary proven +1" in text


def test_scores_shuffled_between_arms_prove_nothing():
    """Within a fold every arm takes another's scores at all numbers of labels, so that none differs."""

    def shuffled(budgets: pd.DataFrame) -> pd.DataFrame:
        for _, fold in budgets.groupby("fold"):
            names = list(LEVELS)
            new = dict(zip(names, rng.permutation(names)))
            keys = ["arm", "labels", "draw"]
            scores = fold.set_index(keys)["macro_f1"]
            turned = [scores[new[arm], labels, draw] for arm, labels, draw in fold[keys].to_numpy()]
            budgets.loc[fold.index, "macro_f1"] = turned
        return budgets

    rng = np.random.default_rng(1)
    said = [budget_finding(paired_of(rng, shuffled))[1] for _ in range(20)]
    assert said.count("proven") <= 2  # one in twenty is expected by chance


def test_an_arm_that_learned_nothing_is_not_better():
    def nothing(budgets: pd.DataFrame) -> pd.DataFrame:
        chance = rng.normal(0.05, 0.005, len(budgets))
        mine = budgets["arm"] == "self-guided"
        return budgets.assign(macro_f1=budgets["macro_f1"].where(~mine, chance))

    rng = np.random.default_rng(2)
    paired = paired_of(rng, nothing)
    text = budget_finding(paired)[0]
    assert not (paired.loc[paired["main"] & (paired["arm"] == "self-guided"), "verdict"] == "better").any()
    assert (
        "self-guided over uniform + summary proven -" in text
        and "self-guided over uniform + summary proven +" not in text
    )


def test_one_fold_and_runs_without_main_comparisons_say_so():
    rng = np.random.default_rng(3)
    folds = folds_of(rng, 1)
    paired = budget_tables(budget_scores(folds, rng))["budget_paired"]
    assert budget_finding(paired) == (
        "Undecided at every number of labels: one fold gives no interval",
        "undecided",
    )
    text, sure = budget_finding(paired.assign(main=False))
    assert sure == "described" and "nothing is tested" in text


def test_a_difference_that_nothing_would_have_found_is_said():
    paired = pd.DataFrame([row(*MAIN[0], 10, 0.1, 0.5, "undecided", detectable=1.2)])
    assert "not even a difference of 100 would have been found" in budget_finding(paired)[0]


def test_the_table_has_each_mean_under_its_number_of_labels():
    rng = np.random.default_rng(4)
    folds = folds_of(rng)
    summary = budget_tables(budget_scores(folds, rng))["budget_summary"]
    table = scores_by_labels(summary.sample(frac=1, random_state=0))
    assert list(table) == ["arm", "scheme", "10", "30", "all"]
    for one in summary.itertuples():
        text = table.loc[table["arm"] == one.arm, "all" if one.labels == 0 else str(one.labels)].item()
        assert text == f"{100 * one.mean:.1f} ({100 * one.low:.1f} to {100 * one.high:.1f})"


def test_an_arm_without_a_score_yet_has_an_empty_place():
    rng = np.random.default_rng(5)
    folds = folds_of(rng)
    summary = budget_tables(budget_scores(folds, rng))["budget_summary"]
    table = scores_by_labels(summary[(summary["arm"] != "self-guided") | (summary["labels"] == 10)])
    mine = table[table["arm"] == "self-guided"].iloc[0]
    assert (mine["30"], mine["all"]) == ("", "") and mine["10"] != ""


def test_differences_are_read_pair_by_pair_from_few_labels_to_all():
    paired = in_reading_order(paired_of(np.random.default_rng(6)))
    first = paired.head(3)
    assert first["against"].nunique() == 1 and first["labels"].tolist() == [10, 30, 0]


@pytest.mark.parametrize(
    "labels, expected", [([0, 30, 10, 10], [10, 30, 0]), ([0], [0]), ([100, 2], [2, 100])]
)
def test_all_labels_come_last(labels, expected):
    assert budgets_of(labels) == expected


def test_a_run_with_all_labels_alone_has_no_budgets():
    table = pd.DataFrame({"labels": [0, 0]})
    assert not has_budgets(table) and not has_budgets(None)
    assert has_budgets(pd.DataFrame({"labels": [0, 10]}))
