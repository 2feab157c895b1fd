"""What a budget of training cells costs in macro F1 and saves in time.

``SGM_HOME=HOME python benchmarks/train_cells.py DATASET [--budgets 4000 8000 none] [--folds 0] [--seeds 0]
[--arm self-guided]`` works out one arm, with its linear probe and partial finetuning, and the baselines on a
fold of a stored dataset as a comparison does, with each budget in turn, in a process of its own. It prints
macro F1 in per cent, how far that is from the last budget's (in points; the mean over folds and seeds), the
seconds and the peak memory. Tasks that are done are kept in ``--folder``: asking again adds to the table.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import pandas as pd

from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.tasks import BASELINE, FOLDER, Task, TaskObserver, is_done, run_task
from sgm_core.home import read_json, write_json
from sgm_core.progress import Observer


def config_of(options: argparse.Namespace, budget: str) -> CompareConfig:
    """Return the comparison of a budget."""
    fields = {"data": options.data, "backbone": options.backbone, "umap": False, "device": "cpu"}
    return CompareConfig.from_dict(
        fields | {"train_cells": budget, "folds": options.of, "arms": [options.arm]}
    )


def work(config: CompareConfig, task: Task, folder: Path) -> None:
    """Work out a task, and note the seconds and the peak memory of this process."""
    from sgm_core.device import set_threads
    from sgm_core.training.memory import keep_freed_memory

    set_threads(2)  # as in a comparison of two processes
    keep_freed_memory()
    started = time.perf_counter()
    run_task(config, task, folder, "benchmark", TaskObserver(Observer(), 0))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    write_json(folder / FOLDER / task.name / "cost.json", {"s": time.perf_counter() - started, "GB": peak})


def table(options: argparse.Namespace) -> pd.DataFrame:
    """Work out what is missing; return one row a budget and classifier."""
    context, parts = multiprocessing.get_context("spawn"), []
    for budget in options.budgets:
        config, folder = config_of(options, budget), options.folder / budget
        tasks = [Task(BASELINE, fold) for fold in options.folds]
        tasks += [Task(options.arm, fold, seed) for fold in options.folds for seed in options.seeds]
        for task in tasks:
            if not is_done(folder, task):
                process = context.Process(target=work, args=(config, task, folder))
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(f"{task.name} with {budget} ended with {process.exitcode}")
            at = folder / FOLDER / task.name
            parts.append(
                pd.read_parquet(at / "folds.parquet").assign(budget=budget, **read_json(at / "cost.json"))
            )
    rows = pd.concat(parts, ignore_index=True)
    rows["macro_f1"] *= 100
    keys = ["arm", "scheme", "budget"]
    found = rows.groupby(keys, sort=False)[["n_train", "macro_f1", "s", "GB"]].mean()
    last = found.xs(options.budgets[-1], level="budget")["macro_f1"]
    found["points"] = found["macro_f1"] - last.reindex(found.index.droplevel("budget")).to_numpy()
    return found.sort_index(level=[0, 1], sort_remaining=False).reset_index()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--budgets", nargs="+", default=["2000", "4000", "8000", "16000", "none"])
    parser.add_argument("--folds", nargs="+", type=int, default=[0])
    parser.add_argument("--of", type=int, default=5, help="number of folds that the donors are split into")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--arm", default="self-guided")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--folder", type=Path, help="where tasks are kept; by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        options.folder = (options.folder or Path(scratch)).resolve()
        print(table(options).round({"n_train": 0, "macro_f1": 1, "points": 1, "s": 0, "GB": 2}).to_string())


if __name__ == "__main__":
    main()
