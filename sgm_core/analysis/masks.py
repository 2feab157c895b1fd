"""Which genes were hidden, how often, and whether more often than genes of equal expression."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sgm_core.analysis.confidence import SIGNIFICANT
from sgm_core.analysis.lift import LIFT, ONE_MODEL, lift_over_models
from sgm_core.analysis.mask_models import (
    RESIDUAL,
    SUMMED,
    ModelResiduals,
    model_residuals,
    model_rows,
    one_model,
    seeds_of,
)
from sgm_core.analysis.matching import MIN_OPPORTUNITIES, matched_residuals
from sgm_core.cells.quality import gene_families
from sgm_core.errors import InputError, NotFoundError

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
    split = masks.loc[masks["by"] != "all", ["by", "level"]].drop_duplicates().astype(object)
    levels = {str(by): sorted(group["level"]) for by, group in split.groupby("by", sort=False)}
    if "epoch" in levels:
        levels["epoch"].sort(key=int)
    return levels


def select_masks(
    masks: pd.DataFrame,
    arm: str | None = None,
    fold: int = SUMMED,
    by: str = "all",
    level: str = "",
    seed: int = SUMMED,
) -> pd.DataFrame:
    """Return the rows of one arm, fold, seed and group, one a gene.

    Parameters
    ----------
    masks
        The run table `masks`.
    arm
        By default that of `default_arm`.
    fold, seed
        -1 for all folds, all seeds summed.
    by, level
        The group: ``cell_type`` and a cell type, and so on.

    Raises
    ------
    NotFoundError
        If the table holds no such rows.
    """
    arm = arm or default_arm(masks)
    rows = masks[(masks["arm"] == arm) & (masks["by"] == by) & (masks["level"] == level)]
    found = rows[(rows["fold"] == fold) & (seeds_of(rows) == seed)]
    if found.empty and by == "all":
        found = _summed(model_rows(masks, arm, fold, seed))
    if found.empty:
        where = f"{by} {level!r}" if by != "all" else f"fold {fold}"
        where += f", seed {seed}" if seed != SUMMED else ""
        arms = ", ".join(mask_arms(masks)) or "none"
        raise NotFoundError(f"no masks of arm {arm!r}, {where}: the arms with masks are {arms}")
    return found.reset_index(drop=True)


def _summed(models: pd.DataFrame) -> pd.DataFrame:
    """Add up the counts of several models, gene by gene."""
    if not models["gene"].duplicated().any():
        return models
    keys = {"arm", "fold", "seed", "by", "level", "gene", *RESIDUAL}
    counts = [name for name in models if name not in keys]
    total = models.groupby("gene", sort=False)[counts].sum().reset_index()
    return total.assign(arm=models["arm"].iloc[0], by="all", level="")


def gene_statistics(
    masks: pd.DataFrame,
    dataset: "Dataset | None" = None,
    arm: str | None = None,
    fold: int = SUMMED,
    by: str = "all",
    level: str = "",
    seed: int = SUMMED,
    models: ModelResiduals | None = None,
) -> pd.DataFrame:
    """Return the mask statistics of every gene that could be hidden.

    Parameters
    ----------
    masks
        The run table `masks`; see `select_masks` for `arm`, `fold`, `by`, `level` and `seed`.
    dataset
        Adds ``n_cells``, the number of cells of the dataset that express the gene.
    models
        The `model_residuals` of these models, where they are at hand: they take most of the time.

    Returns
    -------
    DataFrame
        gene; masked, opportunities, frequency; frequency_nonzero, frequency_zero (among positions where the
        gene is not zero, and zero); null_frequency (uniform within each cell's zeros and non-zeros);
        detection, mean_expression, mean_expression_when_masked (ln1p values); matched_frequency (what genes
        of equal expression get); lift, lift_low, lift_high, lift_q (`lift_over_models`; all but lift are NaN
        for one seed and within a group, where lift is what the counts together show, see `lift_problem`);
        frequency_rank, lift_rank (1 = most; lift by its lower bound); flags of `gene_families`. NaN where
        undefined.
    """
    arm = arm or default_arm(masks)
    rows = select_masks(masks, arm, fold, by, level, seed)
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
    matched = matched_residuals(*(stats[c].to_numpy(dtype=float) for c in columns))
    stats["matched_frequency"] = matched["matched_frequency"]
    if by != "all":
        models = None
    elif models is None:
        models = model_residuals(model_rows(masks, arm, fold, seed))
    if models is None or models.n_seeds < 2:
        names = stats["gene"].to_numpy(dtype=str)
        lift = lift_over_models(one_model(names, matched))
    else:
        lift = lift_over_models(models).reindex(stats["gene"])
    stats[list(LIFT)] = lift.to_numpy()
    stats["frequency_rank"] = _rank(stats["frequency"])
    stats["lift_rank"] = _rank(stats["lift_low"])
    if dataset is not None:
        stats["n_cells"] = stats["gene"].map(dataset.var.set_index("gene")["n_cells"])
    return stats.join(gene_families(stats["gene"].to_numpy(dtype=str)).reset_index(drop=True))


def lift_problem(stats: pd.DataFrame) -> str | None:
    """Return why genes can't be ranked by lift, or None if they can.

    Parameters
    ----------
    stats
        The result of `gene_statistics`.
    """
    if stats["lift_low"].notna().any():
        return None
    if stats["lift"].notna().any():
        return ONE_MODEL
    return f"too few masks were drawn for a lift: it takes {MIN_OPPORTUNITIES} draws of ten genes or more"


def preference(stats: pd.DataFrame) -> pd.Series:
    """Return ``above``, ``below`` or ``equal`` for each gene: is it hidden more, or less, than its equals?

    Its interval is clear of 1, and `SIGNIFICANT` at most of all genes that are called so are expected to be
    chance: of hundreds of genes some have such an interval in any case. ``unknown`` where a gene has no
    interval, as in a run of one seed.
    """
    found = stats["lift_q"] <= SIGNIFICANT
    known = [stats["lift_low"].isna(), found & (stats["lift_low"] > 1), found & (stats["lift_high"] < 1)]
    return pd.Series(np.select(known, ["unknown", "above", "below"], "equal"), index=stats.index)


def preferred_genes(stats: pd.DataFrame) -> list[str]:
    """Return the genes that are hidden more than their equals (`preference`), by the lift's lower bound.

    Raises
    ------
    InputError
        If genes can't be ranked by lift, see `lift_problem`.
    """
    return top_genes(stats[preference(stats) == "above"], "lift", len(stats)) if _ranked(stats) else []


def top_genes(stats: pd.DataFrame, by: str = "frequency", n: int = 200) -> list[str]:
    """Return the first `n` genes by frequency, lift (its lower bound) or expression.

    Parameters
    ----------
    stats
        The result of `gene_statistics`.
    by
        One of `ORDERS`.

    Raises
    ------
    InputError
        If genes can't be ranked by lift, see `lift_problem`.
    """
    if by == "lift" and len(stats):
        _ranked(stats)
    known = stats.dropna(subset=[ORDERS[by]])
    return known.sort_values([ORDERS[by], "gene"], ascending=[False, True])["gene"].head(n).tolist()


def _ranked(stats: pd.DataFrame) -> bool:
    problem = lift_problem(stats)
    if problem:
        raise InputError(f"genes can't be ranked by lift: {problem}")
    return True


def level_frequencies(masks: pd.DataFrame, by: str, arm: str | None = None) -> pd.DataFrame:
    """Return the mask frequency of each gene (rows) in each level of `by` (columns), over folds and seeds.

    A level with fewer than `MIN_OPPORTUNITIES` draws is left out: its frequencies are noise.
    """
    rows = masks[(masks["by"] == by) & (masks["arm"] == (arm or default_arm(masks)))]
    rows = rows[(rows["fold"] == SUMMED) & (seeds_of(rows) == SUMMED)]
    enough = rows.groupby("level")["opportunities"].transform("max") >= MIN_OPPORTUNITIES
    rows = rows[enough & (rows["opportunities"] > 0)]
    table = rows.assign(share=rows["masked"] / rows["opportunities"]).pivot(
        index="gene", columns="level", values="share"
    )
    ordered = [level for level in mask_levels(rows).get(by, []) if level in table]
    return table[ordered].rename_axis(columns=None)


def _rank(values: pd.Series) -> pd.Series:
    return values.rank(ascending=False, method="min").astype("Int64")
