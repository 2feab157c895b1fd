"""A small finished compare run with every table, simulated from a known truth, for tests.

Truth: every arm names cells right with the probability in `ACCURACY` (moved by a fold effect that all share),
and hides genes by the law in `log_importance`: the self-guided arm follows expression a little, and prefers
`GUIDED_GENES` of the genes far beyond that, the same in every model.
"""

import numpy as np
import pandas as pd
from synthetic_budgets import budget_scores
from synthetic_masks import count_cells, count_masks, draw_masks

from sgm_core.analysis.budgets import budget_tables
from sgm_core.analysis.metrics import paired_table, per_class, per_donor, score_predictions, summary_table
from sgm_core.analysis.pooled import pooled_table, with_pooled
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.home import write_table
from sgm_core.runs.store import create_run

ACCURACY = {
    ("no-pretraining", "linear-probe"): 0.50,
    ("no-pretraining", "partial"): 0.58,
    ("uniform", "linear-probe"): 0.54,
    ("uniform", "partial"): 0.66,
    ("uniform+summary", "linear-probe"): 0.55,
    ("uniform+summary", "partial"): 0.67,
    ("expression+summary", "linear-probe"): 0.58,
    ("expression+summary", "partial"): 0.69,
    ("self-guided", "linear-probe"): 0.62,
    ("self-guided", "partial"): 0.76,
    ("majority", "baseline"): 0.0,
    ("hvg-logistic", "baseline"): 0.64,
    ("pca-logistic", "baseline"): 0.70,
    ("pca-knn", "baseline"): 0.66,
}
MASKED_ARMS = ("uniform", "uniform+summary", "expression+summary", "self-guided")
GUIDED_GENES = 30
LIFT = 6.0
EPOCHS = 3
MASK_EPOCHS = 2  # of which masks are counted
MASK_SEEDS = 3  # models of each arm and fold
_MAX_CELLS = 300  # masks are drawn for so many cells: enough to see the truth, quick enough for every test
_MADE: dict[tuple, tuple[dict[str, pd.DataFrame], list[dict]]] = {}  # drawn once a process


def make_compare_run(
    dataset_name: str = "demo", n_folds: int = 3, seed: int = 0, budgets: bool = False
) -> str:
    """Write a finished compare run on an existing dataset, with `budgets` also few labels; return its ID."""
    dataset = open_dataset(dataset_name)
    key = (dataset.content_hash, n_folds, seed)
    if key not in _MADE:
        _MADE[key] = _tables(dataset, n_folds, np.random.default_rng(seed))
    tables, metrics = _MADE[key]
    if budgets:
        scores = budget_scores(tables["folds"], np.random.default_rng(seed))
        tables = tables | {"budgets": scores} | budget_tables(scores)
    run = create_run(
        "compare", dataset_name, {"data": dataset_name, "folds": n_folds, "seed": seed}, title="Synthetic run"
    )
    for name, table in tables.items():
        write_table(run.path / f"{name}.parquet", table)
    for row in metrics:
        run.metric(**row)
    run.message("Synthetic run: every table drawn from a known truth")
    run.finish("done")
    return run.id


def _tables(
    dataset: Dataset, n_folds: int, rng: np.random.Generator
) -> tuple[dict[str, pd.DataFrame], list[dict]]:
    folds = _donor_folds(dataset, n_folds)
    predictions, scores, coverage = _predictions(dataset, folds, rng)
    masks, start, mask_cells = _masks(dataset, folds, rng)
    tables = {
        "folds": scores,
        "summary": summary_table(scores),
        "paired": with_pooled(paired_table(scores), predictions, dataset.donors()),
        "pooled": pooled_table(predictions, dataset.donors()),
        "per_class": per_class(predictions),
        "per_donor": per_donor(predictions, dataset.donors()),
        "predictions": predictions,
        "coverage": coverage,
        "masks": masks,
        "masks_start": start,
        "mask_cells": mask_cells,
        "embedding": _embedding(dataset, rng),
    }
    return tables, _metrics(n_folds, rng)


def guided_genes(dataset: Dataset, seed: int = 0) -> np.ndarray:
    """Return the genes that the self-guided arm truly prefers: some seen in 2 to 60 % of cells."""
    detection = dataset.var["n_cells"].to_numpy() / dataset.n_cells
    candidates = np.flatnonzero((detection > 0.02) & (detection < 0.6))
    return np.sort(
        np.random.default_rng(seed).choice(candidates, min(GUIDED_GENES, len(candidates)), replace=False)
    )


def log_importance(arm: str, values: np.ndarray, guided: np.ndarray) -> np.ndarray:
    """Return the log importance of every position under one arm; cells x genes."""
    if arm.startswith("uniform"):
        return np.zeros_like(values)
    if arm.startswith("expression"):
        return np.log(values + 0.05)
    scores = 0.15 * values
    scores[:, guided] += np.log(LIFT)
    return scores


def _donor_folds(dataset: Dataset, n_folds: int) -> list[list[str]]:
    donors = sorted(dataset.donors().unique())
    return [donors[k::n_folds] for k in range(n_folds)]


def _predictions(
    dataset: Dataset, folds: list[list[str]], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    labels, donors = dataset.labels(), dataset.donors()
    labelled = labels.notna().to_numpy()
    classes = np.array(sorted(labels[labelled].unique()))
    scored = classes[:-1]  # the last class stands for one that is too rare to score
    frames, rows = [], []
    for k, test_donors in enumerate(folds):
        cells = np.flatnonzero(donors.isin(test_donors).to_numpy() & labelled)
        n_train = int(labelled.sum() - len(cells))
        true = labels.to_numpy()[cells].astype(str)
        fold_effect = rng.normal(0, 0.03)
        for (arm, scheme), accuracy in ACCURACY.items():
            level = np.clip(accuracy + fold_effect + rng.normal(0, 0.01), 0, 1)
            right = rng.random(len(cells)) < level
            predicted = np.where(right, true, rng.choice(classes, len(cells)))
            if arm == "majority":
                predicted = np.full(len(cells), pd.Series(true).mode()[0])
            confidence = np.clip(rng.beta(8, 3, len(cells)) - 0.25 * ~right, 0.05, 1)
            frames.append(
                pd.DataFrame({"cell": cells, "fold": k, "arm": arm, "scheme": scheme, "seed": 0})
                .assign(true=true, predicted=predicted, confidence=confidence, scored=np.isin(true, scored))
            )  # fmt: skip
            rows.append(
                {
                    "arm": arm, "scheme": scheme, "fold": k, "seed": 0,
                    **score_predictions(true, predicted, confidence, scored),
                    "n_train": n_train, "n_test": len(cells),
                    "donors_train": donors.nunique() - len(test_donors), "donors_test": len(test_donors),
                    "test_donors": ",".join(test_donors), "seconds": float(rng.uniform(5, 20)),
                }
            )  # fmt: skip
    counts = pd.crosstab(labels[labelled], donors[labelled])
    coverage = counts.stack().rename("n_cells").reset_index()
    coverage.columns = pd.Index(["cell_type", "donor", "n_cells"])
    return pd.concat(frames, ignore_index=True), pd.DataFrame(rows), coverage


def _masks(
    dataset: Dataset, folds: list[list[str]], rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Draw `masks`, `masks_start` and `mask_cells`: every model has its arm's law, and starts uniform."""
    rows = np.sort(rng.choice(dataset.n_cells, min(_MAX_CELLS, dataset.n_cells), replace=False))
    donors = dataset.donors().to_numpy()[rows]
    # One draw for each training cell of each seed, fold and epoch, as in pretraining; epoch 0: before it.
    draws = [
        (i, seed, fold, epoch)
        for seed in range(MASK_SEEDS)
        for fold, test_donors in enumerate(folds)
        for epoch in range(MASK_EPOCHS + 1)
        for i in np.flatnonzero(~np.isin(donors, test_donors))
    ]
    cell, seed_of, fold_of, epoch_of = np.array(draws).T
    values = np.asarray(dataset.lognorm(rows).todense(), dtype=float)
    guided, obs = guided_genes(dataset), dataset.obs.iloc[rows[cell]].reset_index(drop=True)
    groups = {"cell_type": obs[dataset.cell_type_column], "donor": obs[dataset.donor_column]}
    if dataset.timepoint_column:
        groups["timepoint"] = obs[dataset.timepoint_column]
    groups["epoch"] = pd.Series(epoch_of)
    trained = epoch_of > 0
    frames, start, cells = [], [], []

    def count(arm: str, seed: int, fold: int, by: str, level: str, index: np.ndarray) -> pd.DataFrame:
        table = count_masks(drawn[index], values[cell[index]], dataset.genes)
        return table.assign(arm=arm, fold=fold, seed=seed, by=by, level=level)

    k = round(0.3 * dataset.n_genes)
    for arm in MASKED_ARMS:
        scores, flat = log_importance(arm, values, guided), np.zeros_like(values)
        first = flat if arm == "self-guided" else scores
        drawn = np.empty((len(cell), dataset.n_genes), dtype=bool)
        for part, law in ((~trained, first), (trained, scores)):
            drawn[part] = draw_masks(law[cell[part]], k, rng)
        frames.append(count(arm, -1, -1, "all", "", np.flatnonzero(trained)))
        for seed in range(MASK_SEEDS):
            for fold in range(len(folds)):
                here = (fold_of == fold) & (seed_of == seed)
                frames.append(count(arm, seed, fold, "all", "", np.flatnonzero(here & trained)))
                start.append(count(arm, seed, fold, "all", "", np.flatnonzero(here & ~trained)))
                for epoch in range(MASK_EPOCHS + 1):
                    now = np.flatnonzero(here & (epoch_of == epoch))
                    law = scores if epoch else first
                    row = count_cells(drawn[now], values[cell[now]], law[cell[now]])
                    cells.append({"arm": arm, "fold": fold, "seed": seed, "epoch": epoch} | row)
        for by, column in groups.items():
            for level, index in column[trained].groupby(column[trained]).groups.items():
                frames.append(count(arm, -1, -1, by, str(level), index.to_numpy()))
    masks, before = (pd.concat(part, ignore_index=True) for part in (frames, start))
    return masks, before, pd.DataFrame(cells)


def _embedding(dataset: Dataset, rng: np.random.Generator) -> pd.DataFrame:
    labels = dataset.labels().fillna("none").astype(str)
    angle = pd.factorize(labels, sort=True)[0] / labels.nunique() * 2 * np.pi
    frames = []
    for source, spread in (("pca", 0.45), ("self-guided/fold 0", 0.25)):
        x = 5 * np.cos(angle) + rng.normal(0, spread, dataset.n_cells)
        y = 5 * np.sin(angle) + rng.normal(0, spread, dataset.n_cells)
        frames.append(pd.DataFrame({"source": source, "cell": np.arange(dataset.n_cells), "x": x, "y": y}))
    return pd.concat(frames, ignore_index=True).astype({"x": "float32", "y": "float32"})


def _metrics(n_folds: int, rng: np.random.Generator) -> list[dict]:
    rows = []
    for arm in MASKED_ARMS:
        for fold in range(n_folds):
            for epoch in range(EPOCHS):
                loss = 0.4 + 0.6 * np.exp(-epoch) + rng.normal(0, 0.01)
                uniform = arm.startswith("uniform")
                row = {
                    "phase": "pretrain",
                    "arm": arm,
                    "fold": fold,
                    "epoch": epoch + 1,
                    "step": 50 * (epoch + 1),
                }
                row |= {
                    "train_loss": loss,
                    "validation_loss": loss + 0.03,
                    "cells_per_s": rng.uniform(400, 500),
                }
                row |= {"effective_share": 1.0 if uniform else 0.9, "nonzero_share": 0.3}
                rows.append(row | {"rank_correlation": 0.0 if uniform else 0.3})
    return rows
