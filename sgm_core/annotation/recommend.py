"""Which arm of a comparison to use: the best by its donor folds, never by its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.analysis.arm_names import arm_in_sentence
from sgm_core.analysis.chance import chance
from sgm_core.analysis.statistics import fold_summary, paired_difference
from sgm_core.annotation.arms import BASELINE, is_keepable


@dataclass(frozen=True)
class Recommendation:
    """What a comparison recommends.

    Parameters
    ----------
    arm, scheme : the best of those that can be kept as a model and beat chance; empty if none does
    why : in one sentence
    table : arm, scheme, mean, low, high (macro F1 over donor folds), keepable; best first
    """

    arm: str
    scheme: str
    why: str
    table: pd.DataFrame


def called(arm: str, scheme: str) -> str:
    """Return how an arm and its scheme are called inside a sentence."""
    name = arm_in_sentence(arm)
    return name if scheme == BASELINE else f"{name} ({scheme.replace('-', ' ')})"


def recommend(
    folds: pd.DataFrame,
    predictions: pd.DataFrame,
    donors: pd.Series,
    finetune: Mapping[str, Any] | None = None,
) -> Recommendation:
    """Choose by the scores of a comparison.

    Parameters
    ----------
    folds, predictions : tables of the run
    donors : donor of each cell of its dataset (n_cells,)
    finetune : what the comparison changed of finetuning
    """
    table = fold_summary(folds).sort_values("mean", ascending=False, ignore_index=True)
    table = table[["arm", "scheme", "mean", "low", "high"]]
    table["keepable"] = [
        is_keepable(a, s, finetune) for a, s in zip(table["arm"], table["scheme"], strict=True)
    ]
    first = table.iloc[0]
    for row in table[table["keepable"]].itertuples():
        own = predictions[(predictions["arm"] == row.arm) & (predictions["scheme"] == row.scheme)]
        own = own[own["scored"] & (own["seed"] == own["seed"].min())]
        who = donors.astype(str).to_numpy()[own["cell"].to_numpy(np.int64)]
        if not len(own) or not chance(own["true"].to_numpy(), own["predicted"].to_numpy(), who).useful:
            continue
        why = f"{called(str(row.arm), str(row.scheme))} has macro F1 {row.mean:.3f} over donor folds"
        best = (str(first["arm"]), str(first["scheme"]))
        if best == (row.arm, row.scheme):
            why += f", the best of the {len(table)} arms and baselines compared"
        else:
            difference = paired_difference(folds, best, (str(row.arm), str(row.scheme)))
            why += (
                f"; {called(*best)} has {difference['difference']:+.3f} on it (95 % "
                f"{difference['low']:.3f} to {difference['high']:.3f}) but can't be kept as a model"
            )
        return Recommendation(str(row.arm), str(row.scheme), why, table)
    why = "nothing that can be kept as a model names cells of unseen donors better than chance"
    return Recommendation("", "", why, table)


def best_scheme(folds: pd.DataFrame, arm: str) -> str:
    """Return the scheme of an arm that can be kept and scores best; `BASELINE` where it has none."""
    table = fold_summary(folds).sort_values("mean", ascending=False, ignore_index=True)
    own = [str(scheme) for scheme in table.loc[table["arm"] == arm, "scheme"] if is_keepable(arm, scheme)]
    return own[0] if own else BASELINE


def as_compared(parameters: Mapping[str, Any], run: Path, arm: str, scheme: str, why: str) -> dict[str, Any]:
    """Return the arguments of `sgm_core.annotation.fit.fit_model` that fit an arm as a comparison has it.

    Parameters
    ----------
    parameters, run : of the comparison, and its folder
    arm, scheme : which arm of it
    why : for the card
    """
    p = dict(parameters)
    chosen: dict[str, Any] = {"data": p["data"], "label": p.get("label"), "folds": p.get("folds") or 5}
    chosen |= {"arm": arm, "scheme": scheme, "why": why}
    if "train_cells" in p:
        chosen["train_cells"] = p["train_cells"]
    return chosen if scheme == BASELINE else chosen | {"comparison": p, "run": str(run)}
