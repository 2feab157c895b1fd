"""What a pretrained model has learned, as a table beside simple predictors: for pages and reports alike."""

import pandas as pd

from sgm_core.analysis.arm_names import arm_name
from sgm_core.analysis.reconstruction import NAMES, by_arm

_PREDICTORS = {"model": "The model", **NAMES, "noise-floor": "True rates (the counts' noise alone)"}
_HOW = (
    "The same genes of {cells:,} validation cells are hidden from every model and predictor: the run's share "
    "of a cell's non-zero genes and of its zeros, which the predictors know too. R2 is the share of the "
    "squared error around the gene's mean that is explained; the interval is a bootstrap over cells."
)


def predictor_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the run table ``reconstruction`` as `by_arm` has it, arms and predictors by their names."""
    shown = by_arm(table)
    shown["arm"] = shown["arm"].map(arm_name)
    shown["predictor"] = [_PREDICTORS[name][0].upper() + _PREDICTORS[name][1:] for name in shown["predictor"]]
    return shown


def how_tested(table: pd.DataFrame) -> str:
    """Say how the run table ``reconstruction`` was made."""
    return _HOW.format(cells=int(table["cells"].max()))
