"""Which backbone, recipe and masks name cells best: a grid, screened on VALIDATION donors, finalists on test.

``SGM_HOME=HOME python benchmarks/masking_study.py DATASET [--folds 1 3] [--seeds 0] [--only NAME ...]
[--label COLUMN ...] [--test] [--all-labels] [--workers 2]`` works out what is missing of `GRID` (with
``--test`` of `FINALISTS`, on all five folds) and prints the tables. A line of ``--rows`` is one
configuration, fold, seed and label column; it is written when it is done, so that asking again goes on. A
pretraining is kept in ``HOME/masking_study`` and serves every label column, validation and test donors
alike.

Every model trains on the training donors of a fold. The screen scores the cells of its validation donors,
which choose the heads' penalty here as everywhere; test donors are scored with ``--test`` alone, once. The
score is macro F1 by the whole vector (``f1_10``: 10 labelled cells a class, means of three draws) and by
the model's own part of it, without the genes beside it (``vector_10``).
"""

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LABELS, DRAWS = (10, 30), 3
KEY = ["cells", "label", "name", "fold", "seed"]
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
    "uniform + summary, whole cell 0.1": ("uniform+summary", {"whole_cell": 0.1}),
    "uniform + summary, whole cell 1": ("uniform+summary", {"whole_cell": 1.0}),
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
    "self-guided by error": ("self-guided", {"guide": "error"}),
    "self-guided, temperature 0.5": ("self-guided", {"temperature": 0.5}),
    "self-guided, temperature 0.25": ("self-guided", {"temperature": 0.25}),
    "self-guided, random keys": ("self-guided", {"key_init": "random"}),
    "self-guided, 0.03 of zeros": ("self-guided", {"zero_ratio": 0.03}),
}
"""Arm of a comparison and fields of pretraining, by the name of the line."""
BASELINE = "variable genes + logistic regression"
ONE_SEED = (BASELINE, "genes alone")
"""What draws nothing."""
FINALISTS = (
    BASELINE,
    "no pretraining",
    "uniform + summary",
    "self-guided",
    "self-guided by error",
    "inverse expression + summary",
    "expression + summary",
    "error-guided + summary",
)
"""What test donors are scored for: stated before any was, but for ``self-guided by error``, which came to the
grid after test donors of other lines were scored, and before one of its own was."""
MAIN = [
    ("self-guided", "uniform + summary"),
    ("self-guided by error", "uniform + summary"),
    ("uniform + summary", "no pretraining"),
    ("self-guided", BASELINE),
    ("self-guided by error", BASELINE),
]
"""The comparisons of the test donors, one Holm family over label columns and numbers of labels."""
OTHERS = [
    (name, "uniform + summary")
    for name in ("inverse expression + summary", "expression + summary", "error-guided + summary")
]
"""Looked at beside them, without a correction."""


def compare_config(data: str, name: str) -> Any:
    """Return the comparison whose arm a line is; its donor folds are those of the dataset's own labels."""
    from sgm_core.comparison.config import CompareConfig

    arm, fields = GRID.get(name, ("no-pretraining", {}))
    return CompareConfig.from_dict(
        {"data": data, "backbone": "dense", "arms": [arm], "pretrain": fields, "device": "cpu"}
    )


def pretrained(data: str, name: str, fold: int, seed: int) -> Path:
    """Return the folder of a pretraining, which is worked out if it is not there."""
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.comparison.arms import settings
    from sgm_core.home import home, whole_folder, write_json, write_table
    from sgm_core.model.checkpoint import save_model
    from sgm_core.progress import Observer
    from sgm_core.training.folds import run_folds
    from sgm_core.training.pretrain import pretrain

    arm = GRID[name][0]
    folder = home() / "masking_study" / data / f"{name.replace('/', 'of')}.fold{fold}.seed{seed}"
    if folder.exists():
        return folder
    config, dataset = compare_config(data, name), open_dataset(data)
    started = time.perf_counter()
    trained = pretrain(
        dataset, settings(config, arm, fold, seed)[0], run_folds(dataset, config)[fold], Observer()
    )
    with whole_folder(folder) as target:
        save_model(target / "checkpoint", trained.model, trained.names, arm)
        for table in ("masks", "masks_start", "mask_cells", "reconstruction"):
            write_table(target / f"{table}.parquet", getattr(trained, table).assign(seed=seed))
        write_json(target / "pretraining.json", {"seconds": time.perf_counter() - started})
    return folder


def work(
    data: str, name: str, fold: int, seed: int, labels: list[str], test: bool, every: bool
) -> list[dict[str, Any]]:
    """Return the lines of one configuration, fold and seed, one a label column."""
    from sgm_core.cells.dataset import open_dataset
    from sgm_core.comparison.arms import settings
    from sgm_core.device import pick_device, set_threads
    from sgm_core.home import read_json
    from sgm_core.model.checkpoint import load_model
    from sgm_core.training.data import model_values
    from sgm_core.training.folds import run_folds
    from sgm_core.training.labelled import labelled_fold
    from sgm_core.training.pooling import Pooled, pooled_of
    from sgm_core.training.pretrain import pretrain_cells
    from sgm_core.training.start import initial_state

    set_threads(2)  # of two processes
    config, dataset, device = compare_config(data, name), open_dataset(data), pick_device("cpu")
    one = run_folds(dataset, config)[fold]
    pretraining, finetuning = settings(config, config.arms[0], fold, seed)
    facts: dict[str, Any] = {}
    read: dict[str, Pooled] = {}
    parts = {label: labelled_fold(dataset, one, label, finetuning.train_cells, seed) for label in labels}
    if not test:
        parts = {label: replace(part, test=part.validation) for label, part in parts.items()}
    if name != BASELINE:
        if config.arms[0] == "no-pretraining":
            start = initial_state(dataset, pretraining, pretrain_cells(dataset, one)[0], device, random=True)
            model, values = start.model, start.values
        else:
            folder = pretrained(data, name, fold, seed)
            model, genes, _ = load_model(folder / "checkpoint")
            values = model_values(dataset, model, genes, device)
            last = pd.read_parquet(folder / "mask_cells.parquet").iloc[-1]
            facts = {key: last[key] for key in ("effective_share", "nonzero_share", "hidden_counts")}
            facts |= hidden_r2(pd.read_parquet(folder / "reconstruction.parquet"))
            facts["pretrain_s"] = read_json(folder / "pretraining.json")["seconds"]
        needed = np.unique(np.concatenate([part.encoded for part in parts.values()]))
        read["f1"] = pooled_of(model, values, needed)
        shape = model.backbone.config
        own = shape.width_of(shape.token_pool)  # the genes themselves come last
        if 0 < own < shape.pooled_width:
            read["vector"] = Pooled(read["f1"].rows, read["f1"].vectors[:, :own])
    lines = []
    for label, part in parts.items():
        line: dict[str, Any] = {"cells": "test" if test else "validation", "label": label, "name": name}
        line |= {"fold": fold, "seed": seed, **facts}
        if name == BASELINE:
            found = [("f1", *scored) for scored in baseline_scores(dataset, one, part, label, every)]
        else:
            found = [
                (what, *scored)
                for what, vectors in read.items()
                for scored in head_scores(
                    dataset, one, part, label, (model, values, finetuning), vectors, every and what == "f1"
                )
            ]
        kept: dict[str, list[float]] = {}
        for what, number, row in found:
            kept.setdefault(f"{what}_{number or 'all'}", []).append(float(row["macro_f1"]))
            line |= {key: row[key] for key in ("donors_train", "donors_test")}
        lines.append(line | {key: float(np.mean(each)) for key, each in kept.items()})
    return lines


def draws(part: Any, fold: Any, every: bool) -> list[Any]:
    """Return the draws of labelled cells, which are the comparison's own; with `every`, all of them too."""
    from sgm_core.analysis.budgets import ALL
    from sgm_core.training.label_draws import label_draws

    return [
        replace(one, part=replace(one.part, test=part.test))
        for one in label_draws(part, fold, [*LABELS, *([ALL] if every else [])], DRAWS, 0)
    ]


def head_scores(
    dataset: Any, fold: Any, part: Any, label: str, model: tuple[Any, Any, Any], vectors: Any, every: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of labels and the scores of a linear head, for every draw."""
    from sgm_core.analysis.budgets import ALL
    from sgm_core.progress import Observer
    from sgm_core.training.few_recipe import few_recipe
    from sgm_core.training.labelled import name_cells

    masked, values, finetuning = model
    for drawn in draws(part, fold, every):
        few = drawn.labels != ALL
        recipe = few_recipe(finetuning, drawn.part.cells.size) if few else finetuning
        made, _ = name_cells(masked, values, drawn.part, recipe, vectors, Observer())
        yield drawn.labels, scores(dataset, fold, part.classes, made, drawn, label)


def baseline_scores(
    dataset: Any, fold: Any, part: Any, label: str, every: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the same of logistic regression on variable genes."""
    from sgm_core.analysis.budgets import ALL
    from sgm_core.comparison.baselines import Cells, Read, reader, run_baseline
    from sgm_core.progress import Observer
    from sgm_core.training.logistic import FEW_STRENGTHS

    known, quiet = dataset.labels(label).astype(str).to_numpy(), Observer()
    read = reader("hvg-logistic", Cells(dataset, part.once[0], quiet))
    tested = Read(Cells(dataset, part.test, quiet), read)
    for drawn in draws(part, fold, every):
        own, chosen_by = drawn.part.once[0], drawn.part.validation
        cells = Cells(dataset, own, quiet), known[own], Cells(dataset, chosen_by, quiet), known[chosen_by]
        strengths = None if drawn.labels == ALL else FEW_STRENGTHS
        fitted = run_baseline("hvg-logistic", *cells, tested, 0, read, strengths)
        yield drawn.labels, scores(dataset, fold, fitted.classes, fitted.probabilities, drawn, label)


def scores(
    dataset: Any, fold: Any, classes: np.ndarray, probabilities: np.ndarray, drawn: Any, label: str
) -> dict[str, Any]:
    """Return a comparison's scores of the cells that are tested."""
    from sgm_core.training.finetune import fold_row, prediction_table

    where = {"arm": "", "scheme": "linear-probe", "fold": fold.index, "seed": 0}
    table = prediction_table(dataset, drawn.part.test, classes, probabilities, label, **where)
    return fold_row(dataset, fold, table, label, drawn.part.cells, 0.0)


def hidden_r2(table: pd.DataFrame) -> dict[str, float]:
    """Return the R2 of hidden genes from the table `reconstruction`, and of each gene its median."""
    rows = table.set_index("predictor")
    names = {"model": "model", "pca": "pca", "neighbours": "knn", "noise-floor": "floor"}
    found = {f"r2_{short}": float(rows.loc[name, "r2"]) for name, short in names.items()}
    return found | {f"r2_gene_{short}": float(rows.loc[name, "r2_gene"]) for name, short in names.items()}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each configuration over folds and seeds, by label column."""
    shown = ("f1_", "vector_", "r2_model", "r2_pca", "effective", "hidden", "pretrain_s")
    groups = rows.groupby(["cells", "label", "name"], sort=False)
    mean = groups[[name for name in map(str, rows) if name.startswith(shown)]].mean()
    mean.insert(0, "n", groups.size())
    return mean.round(3)


def preferences(data: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return how far what a line hides, beyond what expression explains, comes back with another seed."""
    from sgm_core.analysis.agreement import agreement
    from sgm_core.analysis.mask_models import model_residuals, model_rows

    trained = [
        name for name in rows["name"].unique() if GRID.get(name, ("no-pretraining",))[0] != "no-pretraining"
    ]
    lines = []
    for name in trained:
        models = rows[rows["name"] == name][["fold", "seed"]].drop_duplicates().itertuples(index=False)
        tables = [pd.read_parquet(pretrained(data, name, *one) / "masks.parquet") for one in models]
        masks = pd.concat(tables, ignore_index=True)
        found = agreement(model_residuals(model_rows(masks, str(masks["arm"].iloc[0]))))
        lines.append(
            {"name": name} | {key: found[key] for key in found if key.startswith(("seeds", "agreement"))}
        )
    return pd.DataFrame(lines)


def paired(rows: pd.DataFrame, pairs: list[tuple[str, str]], score: str = "f1") -> pd.DataFrame:
    """Return `pairs` on the test donors: seeds averaged within a fold, Nadeau-Bengio intervals, Holm.

    `score` is f1, by the whole vector, or vector, by the model's own part of it, which a baseline lacks. Only
    folds and seeds that both lines of a pair have count; what draws nothing has one seed for all.
    """
    from sgm_core.analysis.statistics import judge_family, paired_difference

    found: list[dict[str, Any]] = []
    for label, table in rows[rows["cells"] == "test"].groupby("label", sort=False):
        for number in (*LABELS, "all"):
            if f"{score}_{number}" not in table or table[f"{score}_{number}"].isna().all():
                continue
            own = table.rename(columns={"name": "arm", f"{score}_{number}": "macro_f1"}).dropna(
                subset="macro_f1"
            )
            numbers = ["macro_f1", "donors_train", "donors_test"]
            for a, b in pairs:
                if not {a, b} <= set(own["arm"]):
                    continue
                sides = [own[own["arm"] == one] for one in (a, b)]
                on = ["fold"] if {a, b} & set(ONE_SEED) else ["fold", "seed"]
                both = sides[0].merge(sides[1][on].drop_duplicates(), on=on)[["fold", "seed"]]
                drawn = [side if one in ONE_SEED else side.merge(both) for one, side in zip((a, b), sides)]
                two = pd.concat(drawn).groupby(["arm", "fold"], as_index=False)[numbers].mean()
                two = two.assign(scheme="linear-probe", seed=0)
                pair = paired_difference(two, (a, "linear-probe"), (b, "linear-probe"), role="secondary")
                found.append(
                    {
                        "label": label,
                        "labels": number,
                        "better": a,
                        "than": b,
                        "seeds": both["seed"].nunique(),
                    }
                    | pair
                )
    judge_family(found)
    kept = [
        "label",
        "labels",
        "better",
        "than",
        "seeds",
        "difference",
        "low",
        "high",
        "p",
        "p_holm",
        "detectable",
        "verdict",
    ]
    return pd.DataFrame(found, columns=None if found else kept)[kept]


def main() -> None:
    """Work out what is missing and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?")
    parser.add_argument("--rows", type=Path, default=Path("benchmarks/results/masking_study.csv"))
    parser.add_argument("--folds", type=int, nargs="+", help="1 3, or all five with --test")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", help="names of configurations, by default all")
    parser.add_argument("--label", nargs="+", default=["ennis_cell_type", "vangalen_cell_type"])
    parser.add_argument("--test", action="store_true", help="score the finalists on test donors")
    parser.add_argument("--all-labels", action="store_true", help="score with all labels too, minutes each")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.data is None:
        print("give a dataset; `sgm data list` shows those there are")
        return
    rows = pd.read_csv(options.rows) if options.rows.exists() else pd.DataFrame(columns=KEY)
    cells = "test" if options.test else "validation"
    done = set(rows[KEY].itertuples(index=False, name=None))
    names = options.only or (FINALISTS if options.test else GRID)
    folds = options.folds or ([0, 1, 2, 3, 4] if options.test else [1, 3])
    todo = [(name, fold, seed) for seed in options.seeds for fold in folds for name in names]
    asked = [
        (one, missing)
        for one in todo
        if one[0] not in ONE_SEED or one[2] == options.seeds[0]
        if (missing := [label for label in options.label if (cells, label, *one) not in done])
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        waiting = [
            pool.submit(work, options.data, *one, missing, options.test, options.all_labels)
            for one, missing in asked
        ]
        for future in as_completed(waiting):
            rows = pd.concat([rows, pd.DataFrame(future.result())], ignore_index=True)
            rows.round(4).to_csv(options.rows, index=False)
            print(future.result(), flush=True)
    print(summary(rows).to_string())
    print(preferences(options.data, rows).round(3).to_string())
    for score in ("f1", "vector"):
        for pairs, what in ((MAIN, "stated before"), (OTHERS, "beside them: take p, not p_holm")):
            print(f"\n{score}, test donors, {what}\n{paired(rows, pairs, score).round(4).to_string()}")


if __name__ == "__main__":
    main()
