"""What publishing a comparison costs on an atlas: a piece more, the end, and what pages then read.

``SGM_HOME=HOME python benchmarks/published.py DATASET [--seeds 3] [--genes 2000]`` makes a comparison of a
stored dataset whose tasks are drawn instead of trained (every arm, seed and fold, and the baselines: 7.5
million predictions at 345,897 cells), publishes after each task as the protocol does, and prints seconds and
peak memory. The run stays, for ``benchmarks/pages.py --home HOME``.
"""

import argparse
import resource
import time

import numpy as np
import pandas as pd

from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import fold_cells, scored_classes
from sgm_core.comparison.baselines import BASELINES
from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.parts import write_predictions
from sgm_core.comparison.protocol import tasks_of
from sgm_core.comparison.publish import Publisher
from sgm_core.comparison.tasks import BASELINE, FOLDER, Task
from sgm_core.home import write_json, write_table
from sgm_core.runs.store import Run, create_run
from sgm_core.training.counts import MaskCounter
from sgm_core.training.finetune import fold_row
from sgm_core.training.folds import run_folds

ACCURACY = {"linear-probe": 0.70, "partial": 0.75, "baseline": 0.65}
EPOCHS = 10


def draw(dataset: Dataset, task: Task, run: Run, config: CompareConfig, genes: np.ndarray) -> None:
    """Write what the task would leave behind."""
    rng = np.random.default_rng([task.fold, task.seed, len(task.arm)])
    fold = run_folds(dataset, config)[task.fold]
    labels = dataset.labels()
    known = labels.notna().to_numpy()
    cells = fold_cells(dataset, fold)[2]
    cells = cells[known[cells]]
    true = labels.to_numpy()[cells].astype(str)
    classes, scored = np.unique(true), scored_classes(dataset)[0]
    folder = run.path / FOLDER / task.name
    folder.mkdir(parents=True)
    sides = [(task.arm, scheme) for scheme in config.schemes]
    if task.arm == BASELINE:
        sides = [(name, "baseline") for name in BASELINES]
    tables, rows = [], []
    for arm, scheme in sides:
        right = rng.random(len(cells)) < ACCURACY[scheme]
        table = pd.DataFrame({"cell": cells, "fold": task.fold, "arm": arm, "scheme": scheme})
        table["seed"], table["true"] = task.seed, true
        table["predicted"] = np.where(right, true, rng.choice(classes, len(cells)))
        table["confidence"] = rng.beta(8, 3, len(cells))
        tables.append(table.assign(scored=np.isin(true, scored)))
        rows.append(fold_row(dataset, fold, tables[-1], None, int(known.sum()) - len(cells), 60.0))
    write_predictions(folder, tables)
    write_table(folder / "folds.parquet", pd.DataFrame(rows))
    if task.arm not in (BASELINE, "no-pretraining", "original"):
        counter = MaskCounter(dataset, genes, EPOCHS)
        seen = rng.integers(200, 5000, counter.sums.shape[1:])
        masked = rng.binomial(seen, np.exp(rng.normal(-1.2, 0.05, len(genes))))
        nonzero = rng.binomial(seen, rng.beta(0.5, 3, len(genes)))
        part = masked * nonzero / seen
        statistics = (masked, seen, part, nonzero, 0.3 * seen, 0.2 * seen, 0.3 * seen)
        for place, numbers in enumerate((*statistics, nonzero * 1.2, nonzero * 2.0, part * 1.2)):
            counter.sums[place] = counter.sums.new_tensor(numbers)
        masks = counter.table(task.arm, task.fold, task.seed)
        write_table(folder / "masks.parquet", masks)
        write_table(folder / "masks_start.parquet", masks[masks["by"] == "all"])
        shares = pd.DataFrame(
            {"arm": task.arm, "fold": task.fold, "seed": task.seed, "epoch": range(EPOCHS + 1)}
        )
        shares = shares.assign(
            effective_share=0.9, masked_share=0.3, nonzero_share=0.5, base_rate=0.4, cells=1000
        )
        write_table(folder / "mask_cells.parquet", shares)
    write_json(folder / "task.json", {"code": "drawn"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--genes", type=int, default=2000)
    options = parser.parse_args()
    dataset = open_dataset(options.dataset)
    config = CompareConfig(data=dataset.name, seeds=options.seeds, umap=False)
    run = create_run("compare", dataset.name, config.to_dict(), "Drawn, not trained")
    genes, tasks = dataset.genes[: options.genes].astype(object), tasks_of(config)
    publisher = Publisher(dataset, config.schemes, tasks, run.path, run)
    waited, beside = [], []
    for task in tasks:
        draw(dataset, task, run, config, genes)
        started = time.perf_counter()
        publisher._next = 0.0  # so that each piece is measured
        publisher.when_due()
        waited.append(time.perf_counter() - started)
        publisher.wait()
        beside.append(time.perf_counter() - started)
    started = time.perf_counter()
    publisher.publish()
    end = time.perf_counter() - started
    run.finish("done")
    rows = len(run.read_table("predictions", columns=["fold"]))
    print(f"{dataset.name}: {len(tasks)} tasks, {rows:,} predictions, {options.genes:,} genes, run {run.id}")
    print(f"the loop waited {max(waited):.3f} s at most; a piece beside it took {np.median(beside):.1f} s, ")
    print(f"the last {beside[-1]:.1f} s; the end {end:.1f} s")
    print(
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, training not in it"
    )
    for what, read in {
        "predictions of an arm and scheme": lambda: run.read_table(
            "predictions", ["cell", "seed", "true", "predicted"], arm="self-guided", scheme="partial"
        ),
        "masks over all cells of an arm": lambda: run.read_table("masks", by="all", arm="self-guided"),
        "masks by cell type of an arm": lambda: run.read_table("masks", by="cell_type", arm="self-guided"),
    }.items():
        started = time.perf_counter()
        table = read()
        print(f"read {what:36}{time.perf_counter() - started:6.2f} s {len(table):>10,} rows")


if __name__ == "__main__":
    main()
