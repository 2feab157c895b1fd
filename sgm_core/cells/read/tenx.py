"""Read what 10x Genomics writes, or others in its layout: the .h5 file, or the folder with matrix.mtx."""

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.read.damage import open_hdf5, part, reading
from sgm_core.cells.read.features import TYPES
from sgm_core.cells.read.mtx import open_lines, read_mtx
from sgm_core.cells.read.source import CountSource, name_cells, refuse_empty, sparse_blocks
from sgm_core.cells.read.strings import decode, foreign_text, read_strings
from sgm_core.cells.read.values import find_counts
from sgm_core.errors import InputError

_ADVICE = "take the raw or filtered feature-barcode matrix"
_HEADER = re.compile(
    r"(ensembl|gene|feature|hgnc|symbol|id|name|barcode|cell)s?([ _.]?(gene|id|name|symbol|short|code)s?)*",
    re.IGNORECASE,
)
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")


def read_10x_h5(path: Path) -> CountSource:
    """Open a 10x .h5 file of version 2 (a group a genome) or 3 (a group ``matrix``); CellBender's too."""
    notes = []
    with open_hdf5(path) as file, reading(path):
        group = _group(path, file)
        where = group.name.strip("/")

        def text(name: str) -> np.ndarray:
            values, foreign = read_strings(part(group, name, "SOiu"))
            if foreign:
                notes.append(foreign_text(f"{where}/{name}"))
            return values

        if "features" in group:
            there = [f"features/{part}" for part in ("name", "id") if f"features/{part}" in group]
            if not there:
                raise InputError(
                    f"{path.name} doesn't name its genes: {where}/features has neither name nor id"
                )
            columns = {"gene": text(there[0]), "gene_ids": text(there[-1])}
            if "features/feature_type" in group:
                columns["feature_type"] = text("features/feature_type")
        else:
            names = "gene_names" if "gene_names" in group else "genes"
            columns = {"gene": text(names), "gene_ids": text("genes")}
        if len({len(values) for values in columns.values()}) > 1:
            raise InputError(
                f"{path.name} is inconsistent: names, ids and types of its genes differ in number"
            )
        var = pd.DataFrame(columns)
        obs = name_cells(pd.DataFrame(), text("barcodes"))
        refuse_empty(path, len(obs), len(var))
        find_counts(path, {where: part(group, "data")}, _ADVICE, chosen=True)
        shape = (len(obs), len(var))

    def chunks() -> Iterator[sparse.csr_matrix]:
        # Stored genes x cells by column, which is cells x genes by row.
        with open_hdf5(path) as file, reading(path):
            for _, block in sparse_blocks(file[where], shape):
                yield block

    return CountSource(path, "10x h5", where, obs, var, chunks, notes=notes)


def _group(path: Path, file: h5py.File) -> h5py.Group:
    found = [
        group
        for group in file.values()
        if isinstance(group, h5py.Group) and {"barcodes", "indptr"} <= set(group)
    ]
    if len(found) != 1:
        names = ", ".join(group.name.strip("/") for group in found)
        what = f"several genomes ({names})" if found else "no matrix"
        raise InputError(
            f"{path.name} is an HDF5 file with {what}: a 10x .h5 file of one genome was expected"
        )
    return found[0]


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
    var, notes = _features(features)
    barcodes_file = _one(folder, f"{prefix}barcodes.tsv")
    barcodes, said = _rows(barcodes_file)
    names = [row[0] for row in barcodes]
    obs = name_cells(pd.DataFrame(), names)
    refuse_empty(path, len(obs), len(var))
    transposer = read_mtx(matrix, scratch, len(obs), len(var))
    notes += said

    def chunks() -> Iterator[sparse.csr_matrix]:
        yield from transposer.chunks()
        note = f"{transposer.repeated:,} entries of {matrix.name} repeat a gene and cell: they were added up"
        if transposer.repeated and note not in notes:
            notes.append(note)

    return CountSource(path, "10x folder", matrix.name, obs, var, chunks, notes=notes)


def _one(folder: Path, ending: str) -> Path:
    with reading(folder):
        # Hidden files are what a Mac leaves beside the data (._matrix.mtx.gz).
        there = [file for file in folder.iterdir() if not file.name.startswith(".")]
    files = sorted(file for file in there if file.name.removesuffix(".gz").endswith(ending))
    exact = [file for file in files if file.name.removesuffix(".gz") == ending]
    files = exact or files
    if len({file.name.removesuffix(".gz") for file in files}) != 1:
        what = f"several files {ending}" if files else f"no file {ending} or {ending}.gz"
        raise InputError(
            f"folder {folder.name} has {what}: one matrix with its features and barcodes is expected"
        )
    return files[0]


def _features(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read features.tsv: id, name and type of each feature by the columns that 10x defines."""
    rows, notes = _rows(path)
    ids = [row[0] for row in rows]
    genes = [row[1] if len(row) > 1 and row[1] else row[0] for row in rows]
    if sum(map(_is_ensembl, genes)) > len(rows) / 2 > sum(map(_is_ensembl, ids)):
        ids, genes = genes, ids
    var = pd.DataFrame({"gene": genes, "gene_ids": ids}, dtype=object)
    if max(map(len, rows), default=0) > 2:
        var["feature_type"] = pd.Series([_type(row) for row in rows], dtype=object)
    return var, notes


def _type(row: list[str]) -> str:
    # 'Gene Expression' may have come apart at its blank.
    both = " ".join(row[2:4])
    return both if both.lower() in TYPES else "".join(row[2:3])


def _is_ensembl(name: str) -> bool:
    return _ENSEMBL.fullmatch(name) is not None


def _rows(path: Path) -> tuple[list[list[str]], list[str]]:
    """Return the fields of each line of a list, without quotes and header, and what was assumed."""
    with reading(path), open_lines(path) as stream:
        lines, foreign = decode(line.rstrip(b"\r\n") for line in stream)
    notes = [foreign_text(path.name)] if foreign else []
    rows = [_fields(line) for line in lines if line.strip()]
    if rows:
        rows[0][0] = rows[0][0].removeprefix("\ufeff")
    if len(rows) > 1 and all(map(_HEADER.fullmatch, rows[0][:2])) and not _HEADER.fullmatch(rows[1][0]):
        notes.append(f"the first line of {path.name} was taken for a header ({', '.join(rows[0][:3])})")
        rows = rows[1:]
    return rows, notes


def _fields(line: str) -> list[str]:
    """Split at tabs; quotes around a field or the whole line go, one inside a name (5"-NT) stays."""
    return [field.strip().strip('"').strip() for field in line.split("\t")]
