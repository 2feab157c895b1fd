"""How much each field of a sweep moves the score: fANOVA, and whether there is anything to explain."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

from sgm_core.sweeps.config import SweepConfig
from sgm_core.sweeps.study import distributions_of
from sgm_core.sweeps.tables import FEWEST

SHUFFLES = 39
_TREES = 32
COLUMNS = ["field", "importance", "explained", "p", "n_trials"]


def importance(config: SweepConfig, trials: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return how the variance of the score is shared among the fields.

    Shares add up to 1 even where nothing matters, so a forest has to predict the scores of trials that it was
    not fitted to (out of bag) better than it does with the scores shuffled among the trials.

    Parameters
    ----------
    config : the sweep
    trials : as `sgm_core.sweeps.trial.read_trial` returns them

    Returns
    -------
    DataFrame
        field (its path); importance (0 to 1, NaN with fewer than `FEWEST` settings or no spread); explained:
        R2 of the forest out of bag; p: the share of `SHUFFLES` shuffles that do as well; n_trials.
    """
    distributions = distributions_of(config)
    whole = [one for one in trials if one["same_as"] is None and one["scores"]]
    reference = np.cumsum([score["macro_f1"] for score in whole[0]["scores"]]) if whole else np.zeros(1)
    whole = [one for one in whole if all(one["setting"][axis.path] in axis for axis in config.axes)]
    # less the default setting's mean over the same folds: a trial that was given up has not all of them
    scores = np.array(
        [
            np.mean([score["macro_f1"] for score in one["scores"]]) - reference[n - 1] / n
            for one in whole
            for n in [len(one["scores"])]
        ]
    )
    rows = pd.DataFrame({"field": list(distributions)}).assign(n_trials=len(whole))
    if len(whole) < FEWEST or np.ptp(scores) == 0:
        return rows.assign(importance=np.nan, explained=np.nan, p=np.nan)[COLUMNS]
    study = optuna.create_study(direction="maximize")
    for one, score in zip(whole, scores, strict=True):
        study.add_trial(
            optuna.trial.create_trial(params=one["setting"], distributions=distributions, value=float(score))
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, seed=config.seed)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    features = _features(config, whole)
    explained = _explained(features, scores)
    rng = np.random.default_rng(config.seed)
    as_good = sum(_explained(features, rng.permutation(scores)) >= explained for _ in range(SHUFFLES))
    return rows.assign(
        importance=rows["field"].map(shares), explained=explained, p=(1 + as_good) / (1 + SHUFFLES)
    ).sort_values("importance", ascending=False, ignore_index=True)[COLUMNS]


def _explained(features: np.ndarray, scores: np.ndarray) -> float:
    forest = RandomForestRegressor(_TREES, oob_score=True, bootstrap=True, random_state=0)
    return float(forest.fit(features, scores).oob_score_)


def _features(config: SweepConfig, trials: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return the settings as numbers: values of lists as indicators, logarithmic ranges in the logarithm."""
    columns: list[np.ndarray] = []
    for axis in config.axes:
        values = [one["setting"][axis.path] for one in trials]
        if axis.values:
            columns += [np.array([value == choice for value in values], float) for choice in axis.values]
        else:
            columns.append(np.log(values) if axis.log else np.array(values, float))
    return np.column_stack(columns)
