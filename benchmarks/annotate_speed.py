"""What naming many cells takes: real cells, tiled to a file of as many as are asked for.

``SGM_HOME=... python benchmarks/annotate_speed.py DATASET LABEL CELLS [BACKBONE ...]``. A model of
each kind is fitted, or taken where an earlier call fitted it: a backbone of random weights takes as long as a
pretrained one. Then ``sgm annotate`` names the file, in a process of its own, whose seconds, seconds of
processor and peak of memory are printed.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core import home
from sgm_core.annotation.arms import KEEPABLE
from sgm_core.annotation.fit import fit_model
from sgm_core.annotation.store import open_model
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.h5ad_write import write_counts, write_tables
from sgm_core.errors import SGMError

BLOCK = 4096


def tiled(dataset: Dataset, n_cells: int, path: Path) -> None:
    """Write the dataset's cells again and again until there are `n_cells`."""
    rows = np.arange(n_cells) % dataset.n_cells

    def blocks() -> Iterator[sparse.csr_matrix]:
        for start in range(0, n_cells, BLOCK):
            yield dataset.take(np.sort(rows[start : start + BLOCK]))

    obs = pd.DataFrame(index=pd.Index([f"cell{number}" for number in range(n_cells)]))
    with h5py.File(path, "w") as file:
        write_tables(file, obs, pd.DataFrame(index=pd.Index(dataset.genes)), {}, {})
        write_counts(file, blocks(), dataset.n_genes)


def fitted(dataset: Dataset, label: str, kind: str) -> str:
    """Return the name of a model of a kind."""
    name = f"speed-{kind}"
    try:
        return open_model(name).name
    except SGMError:
        pass
    if kind in KEEPABLE:
        return fit_model(dataset, name, kind, label, folds=3, with_map=False).name
    how = {"backbone": kind}
    arm = {"arm": "no-pretraining", "scheme": "linear-probe", "comparison": how}
    return fit_model(dataset, name, label=label, folds=3, with_map=False, **arm).name


def main(name: str, label: str, n_cells: int, kinds: list[str]) -> None:
    dataset = open_dataset(name)
    with home.scratch(home.folder("models") / "speed") as folder, tempfile.TemporaryDirectory() as out:
        path = folder / "tiled.h5ad"
        tiled(dataset, n_cells, path)
        print(f"{n_cells:,} cells, {path.stat().st_size / 1e6:,.0f} MB", flush=True)
        for kind in kinds:
            model = fitted(dataset, label, kind)
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = ["annotate", str(path), "--model", model, "--out", f"{out}/{kind}.csv"]
            subprocess.run([sys.executable, "-m", "sgm_core.cli", *command], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"| {kind} | {n_cells:,} | {time.perf_counter() - started:,.0f} s | {cpu:,.0f} s | "
                f"{after.ru_maxrss / 1e6:.2f} GB at most so far |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:] or ["hvg-logistic", "dense", "tiny"])
