"""What a run's mask counts say about a selection: masks are counted by cell type, not cell by cell."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sgm_core.analysis.mask_models import SUMMED
from sgm_core.analysis.masks import gene_statistics, select_masks
from sgm_core.errors import InputError

_BY = "selection"
_KEYS = ("arm", "fold", "seed", "by", "level", "gene")


@dataclass(frozen=True)
class SelectedMasks:
    """The masks of the cell types that a selection is made of.

    Parameters
    ----------
    table : one row a gene, columns as `sgm_core.analysis.masks.gene_statistics`, with frequency_all, the
        frequency over all cells that were trained on
    weights : share of each cell type, sums to 1
    covered : share of the selected cells that are of a type with mask counts
    """

    table: pd.DataFrame
    weights: pd.Series
    covered: float


def selected_masks(
    masks: pd.DataFrame, labels: pd.Series | np.ndarray, selected: np.ndarray, arm: str
) -> SelectedMasks:
    """Weight the mask counts of the cell types by the make-up of a selection.

    A run counts masks gene by gene within each cell type while it trains, and keeps no cell's own. So this
    is what the selected cells get if they are hidden like others of their type; cells of one type all get the
    same, and whether a cell was trained on or tested plays no part.

    Parameters
    ----------
    masks
        The run table `masks`.
    labels
        The cell type of each cell, None or NaN for none.
    selected
        Bool (cells,).
    arm
        The arm.

    Raises
    ------
    InputError
        If no selected cell is of a type that the run counted masks of.
    """
    mine = masks[(masks["arm"] == arm) & (masks["by"] == "cell_type")]
    mine = mine[(mine["fold"] == SUMMED) & (mine["seed"] == SUMMED)]
    types = pd.Series(np.asarray(labels, dtype=object)[selected]).dropna().astype(str)
    drawn = mine.groupby("level")["opportunities"].max()
    sizes = types.value_counts()
    sizes = sizes[[name for name in sizes.index if drawn.get(name, 0) > 0]]
    if sizes.empty:
        counted = ", ".join(map(str, drawn.index)) or "none"
        raise InputError(f"no selected cell is of a type whose masks the run counted ({counted})")
    weights = sizes / sizes.sum()
    # As many draws as leave the noise of the weighted frequency what it is.
    n = 1 / float((weights**2 / drawn[weights.index]).sum())
    counts = [name for name in mine if name not in _KEYS]
    scale = mine["level"].map(weights * n / drawn[weights.index])
    inside = scale.notna()
    scaled = mine.loc[inside, counts].mul(scale[inside], axis=0)
    total = scaled.groupby(mine.loc[inside, "gene"], sort=False).sum().reset_index()
    total = total.assign(arm=arm, fold=SUMMED, seed=SUMMED, by=_BY, level="")
    table = gene_statistics(total, arm=arm, by=_BY)
    every = select_masks(masks, arm).set_index("gene")
    table["frequency_all"] = table["gene"].map(every["masked"] / every["opportunities"])
    return SelectedMasks(table, weights, float(sizes.sum() / max(1, int(np.sum(selected)))))
