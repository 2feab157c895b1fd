"""Which arm of a comparison to use: the best by its donor folds, never by its name."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.analysis.chance import chance
from sgm_core.analysis.statistics import fold_summary, paired_difference
from sgm_core.annotation.arms import KEEPABLE


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


def recommend(folds: pd.DataFrame, predictions: pd.DataFrame, donors: pd.Series) -> Recommendation:
    """Choose by the scores of a comparison.

    Parameters
    ----------
    folds, predictions : tables of the run
    donors : donor of each cell of its dataset (n_cells,)
    """
    table = fold_summary(folds).sort_values("mean", ascending=False, ignore_index=True)
    table = table[["arm", "scheme", "mean", "low", "high"]]
    table["keepable"] = table["arm"].isin(list(KEEPABLE)) & (table["scheme"] == "baseline")
    first = table.iloc[0]
    for row in table[table["keepable"]].itertuples():
        own = predictions[(predictions["arm"] == row.arm) & (predictions["scheme"] == row.scheme)]
        own = own[own["scored"]]
        who = donors.astype(str).to_numpy()[own["cell"].to_numpy(np.int64)]
        if not len(own) or not chance(own["true"].to_numpy(), own["predicted"].to_numpy(), who).useful:
            continue
        why = f"{row.arm} has macro F1 {row.mean:.3f} over donor folds"
        best = (str(first["arm"]), str(first["scheme"]))
        if best == (row.arm, row.scheme):
            why += f", the best of the {len(table)} arms and baselines compared"
        else:
            difference = paired_difference(folds, best, (str(row.arm), str(row.scheme)))
            why += (
                f"; {best[0]} ({best[1]}) has {difference['difference']:+.3f} on it (95 % "
                f"{difference['low']:.3f} to {difference['high']:.3f}) but can't be kept as a model yet"
            )
        return Recommendation(str(row.arm), str(row.scheme), why, table)
    why = "nothing that can be kept as a model names cells of unseen donors better than chance"
    return Recommendation("", "", why, table)
