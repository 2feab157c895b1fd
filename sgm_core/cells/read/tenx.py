"""Read 10x Genomics output: the .h5 file, or the folder with matrix.mtx, features and barcodes."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.read.source import (
    CHUNK_VALUES,
    CountSource,
    find_counts,
    name_cells,
    open_hdf5,
    reading,
    sample_values,
    sparse_blocks,
)
from sgm_core.cells.read.transpose import Transposer
from sgm_core.errors import InputError

_ADVICE = "take the raw or filtered feature-barcode matrix"


def read_10x_h5(path: Path) -> CountSource:
    """Open a 10x .h5 file of version 2 (a group a genome) or 3 (a group ``matrix``)."""
    with open_hdf5(path) as file, reading(path):
        group = _group(path, file)
        if "features" in group:
            ids, names = _text(group["features/id"]), _text(group["features/name"])
            types = _text(group["features/feature_type"])
        else:
            ids, names = _text(group["genes"]), _text(group["gene_names"])
            types = np.full(len(ids), "Gene Expression", dtype=object)
        var = pd.DataFrame({"gene": names, "gene_ids": ids, "feature_type": types})
        obs = name_cells(pd.DataFrame(), _text(group["barcodes"]))
        where = group.name.strip("/")
        find_counts(path, {where: lambda: sample_values(group["data"])}, _ADVICE)
        shape = (len(obs), len(var))

    def chunks() -> Iterator[sparse.csr_matrix]:
        # Stored genes x cells by column, which is cells x genes by row.
        with open_hdf5(path) as file, reading(path):
            for _, block in sparse_blocks(file[where], shape):
                yield block

    return CountSource(path, "10x h5", where, obs, var, chunks)


def _group(path: Path, file: h5py.File) -> h5py.Group:
    found = [
        group
        for group in file.values()
        if isinstance(group, h5py.Group) and {"barcodes", "indptr"} <= set(group)
    ]
    if len(found) != 1:
        what = "several genomes" if found else "no matrix"
        raise InputError(
            f"{path.name} is an HDF5 file with {what}: a 10x .h5 file of one genome was expected"
        )
    return found[0]


def _text(data: h5py.Dataset) -> np.ndarray:
    return data.asstr()[:] if h5py.check_string_dtype(data.dtype) else data[:].astype(str).astype(object)


def read_10x_folder(path: Path, scratch: Path) -> CountSource:
    """Open a 10x folder: matrix.mtx with genes.tsv (version 2) or features.tsv.gz (3), and barcodes.

    `path` is the folder or the matrix in it; a prefix common to the three files is allowed (as on GEO).
    """
    matrix = _one(path, "matrix.mtx") if path.is_dir() else path
    prefix = matrix.name.split("matrix.mtx")[0]
    folder = matrix.parent
    try:
        features = _one(folder, f"{prefix}features.tsv")
    except InputError:
        features = _one(folder, f"{prefix}genes.tsv")
    with reading(features):
        table = pd.read_csv(features, sep="\t", header=None, dtype=str, keep_default_na=False)
    with reading(matrix):
        barcodes_file = _one(folder, f"{prefix}barcodes.tsv")
        barcodes = pd.read_csv(barcodes_file, sep="\t", header=None, dtype=str, usecols=[0])[0]
    var = pd.DataFrame({"gene": table[1] if table.shape[1] > 1 else table[0], "gene_ids": table[0]})
    if table.shape[1] > 2:
        var["feature_type"] = table[2]
    obs = name_cells(pd.DataFrame(), barcodes.to_numpy())
    transposer = _read_mtx(matrix, scratch, len(obs), len(var))
    return CountSource(path, "10x folder", matrix.name, obs, var, transposer.chunks)


def _one(folder: Path, ending: str) -> Path:
    files = sorted(file for file in folder.iterdir() if file.name.removesuffix(".gz").endswith(ending))
    exact = [file for file in files if file.name.removesuffix(".gz") == ending]
    files = exact or files
    if len({file.name.removesuffix(".gz") for file in files}) != 1:
        what = f"several files {ending}" if files else f"no file {ending} or {ending}.gz"
        raise InputError(
            f"folder {folder.name} has {what}: one matrix with its features and barcodes is expected"
        )
    return files[0]


def _read_mtx(path: Path, scratch: Path, n_cells: int, n_genes: int) -> Transposer:
    """Read a Matrix Market file, whose entries may come in any order."""
    transposer = Transposer(scratch, n_cells, n_genes)
    opener = gzip.open if path.suffix == ".gz" else open
    with reading(path), opener(path, "rt") as stream:
        line = stream.readline()
        if not line.startswith("%%MatrixMarket matrix coordinate") or "pattern" in line:
            raise InputError(f"{path.name} is no Matrix Market file of coordinates and numbers")
        while line.startswith("%"):
            line = stream.readline()
        rows, columns, stored = (int(word) for word in line.split())
        if (rows, columns) not in ((n_genes, n_cells), (n_cells, n_genes)):
            raise InputError(
                f"{path.name} is {rows} x {columns}, but there are {n_genes} features and {n_cells} barcodes"
            )
        by_gene = (rows, columns) == (n_genes, n_cells)
        done = 0
        types = {0: np.int64, 1: np.int64, 2: np.float32}
        if stored:
            try:
                blocks = pd.read_csv(stream, sep=r"\s+", header=None, dtype=types, chunksize=CHUNK_VALUES)
                for block in blocks:
                    first, second = block[0].to_numpy() - 1, block[1].to_numpy() - 1
                    genes, cells = (first, second) if by_gene else (second, first)
                    transposer.add(cells, genes, block[2].to_numpy())
                    done += len(block)
            except ValueError as error:
                raise InputError(f"{path.name} is damaged after {done:,} entries: {error}") from error
    if done != stored:
        raise InputError(
            f"{path.name} is cut short: {done:,} of {stored:,} entries; copy or download it again"
        )
    return transposer
