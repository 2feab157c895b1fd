"""The tables of a sweep: one row a trial, and one row a trial and fold."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

FEWEST = 10
"""Different settings with a score on all folds before anything is said of what moved it."""
TABLES = ("trials", "fold_scores", "importance")
TRIALS = ["number", "state", "score", "sd_folds", "n_folds", "seconds", "same_as", "error", "setting"]
FOLDS = ["number", "fold", "macro_f1", "n_validation", "donors_train", "donors_validation", "seconds"]


def trial_table(trials: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a trial.

    Parameters
    ----------
    trials
        As `sgm_core.sweeps.trial.read_trial` returns them.

    Returns
    -------
    DataFrame
        number (0 = the default setting); state: running, done, pruned, failed; score: mean macro F1 of the
        validation donors over the folds done (0 to 1; NaN before the first); sd_folds; n_folds; seconds;
        same_as: the trial whose score it has, -1 = its own; error; setting: its values by path, as JSON.
    """
    rows = []
    for one in trials:
        scores = np.array([score["macro_f1"] for score in one["scores"]])
        rows.append(
            {
                "number": one["number"],
                "state": one["state"],
                "score": float(scores.mean()) if len(scores) else np.nan,
                "sd_folds": float(scores.std(ddof=1)) if len(scores) > 1 else np.nan,
                "n_folds": len(scores),
                "seconds": 0.0 if one["same_as"] is not None else sum(s["seconds"] for s in one["scores"]),
                "same_as": -1 if one["same_as"] is None else one["same_as"],
                "error": one["error"],
                "setting": json.dumps(one["setting"]),
            }
        )
    return pd.DataFrame(rows, columns=TRIALS)


def fold_table(trials: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return one row a trial and fold: its macro F1, cells and donors."""
    rows = [{"number": one["number"], **score} for one in trials for score in one["scores"]]
    return pd.DataFrame(rows).reindex(columns=FOLDS)


def settings_of(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the settings of trials as columns, by path, in the rows' order."""
    return pd.DataFrame([json.loads(text) for text in trials["setting"]], index=trials.index)
