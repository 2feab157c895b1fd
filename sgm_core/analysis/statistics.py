"""Means over donor folds, paired differences with an honest variance, and what they allow one to say.

Folds of one cross-validation share most of their training donors, so the plain paired t-test is too sure of
itself. The variance of a paired difference is therefore (1/k + n_test/n_train) times the sample variance of
the k differences (Nadeau and Bengio, Machine Learning 2003, doi:10.1023/A:1024068626366), with n counted in
donors.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

METRICS = {
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "micro_f1": "micro F1",
    "ece": "calibration error",
}
BASELINE = "baseline"
LEVEL = 0.95


def arm_name(arm: str) -> str:
    """Return an arm as it reads in a sentence: ``uniform+summary`` becomes ``uniform + summary``."""
    return "no pretraining" if arm == "no-pretraining" else arm.replace("+", " + ")


def _quantile(k: int) -> float:
    return float(student_t.ppf((1 + LEVEL) / 2, k - 1)) if k > 1 else float("nan")


def _per_fold(folds: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Average seeds within a fold, so that repeating a seed doesn't count as a new fold."""
    return folds.groupby(["arm", "scheme", "fold"], sort=False, as_index=False)[list(columns)].mean()


def fold_summary(folds: pd.DataFrame, metric: str = "macro_f1") -> pd.DataFrame:
    """Return mean, 95 % interval (t, k - 1 degrees of freedom) and SD over folds, per arm and scheme.

    Parameters
    ----------
    folds
        Table with columns arm, scheme, fold, seed and `metric`; seeds are averaged within a fold first.

    Returns
    -------
    DataFrame
        arm, scheme, metric, mean, low, high, sd, n_folds; in the order of appearance. With one fold low, high
        and sd are NaN.
    """
    groups = _per_fold(folds, [metric]).groupby(["arm", "scheme"], sort=False)[metric]
    table = groups.agg(mean="mean", sd="std", n_folds="count").reset_index()
    half = table["sd"] / np.sqrt(table["n_folds"]) * table["n_folds"].map(_quantile)
    table["low"], table["high"], table["metric"] = table["mean"] - half, table["mean"] + half, metric
    return table[["arm", "scheme", "metric", "mean", "low", "high", "sd", "n_folds"]]


def paired_difference(
    folds: pd.DataFrame, a: tuple[str, str], b: tuple[str, str], metric: str = "macro_f1"
) -> dict[str, Any]:
    """Compare two (arm, scheme) pairs over the folds that both have.

    Returns
    -------
    dict
        difference (a - b, mean over folds), low, high (95 %, Nadeau-Bengio variance in donors), half_width
        (the smallest difference that could have been told from zero), sd of the differences, n_folds,
        verdict: ``better`` or ``worse`` when the interval excludes zero, else ``undecided``. For the
        calibration error a smaller value is better.
    """
    table = _per_fold(folds, [metric, "donors_train", "donors_test"])
    sides = [
        table[(table["arm"] == arm) & (table["scheme"] == scheme)].set_index("fold") for arm, scheme in (a, b)
    ]
    both = sides[0].join(sides[1][[metric]], rsuffix="_b", how="inner").dropna(subset=[metric, f"{metric}_b"])
    difference = (both[metric] - both[f"{metric}_b"]).to_numpy(dtype=float)
    k = len(difference)
    mean = float(difference.mean()) if k else float("nan")
    sd = float(difference.std(ddof=1)) if k > 1 else float("nan")
    ratio = float((both["donors_test"] / both["donors_train"]).mean()) if k else float("nan")
    half = _quantile(k) * sd * float(np.sqrt(1 / k + ratio)) if k > 1 else float("nan")
    verdict = "undecided"
    if k > 1 and abs(mean) > half:
        verdict = "better" if (mean > 0) != (metric == "ece") else "worse"
    return {
        "arm_a": a[0], "arm_b": b[0], "scheme": a[1], "scheme_b": b[1], "metric": metric,
        "difference": mean, "low": mean - half, "high": mean + half, "half_width": half, "sd": sd,
        "n_folds": k, "verdict": verdict,
    }  # fmt: skip


def summary_table(folds: pd.DataFrame) -> pd.DataFrame:
    """Return `fold_summary` of every metric that the table has."""
    return pd.concat([fold_summary(folds, m) for m in METRICS if m in folds], ignore_index=True)


def paired_table(
    folds: pd.DataFrame, focus: str = "self-guided", reference: str = "no-pretraining"
) -> pd.DataFrame:
    """Return the paired differences that the comparison is made for, one row a pair and metric.

    `focus` against every other arm of the same scheme and against the baselines, and every arm against
    `reference`.
    """
    arms = list(dict.fromkeys(folds.loc[folds["scheme"] != BASELINE, "arm"]))
    baselines = [(arm, BASELINE) for arm in dict.fromkeys(folds.loc[folds["scheme"] == BASELINE, "arm"])]
    pairs = []
    for scheme in dict.fromkeys(folds.loc[folds["scheme"] != BASELINE, "scheme"]):
        if focus in arms:
            others = [(arm, scheme) for arm in arms if arm != focus]
            pairs += [((focus, scheme), other) for other in others + baselines]
        if reference in arms:
            pairs += [((arm, scheme), (reference, scheme)) for arm in arms if arm not in (focus, reference)]
    rows = [paired_difference(folds, a, b, metric) for metric in METRICS if metric in folds for a, b in pairs]
    columns = [
        "arm_a",
        "arm_b",
        "scheme",
        "scheme_b",
        "metric",
        "difference",
        "low",
        "high",
        "half_width",
        "sd",
    ]
    table = pd.DataFrame(rows, columns=[*columns, "n_folds", "verdict"])
    return table[table["n_folds"] > 0].reset_index(drop=True)


def comparison_sentence(pair: Any) -> str:
    """Say a row of `paired_table` in one sentence, in F1 points (hundredths).

    "Self-guided +1.8 macro F1 over uniform + summary, 95 % interval -0.4 to 4.0: not proven; with five folds
    a difference under 2.2 could not have been seen".
    """
    a, b = arm_name(pair["arm_a"]), arm_name(pair["arm_b"])
    a = a[0].upper() + a[1:]
    metric, points = METRICS[pair["metric"]], 100 * pair["difference"]
    head = f"{a} {points:+.1f} {metric} over {b}"
    folds = _count(pair["n_folds"])
    if pair["n_folds"] < 2:
        return f"{head}: not proven, one fold gives no interval"
    head += f", 95 % interval {100 * pair['low']:.1f} to {100 * pair['high']:.1f}"
    if pair["verdict"] == "undecided":
        unseen = f"with {folds} a difference under {100 * pair['half_width']:.1f} could not have been seen"
        return f"{head}: not proven; {unseen}"
    return f"{head}: {pair['verdict']}, over {folds}"


def _count(folds: int) -> str:
    words = {
        2: "two",
        3: "three",
        4: "four",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
        9: "nine",
        10: "ten",
    }
    return f"{words.get(int(folds), str(int(folds)))} folds"
