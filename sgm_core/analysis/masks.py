"""Which genes were hidden, how often, and whether more often than genes of equal expression."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from sgm_core.analysis.matching import MIN_OPPORTUNITIES, matched_lift
from sgm_core.cells.quality import gene_families
from sgm_core.errors import NotFoundError

if TYPE_CHECKING:
    from sgm_core.cells.dataset import Dataset

ORDERS = {"frequency": "frequency", "lift": "lift_low", "expression": "mean_expression"}


def mask_arms(masks: pd.DataFrame) -> list[str]:
    """Return the arms that hid genes, in the order of the table."""
    return list(dict.fromkeys(masks["arm"]))


def default_arm(masks: pd.DataFrame) -> str:
    """Return ``self-guided`` where the table has it, else its last arm."""
    arms = mask_arms(masks)
    return "self-guided" if "self-guided" in arms or not arms else arms[-1]


def mask_levels(masks: pd.DataFrame) -> dict[str, list[str]]:
    """Return what the counts are split by, with the levels of each: cell_type, donor, timepoint, epoch."""
    split = masks.loc[masks["by"] != "all", ["by", "level"]].drop_duplicates()
    levels = {str(by): sorted(group["level"]) for by, group in split.groupby("by", sort=False)}
    if "epoch" in levels:
        levels["epoch"].sort(key=int)
    return levels


def select_masks(
    masks: pd.DataFrame, arm: str | None = None, fold: int = -1, by: str = "all", level: str = ""
) -> pd.DataFrame:
    """Return the rows of one arm, fold and group, one a gene.

    Parameters
    ----------
    masks
        The run table `masks`.
    arm
        By default that of `default_arm`.
    fold
        -1 for all folds summed.
    by, level
        The group: ``cell_type`` and a cell type, and so on.

    Raises
    ------
    NotFoundError
        If the table holds no such rows.
    """
    arm = arm or default_arm(masks)
    wanted = (masks["arm"] == arm) & (masks["fold"] == fold) & (masks["by"] == by) & (masks["level"] == level)
    if not wanted.any():
        where = f"{by} {level!r}" if by != "all" else f"fold {fold}"
        arms = ", ".join(mask_arms(masks)) or "none"
        raise NotFoundError(f"no masks of arm {arm!r}, {where}: the arms with masks are {arms}")
    return masks[wanted].reset_index(drop=True)


def gene_statistics(
    masks: pd.DataFrame,
    dataset: "Dataset | None" = None,
    arm: str | None = None,
    fold: int = -1,
    by: str = "all",
    level: str = "",
) -> pd.DataFrame:
    """Return the mask statistics of every gene that could be hidden.

    Parameters
    ----------
    masks
        The run table `masks`; see `select_masks` for `arm`, `fold`, `by` and `level`.
    dataset
        Adds ``n_cells``, the number of cells of the dataset that express the gene.

    Returns
    -------
    DataFrame
        gene; masked, opportunities, frequency; frequency_nonzero, frequency_zero (among positions where the
        gene is not zero, and zero); null_frequency (uniform within each cell's zeros and non-zeros);
        detection, mean_expression, mean_expression_when_masked (ln1p values); matched_frequency, lift,
        lift_low, lift_high (`matched_lift`); frequency_rank, lift_rank (1 = most; lift by its lower bound);
        flags of `gene_families`. NaN where undefined.
    """
    rows = select_masks(masks, arm, fold, by, level)
    rows = rows[rows["opportunities"] > 0].reset_index(drop=True)
    n, nonzero = rows["opportunities"], rows["opportunities_nonzero"]
    stats = rows[["gene", "masked", "opportunities"]].astype({"masked": int, "opportunities": int})
    stats["frequency"] = rows["masked"] / n
    stats["frequency_nonzero"] = rows["masked_nonzero"] / nonzero.where(nonzero > 0)
    stats["frequency_zero"] = (rows["masked"] - rows["masked_nonzero"]) / (n - nonzero).where(n > nonzero)
    stats["null_frequency"] = rows["expected"] / n
    stats["detection"] = nonzero / n
    stats["mean_expression"] = rows["value_sum"] / n
    stats["mean_expression_when_masked"] = rows["value_sum_masked"] / rows["masked"].where(rows["masked"] > 0)
    columns = ("masked", "opportunities", "mean_expression", "detection")
    lift = matched_lift(*(stats[c].to_numpy(dtype=float) for c in columns))
    stats[["matched_frequency", "lift", "lift_low", "lift_high"]] = lift.iloc[:, :4]
    stats["frequency_rank"] = _rank(stats["frequency"])
    stats["lift_rank"] = _rank(stats["lift_low"])
    if dataset is not None:
        stats["n_cells"] = stats["gene"].map(dataset.var.set_index("gene")["n_cells"])
    return stats.join(gene_families(stats["gene"].to_numpy(dtype=str)).reset_index(drop=True))


def top_genes(stats: pd.DataFrame, by: str = "frequency", n: int = 200) -> list[str]:
    """Return the first `n` genes by frequency, lift (its lower bound) or expression.

    Parameters
    ----------
    stats
        The result of `gene_statistics`.
    by
        One of `ORDERS`.
    """
    known = stats.dropna(subset=[ORDERS[by]])
    return known.sort_values([ORDERS[by], "gene"], ascending=[False, True])["gene"].head(n).tolist()


def level_frequencies(masks: pd.DataFrame, by: str, arm: str | None = None) -> pd.DataFrame:
    """Return the mask frequency of each gene (rows) in each level of `by` (columns).

    A level with fewer than `MIN_OPPORTUNITIES` draws is left out: its frequencies are noise.
    """
    return _level_shares(masks, by, arm, "masked")


def _level_shares(masks: pd.DataFrame, by: str, arm: str | None, count: str) -> pd.DataFrame:
    """Return `count` per opportunity, genes x levels."""
    rows = masks[(masks["by"] == by) & (masks["arm"] == (arm or default_arm(masks))) & (masks["fold"] == -1)]
    enough = rows.groupby("level")["opportunities"].transform("max") >= MIN_OPPORTUNITIES
    rows = rows[enough & (rows["opportunities"] > 0)]
    table = rows.assign(share=rows[count] / rows["opportunities"]).pivot(
        index="gene", columns="level", values="share"
    )
    ordered = [level for level in mask_levels(rows).get(by, []) if level in table]
    return table[ordered].rename_axis(columns=None)


def stability(masks: pd.DataFrame, by: str = "donor", arm: str | None = None) -> dict[str, float | int]:
    """Say how alike the gene frequencies are between levels, such as donors.

    Returns
    -------
    dict
        correlation: mean pairwise rank correlation of the gene frequencies (NaN with fewer than two levels);
        beyond_null: the same for frequency minus the null of uniform draws within zeros and non-zeros, which
        takes out what donors share because they express the same genes; levels: how many were compared.
    """
    frequency = level_frequencies(masks, by, arm)
    excess = frequency - _level_shares(masks, by, arm, "expected")
    return {
        "correlation": _mean_rank_correlation(frequency),
        "beyond_null": _mean_rank_correlation(excess),
        "levels": frequency.shape[1],
    }


def _mean_rank_correlation(table: pd.DataFrame) -> float:
    values = table.dropna().to_numpy()
    if values.shape[1] < 2 or len(values) < 3:
        return float("nan")
    with np.errstate(invalid="ignore"):
        matrix = np.corrcoef(rankdata(values, axis=0), rowvar=False)
    return float(np.nanmean(matrix[np.triu_indices_from(matrix, 1)]))


def _rank(values: pd.Series) -> pd.Series:
    return values.rank(ascending=False, method="min").astype("Int64")
