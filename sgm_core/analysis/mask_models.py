"""The models behind a table of masks, one for each seed and fold, and what each prefers beyond expression.

A statement about genes holds only if it comes back with another model: random weights alone give every gene a
fixed preference before the first step of training.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sgm_core.analysis.matching import matched_residuals

SUMMED = -1
"""`fold` or `seed` of rows that are sums over folds or seeds."""


RESIDUAL = ("residual", "residual_variance")
"""Columns that a table of masks may have: what `matched_residuals` says of each gene of one model."""


@dataclass(frozen=True)
class ModelResiduals:
    """How far each model's log mask frequency of each gene lies from that of genes of equal expression.

    Parameters
    ----------
    genes
        Names (G,): the union over the models.
    seeds, folds
        Of each model (M,).
    residual, variance
        Log ratio and its sampling variance (G, M); NaN where a model hid too little to tell, or lacks the
        gene.
    """

    genes: np.ndarray
    seeds: np.ndarray
    folds: np.ndarray
    residual: np.ndarray
    variance: np.ndarray

    @property
    def n_seeds(self) -> int:
        """Number of different seeds."""
        return len(np.unique(self.seeds))

    @property
    def n_folds(self) -> int:
        """Number of different folds; shared pretraining counts as one."""
        return len(np.unique(self.folds))

    def known(self) -> "ModelResiduals":
        """Return the same of the genes that every model hid often enough."""
        there = np.isfinite(self.residual).all(axis=1)
        arrays = {name: getattr(self, name)[there] for name in ("genes", "residual", "variance")}
        return replace(self, **arrays)

    def over_folds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return residual and sampling variance averaged over the folds of each seed, both (G, seeds)."""
        residual, variance = [], []
        for seed in np.unique(self.seeds):
            mine = self.seeds == seed
            known = np.isfinite(self.residual[:, mine])
            n = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
            residual.append(np.nansum(self.residual[:, mine], axis=1) / n)
            variance.append(np.nansum(self.variance[:, mine], axis=1) / n**2)
        return np.column_stack(residual), np.column_stack(variance)


def seeds_of(rows: pd.DataFrame) -> np.ndarray:
    """Return the seed of each row; tables without the column hold one seed (0) and its sums (-1)."""
    if "seed" in rows:
        return rows["seed"].to_numpy()
    return np.where(rows["fold"].to_numpy() == SUMMED, SUMMED, 0)


def model_rows(masks: pd.DataFrame, arm: str, fold: int = SUMMED, seed: int = SUMMED) -> pd.DataFrame:
    """Return the rows of each model of an arm, over all cells, with the column ``seed``.

    Parameters
    ----------
    masks
        The run table `masks` or `masks_start`.
    fold, seed
        Take the models of this fold, of this seed alone; -1 takes all.
    """
    rows = masks[(masks["by"] == "all") & (masks["arm"] == arm)]
    rows = rows.assign(seed=seeds_of(rows))
    models = rows[rows["seed"] != SUMMED]
    if models.empty:  # one shared model, known by its sum alone
        models = rows.assign(seed=0)
    if fold != SUMMED:
        models = models[models["fold"] == fold]
    return models[models["seed"] == seed] if seed != SUMMED else models


def model_residuals(models: pd.DataFrame) -> ModelResiduals:
    """Hold every gene of every model against genes of equal expression in the same model.

    Parameters
    ----------
    models
        From `model_rows`. Rows that carry their residuals (`with_residuals`) are taken as they are.
    """
    models = models[models["opportunities"] > 0]
    genes = pd.Index(models["gene"].unique())
    keys, residual, variance = [], [], []
    for key, rows in models.groupby(["seed", "fold"]):
        table = (rows[list(RESIDUAL)] if _is_kept(rows) else residuals_of(rows)).set_axis(
            pd.Index(rows["gene"])
        )
        keys.append(key)
        residual.append(table["residual"].reindex(genes).to_numpy())
        variance.append(table["residual_variance"].reindex(genes).to_numpy())
    seeds, folds = np.array(keys, dtype=int).reshape(-1, 2).T
    empty = np.empty((len(genes), 0))
    return ModelResiduals(
        genes.to_numpy(dtype=str),
        seeds,
        folds,
        np.column_stack(residual) if residual else empty,
        np.column_stack(variance) if variance else empty,
    )


def with_residuals(model: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one model with what `model_residuals` works out, to be stored beside its counts.

    Parameters
    ----------
    model
        Rows of `masks` over all cells, one a gene. The new columns ``residual`` and ``residual_variance`` are
        NaN for genes that were never eligible, or too seldom.
    """
    seen = (model["opportunities"] > 0).to_numpy()
    table = model.assign(**dict.fromkeys(RESIDUAL, np.nan))
    table.loc[seen, list(RESIDUAL)] = residuals_of(model[seen])[list(RESIDUAL)].to_numpy()
    return table


def residuals_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the `matched_residuals` of rows of `masks`, one a gene, all with opportunities."""
    n = rows["opportunities"].to_numpy(float)
    return matched_residuals(
        rows["masked"].to_numpy(float),
        n,
        rows["value_sum"].to_numpy(float) / n,
        rows["opportunities_nonzero"].to_numpy(float) / n,
    )


def _is_kept(rows: pd.DataFrame) -> bool:
    return set(RESIDUAL) <= set(rows) and bool(rows[RESIDUAL[0]].notna().any())


def one_model(genes: np.ndarray, matched: pd.DataFrame) -> ModelResiduals:
    """Take counts as those of one model.

    Parameters
    ----------
    genes
        Names (G,).
    matched
        Their `matched_residuals`.
    """
    columns = (matched[[name]].to_numpy() for name in ("residual", "residual_variance"))
    return ModelResiduals(genes, np.zeros(1, int), np.full(1, SUMMED), *columns)


def two_seeds(models: ModelResiduals, same_donors: bool = True) -> pd.DataFrame | None:
    """Return what two models with another seed prefer, side by side; the first such pair.

    Parameters
    ----------
    models
        The residuals of every model.
    same_donors
        Of the same fold; else of another fold, which is pretrained on other donors in part.

    Returns
    -------
    DataFrame
        gene, first, second: log frequency against genes of equal expression in the model of the first and of
        the second seed, NaN-free; ``attrs``: seeds and folds of the two. None where there is no such pair.
    """
    i, j = np.triu_indices(len(models.seeds), 1)
    other = models.seeds[i] != models.seeds[j]
    pairs = np.flatnonzero(other & ((models.folds[i] == models.folds[j]) == same_donors))
    if not len(pairs):
        return None
    mine = [i[pairs[0]], j[pairs[0]]]
    table = pd.DataFrame(models.residual[:, mine], columns=["first", "second"])
    table.insert(0, "gene", models.genes)
    table = table.dropna().reset_index(drop=True)
    names = (("seeds", models.seeds), ("folds", models.folds))
    table.attrs = {name: tuple(int(k) for k in of[mine]) for name, of in names}
    return table
