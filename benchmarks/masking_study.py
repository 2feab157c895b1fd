"""Which backbone, recipe and masks name cells best: a grid, scored on VALIDATION donors.

``SGM_HOME=HOME python benchmarks/masking_study.py DATASET [--rows CSV] [--folds 1 3] [--seeds 0]
[--only NAME ...] [--workers 2] [--all-labels]`` works out what is missing of `GRID` and prints the table. A
line of the file is one configuration, fold and seed; it is written when it is done, so that asking again goes
on. Every model trains on the training donors of a fold; the cells of its validation donors, which choose the
heads' penalty here as everywhere, are what is scored: by the whole vector (``f1_10``) and by the model's own
part of it, without the genes beside it (``vector_10``). Test donors are never looked at: they are for the
finalists, which ``sgm compare`` scores (`benchmarks/results/masking_study.md` has the command).
"""

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LABELS, DRAWS = (10, 30), 3
GRID: dict[str, tuple[str, dict[str, Any]]] = {
    # what a head reads without pretraining: the genes, and random vectors of them
    "no pretraining": ("no-pretraining", {}),
    "genes alone": ("no-pretraining", {"pool": "genes"}),
    # the backbone and its recipe
    "uniform": ("uniform", {}),
    "uniform, 6 epochs": ("uniform", {"epochs": 6}),
    "uniform, 24 epochs": ("uniform", {"epochs": 24}),
    "uniform, no variable genes": ("uniform", {"variable_genes": 0}),
    "uniform, dropout 0.1": ("uniform", {"dropout": 0.1}),
    "uniform, rate 3e-4": ("uniform", {"lr_backbone": 3e-4, "lr_new": 3e-4}),
    # what is hidden, and how much
    "uniform, 0.30 of all": ("uniform", {"mask_basis": "all"}),
    "uniform, 0.03 of zeros": ("uniform", {"zero_ratio": 0.03}),
    "uniform, 0.50 / 0.50": ("uniform", {"mask_ratio": 0.5, "zero_ratio": 0.5}),
    "uniform + summary": ("uniform+summary", {}),
    # who is hidden: equal numbers of non-zero and of zero genes
    "expression + summary": ("expression+summary", {}),
    "inverse expression + summary": ("inverse-expression+summary", {}),
    "random ratio + summary": ("random-ratio+summary", {}),
    "programmes + summary": ("programmes+summary", {}),
    "SMA + summary": ("sma+summary", {}),
    "error-guided + summary": ("error-guided+summary", {}),
    "reducible error + summary": ("reducible-error+summary", {}),
    "ADIOS + summary": ("adios+summary", {}),
    # who trains the latents
    "self-guided": ("self-guided", {}),
    "self-guided, temperature 0.5": ("self-guided", {"temperature": 0.5}),
    "self-guided, temperature 0.25": ("self-guided", {"temperature": 0.25}),
    "self-guided, random keys": ("self-guided", {"key_init": "random"}),
    "self-guided, 0.03 of zeros": ("self-guided", {"zero_ratio": 0.03}),
}
"""Arm of a comparison and fields of pretraining, by the name of the line."""


def work(data: str, name: str, fold: int, seed: int, all_labels: bool) -> dict[str, Any]:
    """Return one line of the table."""
    from sgm_core.analysis.budgets import ALL
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.comparison.arms import settings
    from sgm_core.comparison.config import ARMS, CompareConfig
    from sgm_core.device import pick_device, set_threads
    from sgm_core.progress import Observer
    from sgm_core.training.data import model_values
    from sgm_core.training.few_recipe import few_recipe
    from sgm_core.training.folds import run_folds
    from sgm_core.training.label_draws import label_draws
    from sgm_core.training.labelled import labelled_fold, name_cells
    from sgm_core.training.pooling import Pooled, pooled_of
    from sgm_core.training.pretrain import pretrain, pretrain_cells
    from sgm_core.training.start import initial_state
    from sgm_core.training.validation import validation_score

    set_threads(2)
    arm, fields = GRID[name]
    config = CompareConfig.from_dict(
        {"data": data, "backbone": "dense", "arms": [arm], "pretrain": fields, "device": "cpu"}
    )
    pretraining, finetuning = settings(config, arm, fold, seed)
    dataset, device = open_dataset(data), pick_device("cpu")
    one = run_folds(dataset, config)[fold]
    line: dict[str, Any] = {"name": name, "fold": fold, "seed": seed}
    started = time.perf_counter()
    if ARMS[arm]:
        trained = pretrain(dataset, pretraining, one, Observer())
        model, values = trained.model, model_values(dataset, trained.model, trained.names, device)
        last = trained.mask_cells.iloc[-1]
        line |= {key: last[key] for key in ("effective_share", "nonzero_share", "hidden_counts")}
        line |= hidden_r2(trained.reconstruction)
    else:
        start = initial_state(dataset, pretraining, pretrain_cells(dataset, one)[0], device, random=True)
        model, values = start.model, start.values
    line["pretrain_s"] = time.perf_counter() - started
    part = labelled_fold(dataset, one, None, finetuning.train_cells, seed)
    part = replace(part, test=part.validation)
    pooled = pooled_of(model, values, part.encoded)
    shape = model.backbone.config
    own = shape.width_of(shape.token_pool)  # the genes themselves come last
    read = {"f1": pooled}
    if 0 < own < shape.pooled_width:
        read["vector"] = Pooled(pooled.rows, pooled.vectors[:, :own])
    scores: dict[str, list[float]] = {}
    for drawn in label_draws(part, one, [*LABELS, *([ALL] if all_labels else [])], DRAWS, 0):
        recipe = few_recipe(finetuning, drawn.part.cells.size) if drawn.labels != ALL else finetuning
        drawn_part = replace(drawn.part, test=part.validation)
        for what, vectors in read.items():
            made, _ = name_cells(model, values, drawn_part, recipe, vectors, Observer())
            score = validation_score(part.validation_codes, made)[0]
            scores.setdefault(f"{what}_{drawn.labels or 'all'}", []).append(score)
    line |= {name: float(np.mean(each)) for name, each in scores.items()}
    return {**line, "seconds": time.perf_counter() - started}


def hidden_r2(table: pd.DataFrame) -> dict[str, float]:
    """Return the R2 of hidden genes from the table `reconstruction`, and of each gene its median."""
    rows = table.set_index("predictor")
    names = {"model": "model", "pca": "pca", "neighbours": "knn", "noise-floor": "floor"}
    found = {f"r2_{short}": float(rows.loc[name, "r2"]) for name, short in names.items()}
    return found | {f"r2_gene_{short}": float(rows.loc[name, "r2_gene"]) for name, short in names.items()}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each configuration over folds and seeds."""
    numbers = [
        name
        for name in rows
        if name.startswith(("f1_", "vector_", "r2_", "effective", "hidden", "pretrain_s"))
    ]
    mean = rows.groupby("name", sort=False)[numbers].mean()
    mean.insert(0, "n", rows.groupby("name", sort=False).size())
    return mean.loc[[name for name in GRID if name in mean.index]].round(3)


def main() -> None:
    """Work out what is missing and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?")
    parser.add_argument("--rows", type=Path, default=Path("benchmarks/results/masking_study.csv"))
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", help="names of configurations, by default all of `GRID`")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--all-labels", action="store_true", help="score with all labels too, a minute each")
    options = parser.parse_args()
    if options.data is None:
        print("give a dataset; `sgm data list` shows those there are")
        return
    rows = pd.read_csv(options.rows) if options.rows.exists() else pd.DataFrame()
    done = set() if rows.empty else set(zip(rows["name"], rows["fold"], rows["seed"], strict=True))
    names = [name for name in GRID if not options.only or name in options.only]
    todo = [(n, f, s) for s in options.seeds for f in options.folds for n in names if (n, f, s) not in done]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        waiting = [pool.submit(work, options.data, *one, options.all_labels) for one in todo]
        for future in as_completed(waiting):
            rows = pd.concat([rows, pd.DataFrame([future.result()])], ignore_index=True)
            rows.round(4).to_csv(options.rows, index=False)
            print(future.result(), flush=True)
    print(summary(rows).to_string())


if __name__ == "__main__":
    main()
