"""The tables of a comparison at several numbers of labelled cells, simulated from a known truth, for tests.

Truth: with n labelled cells a class an arm loses ``COST[arm] * sqrt(10 / n)`` of the macro F1 that it has
with all of them, in every fold alike; each draw of the cells moves a score by noise of `DRAW_SD`.
"""

import numpy as np
import pandas as pd

from sgm_core.analysis.inference import LEVEL, detectable_difference, holm, t_edge
from sgm_core.analysis.metrics import fold_summary, paired_difference
from sgm_core.analysis.statistics import BASELINE, primary_pair

LABELS = (10, 30, 0)  # 0: all of them
DRAWS = 3
COST = {"self-guided": 0.10, "uniform+summary": 0.25, "no-pretraining": 0.45, "majority": 0.0}
OTHER_COST = 0.30
DRAW_SD = 0.01
MAIN = (
    ("self-guided", "uniform+summary"),
    ("uniform+summary", "no-pretraining"),
    ("self-guided", "hvg-logistic"),
)


def budget_scores(folds: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return table ``budgets``: the rows of `folds` with all labels, and simulated ones with fewer."""
    frames = [folds.assign(labels=0, draw=0, n_classes=folds["classes_scored"], short=0)]
    for labels in (labels for labels in LABELS if labels):
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
    columns = ["arm", "scheme", "fold", "seed", "labels", "draw", "macro_f1", "weighted_f1", "n_train"]
    return pd.concat(frames, ignore_index=True)[[*columns, "n_classes", "short"]]


def budget_tables(budgets: pd.DataFrame, folds: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return tables ``budget_summary`` and ``budget_paired`` , judged as a comparison is."""
    donors = folds.groupby("fold")[["donors_train", "donors_test"]].first()
    mean = budgets.groupby(["arm", "scheme", "fold", "seed", "labels"], sort=False, as_index=False)
    mean = mean["macro_f1"].mean().join(donors, on="fold")
    draws = budgets.groupby(["arm", "scheme", "labels"])["draw"].nunique()
    summaries, rows = [], []
    headline = primary_pair([s for s in dict.fromkeys(folds["scheme"]) if s != BASELINE])[0][1]
    for labels, table in mean.groupby("labels"):
        summaries.append(fold_summary(table).assign(labels=labels))
        for a, b in _pairs(table):
            found = paired_difference(table, a, b, role="primary")
            main = (a[0], b[0]) in MAIN and a[1] == headline
            rows.append({**found, "against": b[0], "against_scheme": b[1], "labels": labels, "main": main})
    paired = pd.DataFrame(rows).rename(columns={"arm_a": "arm"})
    paired["p_holm"], tested = np.nan, paired["main"] & paired["p"].notna()
    if tested.any():
        paired.loc[tested, "p_holm"] = holm(paired.loc[tested, "p"].to_numpy())
        proven = paired["p_holm"] < LEVEL
        signs = np.where(paired["difference"] > 0, "better", "worse")
        paired["verdict"] = np.where(~paired["main"], "described", np.where(proven, signs, "undecided"))
        paired["detectable"] = [
            detectable_difference(row.half_width / t_edge(row.n_folds), row.n_folds, LEVEL / tested.sum())
            if row.main
            else row.detectable
            for row in paired.itertuples()
        ]
    counts = {"n_folds": "folds", "n_seeds": "seeds"}
    summary = pd.concat(summaries, ignore_index=True).rename(columns=counts)
    summary = summary.join(draws.rename("draws"), on=["arm", "scheme", "labels"])
    pair = ["arm", "against", "scheme", "against_scheme", "labels"]
    found = ["difference", "low", "high", "p", "p_holm", "main", "detectable", "verdict"]
    scores = ["arm", "scheme", "labels", "mean", "low", "high", "folds", "seeds", "draws"]
    return {"budget_summary": summary[scores], "budget_paired": paired[[*pair, *found]]}


def _pairs(table: pd.DataFrame) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Return self-guided against every other side, and every other arm against no pretraining."""
    sides = list(dict.fromkeys(zip(table["arm"], table["scheme"])))
    pairs = []
    for scheme in dict.fromkeys(scheme for _, scheme in sides if scheme != BASELINE):
        arms = [arm for arm, own in sides if own == scheme]
        baselines = [side for side in sides if side[1] == BASELINE]
        if "self-guided" in arms:
            others = [(arm, scheme) for arm in arms if arm != "self-guided"] + baselines
            pairs += [(("self-guided", scheme), other) for other in others]
        if "no-pretraining" in arms:
            rest = [arm for arm in arms if arm not in ("self-guided", "no-pretraining")]
            pairs += [((arm, scheme), ("no-pretraining", scheme)) for arm in rest]
    return pairs
