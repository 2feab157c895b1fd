"""The best of many trials against the default: how often chance is called an improvement."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.importance import importance
from sgm_core.sweeps.tables import fold_table, trial_table
from sgm_core.sweeps.verdict import verdict

TRAIN, VALIDATION = 12, 4


def tables(scores: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of trials with these scores (trials, folds), all of different settings."""
    known = [
        {
            "number": number,
            "state": "done",
            "same_as": None,
            "error": "",
            "setting": {"pretrain.lr_new": number},
            "scores": [
                {
                    "fold": fold,
                    "macro_f1": score,
                    "n_validation": 100,
                    "donors_train": TRAIN,
                    "donors_validation": VALIDATION,
                    "seconds": 1.0,
                }
                for fold, score in enumerate(row)
            ],
        }
        for number, row in enumerate(scores)
    ]
    return trial_table(known), fold_table(known)


def test_chance_is_called_an_improvement_in_one_sweep_of_twenty_at_most() -> None:
    rng, sweeps = np.random.default_rng(1), 150
    corrected = uncorrected = 0
    for _ in range(sweeps):
        level = rng.normal(0.7, 0.05, 4)  # donors differ, settings do not
        found = verdict(*tables(level + rng.normal(0, 0.02, (20, 4))))
        corrected += found.better
        uncorrected += found.difference > 0 and found.p / found.others < 0.05
    assert corrected <= 0.05 * sweeps < uncorrected


def test_the_interval_is_that_of_so_many_tries() -> None:
    scores = np.array([[0.70, 0.72, 0.68, 0.71], [0.80, 0.83, 0.77, 0.82], [0.6, 0.6, 0.6, 0.6]])
    found = verdict(*tables(scores))
    differences = scores[1] - scores[0]
    error = differences.std(ddof=1) * np.sqrt(1 / 4 + VALIDATION / TRAIN)
    half = error * stats.t.isf(0.05 / 2 / 2, 3)  # two other settings
    assert (found.best, found.others) == (1, 2)
    assert found.low == pytest.approx(differences.mean() - half)
    assert found.high == pytest.approx(differences.mean() + half)
    assert found.p == pytest.approx(2 * 2 * stats.t.sf(differences.mean() / error, 3))
    assert found.better and "to be confirmed on others" in found.sentence


def test_one_fold_says_nothing_and_the_same_difference_in_every_fold_is_no_proof() -> None:
    found = verdict(*tables(np.array([[0.5], [0.9]])))
    assert not found.better and "one fold gives no interval" in found.sentence
    found = verdict(*tables(np.array([[0.5, 0.5], [0.75, 0.75]])))
    assert not found.better
    assert verdict(*tables(np.array([[0.5, 0.6]]))) is None


def test_what_moves_the_score_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    config = SweepConfig.from_dict({"space": ["lr_new=1e-4..1e-2:log", "R=1,2,4", "mask_ratio=0.1..0.9"]})

    def trial(number: int, matters: float) -> dict:
        setting = {
            "pretrain.lr_new": float(10 ** rng.uniform(-4, -2)),
            "pretrain.subset": int(rng.choice([1, 2, 4])),
            "pretrain.mask_ratio": float(rng.uniform(0.1, 0.9)),
        }
        score = 0.6 + matters * np.log10(setting["pretrain.lr_new"]) + rng.normal(0, 0.02)
        return {"number": number, "state": "done", "same_as": None, "setting": setting} | {
            "scores": [{"macro_f1": float(score)}]
        }

    real = importance(config, [trial(number, 0.1) for number in range(30)])
    assert real["field"].iloc[0] == "pretrain.lr_new" and real["importance"].iloc[0] > 0.7
    assert (real["explained"] > 0.3).all() and (real["p"] < 0.05).all()
    noise = importance(config, [trial(number, 0.0) for number in range(30)])
    assert noise["importance"].sum() == pytest.approx(1), "shares add up even where nothing matters"
    assert not ((noise["explained"] > 0) & (noise["p"] < 0.05)).any()
    few = importance(config, [trial(number, 0.1) for number in range(5)])
    assert few["importance"].isna().all() and (few["n_trials"] == 5).all()
