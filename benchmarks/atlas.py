"""An atlas from the file to the map: seconds, memory and how both grow with the cells.

``python benchmarks/atlas.py FOLDER`` makes the files (`benchmarks/atlas_file.py`), runs each step as its own
process on each of them and prints a table; FOLDER keeps files and datasets, so a second run starts where the
first one ended. ``--cells 12811 345897`` and ``--steps import umap`` choose among sizes and steps:

* import: `sgm data import`, with what is kept beside the counts
* open: obs, labels, donors, folds and quality of a dataset, as the page Datasets needs them
* gene: one gene's values over all cells, cold and warm
* dry-run: `sgm compare --backbone tiny --dry-run --no-probe`
* choose: the training genes of one fold
* umap: `sgm umap`
* loader: cells a second in random dense batches of 64, beside AnnData backed and AnnLoader

Memory is of all processes of a step together, shared pages counted once (PSS); beside it the resident size,
which counts mapped files in full for each process.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from atlas_file import make
from measured import SGM, Measured, measured

SIZES = (12_811, 100_000, 345_897, 1_000_000)
IMPORT = ["--donor", "donor", "--cell-type", "ennis_cell_type", "--timepoint", "timepoint"]
_OPEN = """
import sys, time; started = time.perf_counter()
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.quality import cell_quality
from sgm_core.cells.split import donor_folds
ds = open_dataset(sys.argv[1]); ds.labels(); ds.donors(); donor_folds(ds); cell_quality(ds)
print(f"{time.perf_counter() - started:.2f} s with imports")
"""
_GENE = """
import sys, time
from sgm_core.cells.dataset import open_dataset
ds = open_dataset(sys.argv[1]); ds.genes
for gene in ("LYZ", "CD34", "MALAT1", "MPO"):
    started = time.perf_counter(); ds.gene(gene)
    print(f"{gene} {time.perf_counter() - started:.3f} s", end="; ")
"""
_CHOOSE = """
import sys, time
import numpy as np
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.split import donor_folds, fold_cells
from sgm_core.training.data import informative_genes
ds = open_dataset(sys.argv[1]); rows = fold_cells(ds, donor_folds(ds)[0])[0]
started = time.perf_counter(); genes = informative_genes(ds, rows, 2000)
print(f"{len(genes)} genes of {len(rows):,} cells in {time.perf_counter() - started:.2f} s")
"""
_LOADER = """
import sys, time
import anndata, numpy as np
from anndata.experimental import AnnLoader
from sgm_core.cells.dataset import open_dataset
name, file = sys.argv[1:]
ds = open_dataset(name); rng = np.random.default_rng(0)
def rate(take, n):
    order = rng.permutation(ds.n_cells)[: 64 * n].reshape(n, 64); take(order[0])
    started = time.perf_counter()
    for rows in order: take(rows)
    return 64 * n / (time.perf_counter() - started)
ours = rate(lambda rows: ds.take(rows).toarray(), 200)
backed = anndata.read_h5ad(file, backed="r")
theirs = rate(lambda rows: backed[np.sort(rows)].X.toarray(), 20)
loader = iter(AnnLoader(backed, batch_size=64, shuffle=True)); next(loader).X
started = time.perf_counter()
for _ in range(10): next(loader).X
ann = 640 / (time.perf_counter() - started)
print(f"{ours:,.0f} cells/s; AnnData backed {theirs:,.0f} ({ours / theirs:.0f}x),", end=" ")
print(f"AnnLoader {ann:,.0f} ({ours / ann:.0f}x)")
"""


def script(text: str, *arguments: str) -> Callable[[str, Path], list[str]]:
    """Return what makes the command of a few lines of Python."""
    return lambda name, file: [sys.executable, "-c", text, name, *arguments]


STEPS: dict[str, Callable[[str, Path], list[str]]] = {
    "import": lambda name, file: [
        *SGM, "data", "import", str(file), "--name", name, *IMPORT, "--unlabelled", "not_in_atlas"
    ],
    "open": script(_OPEN),
    "gene": script(_GENE),
    "dry-run": lambda name, file: [
        *SGM, "compare", "--data", name, "--backbone", "tiny", "--dry-run", "--no-probe"
    ],
    "choose": script(_CHOOSE),
    "umap": lambda name, file: [*SGM, "umap", name],
    "loader": lambda name, file: [sys.executable, "-c", _LOADER, name, str(file)],
}  # fmt: skip


def line(step: str, n_cells: int, result: Measured) -> str:
    """Return one row of the table."""
    said = (result.out.strip().splitlines() or result.error.strip().splitlines() or [""])[-1]
    if result.code:
        said = f"FAILED ({result.code}): {(result.error.strip().splitlines() or [''])[-1]}"
    rate = n_cells / result.seconds
    return (
        f"| {step} | {n_cells:,} | {result.seconds:.1f} | {result.cpu_seconds:.1f} | {rate:,.0f} | "
        f"{result.gb:.2f} | {result.rss_gb:.2f} | {said[:160]} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, nargs="+", default=SIZES)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--genes", type=int, help="only the most detected genes, two cells added up")
    args = parser.parse_args()
    home = args.folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    print(
        "| step | cells | seconds | CPU seconds | cells/s | GB (PSS) | GB (RSS) | it says |",
        "|---" * 8 + "|",
        sep="\n",
    )
    for n_cells in args.cells:
        name = f"atlas{n_cells}" + (f"x{args.genes}" if args.genes else "")
        file = args.folder / f"{name}.h5ad"
        if not file.exists():
            started = time.perf_counter()
            stored = make(file, n_cells, args.genes, merge=args.genes is not None)
            print(f"made {file}: {stored:,} counts in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        for step in args.steps:
            if step == "import" and (home / "datasets" / name).exists():
                continue
            print(line(step, n_cells, measured(STEPS[step](name, file), home)), flush=True)


if __name__ == "__main__":
    main()
