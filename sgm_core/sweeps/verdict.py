"""What a sweep found: its best setting against the default one, and how little that may mean.

The best of many scores is too good: chance had as many draws as there were settings. Its difference from the
default setting is therefore judged at the level 0.05 divided by the number of other settings (Bonferroni), by
the paired test over folds that the comparison has (`sgm_core.analysis.inference`).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.analysis.inference import LEVEL, t_edge
from sgm_core.analysis.statistics import paired_difference
from sgm_core.units import count

_SIDES = ("best", ""), ("default", "")


@dataclass(frozen=True)
class Verdict:
    """The best of a sweep's settings.

    Parameters
    ----------
    best : number of its trial; 0 = the default setting
    others : different settings that were tried beside the default
    score, default : mean macro F1 of the two on the validation donors (0 to 1)
    sd_folds : of the best's scores over the folds
    difference, low, high : best less default over the folds, with the interval at the corrected level
    p : two-sided, times the number of other settings
    n_folds : that both were scored on
    """

    best: int
    others: int
    score: float
    default: float
    sd_folds: float
    difference: float
    low: float
    high: float
    p: float
    n_folds: int

    @property
    def better(self) -> bool:
        """Whether the best is better than the default on these validation donors, for all the tries."""
        return self.best != 0 and 0 < self.low < self.high and self.p < LEVEL

    @property
    def sentence(self) -> str:
        """The finding in one sentence, in F1 points (hundredths)."""
        tried = f"{count(self.others, 'other setting')} tried"
        if self.best == 0:
            level = f"macro F1 {100 * self.default:.1f} on the validation donors"
            return f"No setting beats the default, {level}: {tried}"
        head = (
            f"Best setting: trial {self.best}, macro F1 {100 * self.score:.1f} on the validation donors, "
            f"{100 * self.difference:+.1f} against the default ({tried})"
        )
        if self.n_folds < 2:
            return f"{head}: undecided, one fold gives no interval"
        if self.high - self.low > 2:
            return f"{head}: undecided, {self.n_folds} folds can't tell any difference among that many tries"
        head += f", interval for that many tries {100 * self.low:.1f} to {100 * self.high:.1f}"
        return f"{head}: " + (
            "better on these donors, and to be confirmed on others" if self.better else "undecided"
        )

    @property
    def caution(self) -> str:
        """Why the best score is too good, in one sentence."""
        spread = (
            "" if np.isnan(self.sd_folds) else f" (its folds differ by {100 * self.sd_folds:.1f}, one SD)"
        )
        return (
            f"The score of the best{spread} is too good: a search picks what chance favours, here among "
            f"{count(self.others + 1, 'setting')}, and the same donors choose penalty and epoch. "
            "Test donors say what is left of it."
        )


def verdict(trials: pd.DataFrame, folds: pd.DataFrame) -> Verdict | None:
    """Return what a sweep found so far; None before the default setting and another one are scored.

    Parameters
    ----------
    trials, folds
        The tables of `sgm_core.sweeps.tables`.
    """
    done = trials[trials["state"] == "done"]
    tried = trials[(trials["n_folds"] > 0) & (trials["number"] > 0)]
    default = trials[trials["number"] == 0]
    if not (done["number"] == 0).any():
        return None
    others = len(set(tried["setting"]) - set(default["setting"]))
    if not others:
        return None
    best = done.iloc[int(done["score"].to_numpy().argmax())]  # of equal ones the first
    number = int(best["number"])
    sides = [
        folds[folds["number"] == one].assign(arm=arm, scheme=scheme, seed=0)
        for one, (arm, scheme) in zip((number, 0), _SIDES, strict=True)
    ]
    both = pd.concat(sides, ignore_index=True).rename(columns={"donors_validation": "donors_test"})
    pair = paired_difference(both, *_SIDES)
    k = int(pair["n_folds"])
    half = pair["half_width"] / t_edge(k) * t_edge(k, LEVEL / others) if k > 1 else np.nan
    return Verdict(
        number,
        others,
        float(best["score"]),
        float(default["score"].iloc[0]),
        float(best["sd_folds"]),
        float(pair["difference"]),
        float(pair["difference"] - half),
        float(pair["difference"] + half),
        float(min(1.0, others * pair["p"])),
        k,
    )
