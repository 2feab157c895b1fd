"""A small table of counts, and writers of each format that the readers know."""

import gzip
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

GENES = [
    "ACTB", "GAPDH", "B2M", "MALAT1", "CD34", "CD74", "LYZ", "HBB", "HBA1", "MT-CO1", "MT-ND1",
    "RPL3", "RPS6", "FOS", "JUN", "XIST", "IGKC", "TRAC", "CD3D", "VIM", "S100A8", "S100A9", "MPO",
    "ELANE", "KIT", "GATA1", "GATA2", "SPI1", "CEBPA", "RUNX1", "MEIS1", "HOXA9", "FLT3", "NPM1",
    "TP53", "MYC", "BCL2", "CD14", "FCGR3A", "CD19",
]  # fmt: skip
N_CELLS, ROLES = 60, {"donor": "donor", "cell_type": "cell_type", "timepoint": "day"}
FILTERS = {"min_genes": 5, "min_cells": 1}


def small_counts(seed: int = 0) -> np.ndarray:
    """60 cells x 40 genes."""
    return np.random.default_rng(seed).poisson(0.6, (N_CELLS, len(GENES)))


def small_obs() -> pd.DataFrame:
    """Six donors, three types, two days."""
    number = np.arange(N_CELLS)
    return pd.DataFrame(
        {
            "donor": [f"P{i % 6}" for i in number],
            "cell_type": pd.Categorical(np.array(["HSC", "GMP", "T"])[number // 2 % 3]),
            "day": np.where(number % 6 < 4, "D0", "D30"),
            "score": number / 7,
        },
        index=[f"cell_{i:02d}_ACGTACGTAC" for i in number],
    )


def small_anndata(x=None, **changes) -> ad.AnnData:
    """The table as AnnData; `changes` replace columns of obs."""
    x = sparse.csr_matrix(small_counts().astype(np.float32)) if x is None else x
    return ad.AnnData(x, obs=small_obs().assign(**changes), var=pd.DataFrame(index=GENES))


def write_h5ad(path: Path, data: ad.AnnData | None = None) -> Path:
    (small_anndata() if data is None else data).write_h5ad(path)
    return path


def write_cells(path: Path) -> Path:
    small_obs().rename_axis("cell").to_csv(path)
    return path


def write_10x_h5(path: Path, version: int = 3) -> Path:
    # 10x stores genes x cells by column, whose arrays are those of cells x genes by row.
    counts = sparse.csr_matrix(small_counts().astype(np.int32))
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix" if version == 3 else "GRCh38")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(counts, name)
        group["shape"] = np.array(counts.shape[::-1])
        group["barcodes"] = np.array(small_obs().index, dtype="S")
        names = np.array(GENES, dtype="S")
        ids = np.array([f"ENSG{i:011d}" for i in range(len(GENES))], dtype="S")
        if version == 3:
            group["features/name"], group["features/id"] = names, ids
            group["features/feature_type"] = np.array(["Gene Expression"] * len(GENES), dtype="S")
        else:
            group["gene_names"], group["genes"] = names, ids
    return path


def write_10x_folder(path: Path, version: int = 3, prefix: str = "") -> Path:
    path.mkdir()
    counts = sparse.coo_matrix(small_counts().T)
    order = np.random.default_rng(1).permutation(counts.nnz)
    lines = ["%%MatrixMarket matrix coordinate integer general", "%", f"{len(GENES)} {N_CELLS} {counts.nnz}"]
    lines += [f"{counts.row[i] + 1} {counts.col[i] + 1} {counts.data[i]}" for i in order]
    kind = "\tGene Expression" if version == 3 else ""
    files = {
        "matrix.mtx": lines,
        "features.tsv" if version == 3 else "genes.tsv": [
            f"ENSG{i:011d}\t{gene}{kind}" for i, gene in enumerate(GENES)
        ],
        "barcodes.tsv": list(small_obs().index),
    }
    for name, content in files.items():
        text = "\n".join(content) + "\n"
        if version == 3:
            (path / f"{prefix}{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (path / f"{prefix}{name}").write_text(text)
    return path


def write_loom(path: Path) -> Path:
    obs = small_obs()
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=small_counts().T.astype(np.float32), chunks=(8, 8))
        file["row_attrs/Gene"] = np.array(GENES, dtype="S")
        file["col_attrs/CellID"] = np.array(obs.index, dtype="S")
        for column in obs:
            values = obs[column].to_numpy()
            file[f"col_attrs/{column}"] = values if column == "score" else values.astype("S")
        file.create_group("layers")
    return path
