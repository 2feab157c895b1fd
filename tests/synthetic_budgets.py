"""The tables of a comparison at several numbers of labelled cells, simulated from a known truth, for tests.

Truth: with n labelled cells a class an arm loses ``COST[arm] * sqrt(10 / n)`` of the macro F1 that it has
with all of them, in every fold alike; each draw of the cells moves a score by noise of `DRAW_SD`.
"""

import numpy as np
import pandas as pd

from sgm_core.analysis.budgets import BUDGETS, with_all_labels

LABELS = (10, 30)
DRAWS = 3
COST = {"self-guided": 0.10, "uniform+summary": 0.25, "no-pretraining": 0.45, "majority": 0.0}
OTHER_COST = 0.30
DRAW_SD = 0.01


def budget_scores(folds: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return table ``budgets``: simulated scores with few labels, and the rows of `folds` with all."""
    frames = []
    for labels in LABELS:
        loss = folds["arm"].map(COST).fillna(OTHER_COST).to_numpy() * np.sqrt(10 / labels)
        for draw in range(DRAWS):
            noise = rng.normal(0, DRAW_SD, len(folds))
            frames.append(
                folds.assign(
                    labels=labels,
                    draw=draw,
                    n_classes=folds["classes_scored"],
                    short=int(labels > 20),
                    n_train=labels * folds["classes_scored"],
                    **{m: np.clip(folds[m] * (1 - loss) + noise, 0, 1) for m in ("macro_f1", "weighted_f1")},
                )
            )
    return with_all_labels(pd.concat(frames, ignore_index=True)[BUDGETS], folds)
