"""Genes ranked by single cells, where donors are too few for a test: it describes, without p-values."""

import warnings

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset

MOST_CELLS = 2000


def balanced_sample(groups: pd.Series | None, rows: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """Draw at most `most` of `rows`, as evenly over their groups as they allow; ascending.

    Parameters
    ----------
    groups
        The group (donor) of each cell of the dataset; None draws evenly over the cells.
    rows
        Row numbers.
    most
        Number to draw; fewer rows are returned as they are.
    seed
        Seed of the draw.
    """
    if len(rows) <= most:
        return np.sort(rows)
    rng = np.random.default_rng(seed)
    mixed = rng.permutation(rows)
    if groups is None:
        return np.sort(mixed[:most])
    code, _ = pd.factorize(groups.iloc[mixed].astype(str))
    # The first cell of every group, then the second of every group ..., until there are enough.
    turn = pd.Series(code).groupby(code).cumcount().to_numpy()
    return np.sort(mixed[np.argsort(turn, kind="stable")[:most]])


def cell_ranking(dataset: Dataset, rows_a: np.ndarray, rows_b: np.ndarray) -> pd.DataFrame:
    """Rank the genes by Wilcoxon's rank sum between single cells (scanpy's `rank_genes_groups`).

    Parameters
    ----------
    dataset
        The cells.
    rows_a, rows_b
        Row numbers of the two sides; all are used, so draw them before (`balanced_sample`).

    Returns
    -------
    DataFrame
        One row a gene with a count: gene, log2_fold_change (of mean expression, a over b), score (z of the
        rank sum, ties corrected), share_a, share_b (of cells with a count), mean_a, mean_b (of ln(1 + 10,000
        * count / total)). It has no p-values on purpose: cells are no independent samples.
    """
    import scanpy as sc
    from anndata import AnnData

    rows = np.concatenate([rows_a, rows_b])
    values = dataset.lognorm(rows)
    there = np.flatnonzero(np.bincount(values.indices, minlength=dataset.n_genes))
    values, names = values[:, there].tocsr(), dataset.genes[there]
    side = np.repeat(["a", "b"], [len(rows_a), len(rows_b)])
    obs = pd.DataFrame({"side": pd.Categorical(side)}, index=rows.astype(str))
    cells = AnnData(values, obs=obs, var=pd.DataFrame(index=names))
    cells.uns["log1p"] = {"base": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(
            cells, "side", groups=["a"], reference="b", method="wilcoxon", tie_correct=True
        )
    found = cells.uns["rank_genes_groups"]
    table = pd.DataFrame({"gene": names})
    for column, field in (("log2_fold_change", "logfoldchanges"), ("score", "scores")):
        ranked = pd.Series(found[field]["a"].astype(float), found["names"]["a"])
        table[column] = ranked.reindex(names).to_numpy()
    for name, mine in (("a", slice(None, len(rows_a))), ("b", slice(len(rows_a), None))):
        part = values[mine]
        table[f"share_{name}"] = part.getnnz(axis=0) / part.shape[0]
        table[f"mean_{name}"] = np.asarray(part.mean(axis=0)).ravel()
    return table
