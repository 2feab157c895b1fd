"""Means over donor folds, the planned comparisons of arms, and what they allow one to say.

One comparison is primary, declared here and not chosen after the results: self-guided against uniform +
summary, by partial finetuning, in macro F1. It is judged by its own 95 % interval. Every other macro F1
difference of `paired_table` is secondary and judged by its Holm-corrected p. Differences in the other scores,
and of pairs outside the plan, describe: they have an interval and no verdict.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.analysis.arm_names import arm_in_sentence
from sgm_core.analysis.inference import LEVEL, detectable_difference, holm, p_value, standard_error, t_edge

METRICS = {
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "micro_f1": "micro F1",
    "ece": "calibration error",
}
BASELINE = "baseline"
Side = tuple[str, str]  # arm, scheme

FOCUS = "self-guided"
PRIMARY_RIVAL = "uniform+summary"  # differs from self-guided in its masks alone
PRIMARY_SCHEME = "partial"
PRIMARY_METRIC = "macro_f1"
DESCRIBED = "described"
"""Verdict and confidence of a difference that is no test: it has an interval, and proves nothing."""

PAIR_COLUMNS = [
    "arm_a", "arm_b", "scheme", "scheme_b", "metric", "role", "difference", "low", "high", "half_width", "sd",
    "p", "p_holm", "level", "detectable", "n_folds", "verdict", "confidence",
]  # fmt: skip


def _per_fold(folds: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Average seeds within a fold, so that repeating a seed doesn't count as a new fold."""
    return folds.groupby(["arm", "scheme", "fold"], sort=False, as_index=False)[list(columns)].mean()


def fold_summary(folds: pd.DataFrame, metric: str = "macro_f1") -> pd.DataFrame:
    """Return mean, 95 % interval (t, k - 1 degrees of freedom) and spread over folds, per arm and scheme.

    Parameters
    ----------
    folds
        Table with columns arm, scheme, fold, seed and `metric`; seeds are averaged within a fold first.

    Returns
    -------
    DataFrame
        arm, scheme, metric, mean, low, high, sd_folds (SD of the seed-averaged folds: donors differ),
        sd_seeds (SD between seeds inside a fold, pooled over folds: training differs; NaN with one seed),
        n_folds, n_seeds (of the fold with the fewest); in the order of appearance. With one fold low, high
        and sd_folds are NaN.
    """
    side = ["arm", "scheme"]
    groups = _per_fold(folds, [metric]).groupby(side, sort=False)[metric]
    table = groups.agg(mean="mean", sd_folds="std", n_folds="count")
    seeds = folds.groupby([*side, "fold"], sort=False)[metric].agg(["var", "count"])
    seeds["squares"] = seeds["var"] * (seeds["count"] - 1)
    seeds["degrees"] = (seeds["count"] - 1).clip(lower=0)
    pooled = seeds.groupby(side, sort=False)[["squares", "degrees"]].sum()
    table["sd_seeds"] = np.sqrt(pooled["squares"] / pooled["degrees"].where(pooled["degrees"] > 0))
    table["n_seeds"] = folds.groupby([*side, "fold"], sort=False).size().groupby(side, sort=False).min()
    half = table["sd_folds"] / np.sqrt(table["n_folds"]) * table["n_folds"].map(t_edge)
    table["low"], table["high"], table["metric"] = table["mean"] - half, table["mean"] + half, metric
    columns = ["metric", "mean", "low", "high", "sd_folds", "sd_seeds", "n_folds", "n_seeds"]
    return table[columns].reset_index()


def summary_table(folds: pd.DataFrame) -> pd.DataFrame:
    """Return `fold_summary` of every metric that the table has."""
    return pd.concat([fold_summary(folds, m) for m in METRICS if m in folds], ignore_index=True)


class _Wide:
    """Seed-averaged fold scores of every side, aligned by fold."""

    def __init__(self, folds: pd.DataFrame, metrics: Sequence[str]) -> None:
        self.columns = [*metrics, "donors_train", "donors_test"]
        table = _per_fold(folds, self.columns)
        sides = pd.MultiIndex.from_frame(table[["arm", "scheme"]])
        self.sides = list(dict.fromkeys(sides))
        fold, numbers = pd.factorize(table["fold"])
        self.values = np.full((len(self.sides), len(numbers), len(self.columns)), np.nan)
        self.values[[self.sides.index(side) for side in sides], fold] = table[self.columns].to_numpy(float)

    def column(self, name: str, side: Side) -> np.ndarray:
        if side not in self.sides:
            return np.full(self.values.shape[1], np.nan)
        return self.values[self.sides.index(side), :, self.columns.index(name)]

    def pair(self, a: Side, b: Side, metric: str, role: str) -> dict[str, Any]:
        difference = self.column(metric, a) - self.column(metric, b)
        both = ~np.isnan(difference)
        difference, k = difference[both], int(both.sum())
        mean = float(difference.mean()) if k else float("nan")
        sd = float(difference.std(ddof=1)) if k > 1 else float("nan")
        # the side that trained on fewer donors rules
        train = np.fmin(self.column("donors_train", a), self.column("donors_train", b))[both]
        ratio = float((self.column("donors_test", a)[both] / train).mean()) if k else float("nan")
        error = standard_error(sd, k, ratio)
        half, p = t_edge(k) * error, p_value(mean, error, k)
        tested = role != "descriptive"
        row = {
            "arm_a": a[0], "arm_b": b[0], "scheme": a[1], "scheme_b": b[1], "metric": metric, "role": role,
            "difference": mean, "low": mean - half, "high": mean + half, "half_width": half, "sd": sd,
            "p": p, "p_holm": float("nan"), "level": LEVEL if tested else float("nan"),
            "detectable": detectable_difference(error, k) if tested else float("nan"), "n_folds": k,
        }  # fmt: skip
        if not tested:
            return row | {"verdict": DESCRIBED, "confidence": DESCRIBED}
        return row | _judged(row, p if role == "primary" else float("nan"))


def _judged(row: Any, p: float) -> dict[str, str]:
    """Return verdict and confidence; an unknown `p` (no test, or not yet) proves nothing."""
    if not p < LEVEL:
        return {"verdict": "undecided", "confidence": "undecided"}
    better = (row["difference"] > 0) != (row["metric"] == "ece")
    return {"verdict": "better" if better else "worse", "confidence": "proven"}


def paired_difference(
    folds: pd.DataFrame, a: Side, b: Side, metric: str = "macro_f1", role: str = "descriptive"
) -> dict[str, Any]:
    """Compare two (arm, scheme) sides over the folds that both have.

    Parameters
    ----------
    role
        ``primary`` for the one comparison that was declared before: its verdict follows from its own
        interval. ``descriptive`` has no verdict. (Secondary ones are judged together, by `paired_table`.)

    Returns
    -------
    dict
        arm_a, arm_b, scheme, scheme_b, metric, role; difference (a - b, mean over folds), low and high
        (95 %, Nadeau-Bengio variance in donors), half_width, sd of the differences, p (two-sided); p_holm
        (NaN here); level of the test and detectable, the true difference that it finds with 80 % power (by
        the observed SD; NaN where there is no test); n_folds; verdict: ``better`` or ``worse`` when proven,
        else ``undecided``; confidence: ``proven`` or ``undecided``. For the calibration error a smaller value
        is better.
    """
    return _Wide(folds, [metric]).pair(a, b, metric, role)


def primary_pair(schemes: Sequence[str]) -> tuple[Side, Side]:
    """Return the primary comparison of a run with these finetuning schemes.

    By partial finetuning where the run has it, else by its first scheme: decided by the run's choices, never
    by its results.
    """
    scheme = PRIMARY_SCHEME if PRIMARY_SCHEME in schemes else schemes[0]
    return (FOCUS, scheme), (PRIMARY_RIVAL, scheme)


def planned_pairs(
    sides: Sequence[Side], focus: str = FOCUS, reference: str = "no-pretraining"
) -> list[tuple[Side, Side]]:
    """Return the pairs that a comparison is made for, by scheme.

    `focus` against every other arm of the same scheme and against the baselines, and every other arm against
    `reference`.

    Parameters
    ----------
    sides
        Every arm and scheme that there is, in order.
    """
    baselines = [side for side in sides if side[1] == BASELINE]
    every = list(dict.fromkeys(arm for arm, scheme in sides if scheme != BASELINE))
    pairs: list[tuple[Side, Side]] = []
    for scheme in dict.fromkeys(scheme for _, scheme in sides if scheme != BASELINE):
        if focus in every:
            others = [(arm, scheme) for arm in every if arm != focus]
            pairs += [((focus, scheme), other) for other in others + baselines]
        if reference in every:
            rest = [arm for arm in every if arm not in (focus, reference)]
            pairs += [((arm, scheme), (reference, scheme)) for arm in rest]
    return pairs


def judge_family(rows: Sequence[dict[str, Any]]) -> None:
    """Judge rows of `paired_difference` as one Holm family of m, in place; those without a p are left out.

    Their p_holm decides, and their detectable difference is that of a lone true difference, which Holm tests
    at the level 0.05 / m.
    """
    family = [row for row in rows if not np.isnan(row["p"])]
    for row, p in zip(family, holm(np.array([row["p"] for row in family])), strict=True):
        k, level = row["n_folds"], LEVEL / len(family)
        row |= {"p_holm": float(p), "level": level} | _judged(row, float(p))
        row["detectable"] = detectable_difference(row["half_width"] / t_edge(k), k, level)


def paired_table(
    folds: pd.DataFrame,
    focus: str = FOCUS,
    reference: str = "no-pretraining",
    schemes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the paired differences that the comparison is made for, one row a pair and metric.

    `focus` against every other arm of the same scheme and against the baselines, and every arm against
    `reference`. Columns as in `paired_difference`. The secondary comparisons (macro F1, all but the primary)
    are one Holm family of m: their p_holm decides, and their detectable difference is that of a lone true
    difference, which Holm tests at the level 0.05 / m.

    Parameters
    ----------
    schemes
        The run's finetuning schemes in its order (default: those of the table), which decide the primary.
    """
    trained = list(dict.fromkeys(folds.loc[folds["scheme"] != BASELINE, "scheme"]))
    pairs = planned_pairs(list(dict.fromkeys(zip(folds["arm"], folds["scheme"]))), focus, reference)
    primary = primary_pair(schemes or trained) if pairs else None
    metrics = [metric for metric in METRICS if metric in folds]
    wide = _Wide(folds, metrics)

    def role(pair: tuple[Side, Side], metric: str) -> str:
        if metric != PRIMARY_METRIC:
            return "descriptive"
        return "primary" if pair == primary else "secondary"

    rows = [wide.pair(*pair, metric, role(pair, metric)) for metric in metrics for pair in pairs]
    rows = [row for row in rows if row["n_folds"]]
    judge_family([row for row in rows if row["role"] == "secondary"])
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def pair_in_view(
    paired: pd.DataFrame, folds: pd.DataFrame, a: Side, b: Side, metric: str = "macro_f1"
) -> dict[str, Any]:
    """Return the row of `paired_table` for a and b, in either direction; else describe their difference."""
    rows = paired[paired["metric"] == metric]
    for one, other in ((a, b), (b, a)):
        mine = (rows["arm_a"] == one[0]) & (rows["scheme"] == one[1])
        mine &= (rows["arm_b"] == other[0]) & (rows["scheme_b"] == other[1])
        if mine.any():
            row = {str(name): value for name, value in rows[mine].iloc[0].items()}
            return row if one == a else _mirrored(row)
    return paired_difference(folds, a, b, metric)


def _mirrored(row: dict[str, Any]) -> dict[str, Any]:
    turned = {"better": "worse", "worse": "better"}
    mirrored = row | {
        "arm_a": row["arm_b"], "arm_b": row["arm_a"], "scheme": row["scheme_b"], "scheme_b": row["scheme"],
        "difference": -row["difference"], "low": -row["high"], "high": -row["low"],
        "verdict": turned.get(row["verdict"], row["verdict"]),
    }  # fmt: skip
    if "pooled_difference" in row:
        mirrored |= {"pooled_difference": -row["pooled_difference"]}
        mirrored |= {"pooled_low": -row["pooled_high"], "pooled_high": -row["pooled_low"]}
    return mirrored


def comparison_sentence(pair: Any) -> str:
    """Say a row of `paired_table` in one sentence, in F1 points (hundredths).

    "Self-guided +1.8 macro F1 over uniform + summary, 95 % interval -0.4 to 4.0 (primary comparison):
    undecided; with five folds a difference of 3.1 would be found with 80 % power".
    """
    a, b = arm_in_sentence(pair["arm_a"]), arm_in_sentence(pair["arm_b"])
    a = a[0].upper() + a[1:]
    head = f"{a} {100 * pair['difference']:+.1f} {METRICS[pair['metric']]} over {b}"
    if pair["n_folds"] < 2:
        return f"{head}: {pair['verdict']}, one fold gives no interval"
    head += f", 95 % interval {100 * pair['low']:.1f} to {100 * pair['high']:.1f}"
    folds = _count(pair["n_folds"])
    if pair["role"] == "descriptive":
        return f"{head} over {folds}: descriptive, not tested"
    corrected = f"secondary comparison, Holm-corrected p {_p_text(pair['p_holm'])}"
    head += f" ({'primary comparison' if pair['role'] == 'primary' else corrected})"
    if pair["confidence"] == "proven":
        return f"{head}: proven {pair['verdict']} over {folds}"
    found = f"with {folds} a difference of {100 * pair['detectable']:.1f} would be found with 80 % power"
    if pair["detectable"] > 1:
        found = f"with {folds} not even a difference of 100 would be found with 80 % power"
    return f"{head}: undecided; {found}"


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _count(folds: int) -> str:
    words = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    folds = int(folds)
    return f"{words[folds - 2] if 2 <= folds <= 10 else folds} folds"
