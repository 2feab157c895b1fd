"""An atlas of any number of cells as an h5ad file, made of the real van Galen counts: repeated and thinned.

``python benchmarks/atlas_file.py FILE --cells 345897`` repeats the 12,811 cells in order. Each repeat
after the first keeps every molecule with a probability of 0.95 (seeded), so that no two cells are equal,
and names its donors anew, three times over (`a`, `b`, `c`): 54 donors. ``--genes 16000 --merge`` is the
shape of the paper's atlas: the most detected genes, and two cells of one type and donor added up (8 % dense).

The file is never committed. It is written in chunks, so memory stays flat.
"""

import argparse
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

SOURCE = Path(__file__).resolve().parents[2] / "shared/data/vangalen2019_aml/vangalen2019_aml_d0_bm.h5ad"
COLUMNS = ("donor", "timepoint", "condition", "ennis_cell_type", "vangalen_cell_type", "PredictionRefined")
KEPT, KEPT_MERGED = 0.95, 0.57  # the second makes pairs of cells 8 % dense


def thinned(x: sparse.csr_matrix, rng: np.random.Generator, kept: float) -> sparse.csr_matrix:
    """Return the counts with each molecule kept with probability `kept`."""
    x = x.copy()
    x.data = rng.binomial(x.data.astype(np.int64), kept).astype(np.float32)
    x.eliminate_zeros()
    return x


def merged(x: sparse.csr_matrix, obs: pd.DataFrame, rng: np.random.Generator) -> sparse.csr_matrix:
    """Return each cell plus another one of its donor and type."""
    partner = np.arange(len(obs))
    for rows in obs.groupby(["donor", "ennis_cell_type"], observed=True).indices.values():
        partner[rows] = rng.permutation(rows)
    return sparse.csr_matrix(x + x[partner])


def make(path: Path, n_cells: int, n_genes: int | None = None, merge: bool = False, seed: int = 0) -> int:
    """Write the file and return its number of non-zero counts."""
    source = anndata.read_h5ad(SOURCE)
    x, obs = sparse.csr_matrix(source.X, dtype=np.float32), source.obs[list(COLUMNS)].astype(str)
    genes = source.var_names.to_numpy(dtype=str)
    if n_genes is not None:
        detected = np.bincount(x.indices, minlength=x.shape[1])
        columns = np.sort(np.argsort(-detected, kind="stable")[:n_genes])
        x, genes = x[:, columns], genes[columns]
    xy = source.obs[["ennis_umap_x", "ennis_umap_y"]].to_numpy(np.float32)
    rng = np.random.default_rng(seed)
    repeats = -(-n_cells // len(obs))
    tables, places, ends, stored = [], [], [np.zeros(1, np.int64)], 0
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        group.attrs["shape"] = np.array([n_cells, len(genes)], np.int64)
        data = group.create_dataset("data", (0,), np.float32, maxshape=(None,), chunks=(1 << 18,))
        indices = group.create_dataset("indices", (0,), np.int32, maxshape=(None,), chunks=(1 << 18,))
        for repeat in range(repeats):
            part = merged(x, obs, rng) if merge else x
            if repeat or merge:
                part = thinned(part, rng, KEPT_MERGED if merge else KEPT)
            left = n_cells - repeat * len(obs)
            part, table = part[:left], obs.iloc[:left].copy()
            table["donor"] += "-" + "abc"[repeat % 3]
            table.index = [f"{name}-{repeat}" for name in source.obs_names[:left]]
            for target, values in ((data, part.data), (indices, part.indices)):
                target.resize((stored + part.nnz,))
                target[stored:] = values
            ends.append(part.indptr[1:].astype(np.int64) + stored)
            stored += part.nnz
            tables.append(table)
            places.append(xy[:left] + rng.normal(0, 0.05, (len(table), 2)).astype(np.float32))
        group.create_dataset("indptr", data=np.concatenate(ends))
        every = pd.concat(tables)
        for column in every:
            every[column] = every[column].astype("category")
        anndata.io.write_elem(file, "obs", every)
        anndata.io.write_elem(file, "var", pd.DataFrame(index=genes))
        anndata.io.write_elem(file, "obsm", {"X_published": np.concatenate(places)})
        for name in ("layers", "obsp", "varm", "varp", "uns"):
            anndata.io.write_elem(file, name, {})
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    return stored


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--cells", type=int, default=345_897)
    parser.add_argument("--genes", type=int, help="the most detected ones (default: all)")
    parser.add_argument("--merge", action="store_true", help="add up pairs of cells")
    args = parser.parse_args()
    started = time.perf_counter()
    n = make(args.file, args.cells, args.genes, args.merge)
    print(f"{args.file}: {args.cells:,} cells, {n:,} counts, {time.perf_counter() - started:.0f} s")
