"""Write a dataset so that it is whole or absent."""

import errno
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core import home
from sgm_core.cells.arrays import GrowingArray
from sgm_core.cells.by_gene import FOLDER as BY_GENE
from sgm_core.cells.by_gene import Step, ignore, write_by_gene
from sgm_core.cells.columns import as_text, differing_in_blanks, name_some
from sgm_core.cells.compressed import Compressed
from sgm_core.cells.dataset import SCHEMA_VERSION, Dataset, open_dataset
from sgm_core.cells.facts import moments_folder, write_moments
from sgm_core.cells.labels import split_declared
from sgm_core.cells.maps import write_maps
from sgm_core.cells.quality import gene_families, quality_table
from sgm_core.errors import InputError

_LARGEST = np.iinfo(np.uint32).max


def write_dataset(
    name: str,
    chunks: Iterable[sparse.csr_matrix] | None,
    obs: pd.DataFrame,
    var: pd.DataFrame | list[str] | np.ndarray,
    roles: dict[str, str | None],
    unlabelled: Iterable[str] = (),
    source: dict[str, Any] | None = None,
    filters: dict[str, Any] | None = None,
    gene_report: dict[str, Any] | None = None,
    simulated: bool = False,
    note: str = "",
    largest: int = _LARGEST,
    n_stored: int | None = None,
    step: Step = ignore,
    maps: Mapping[str, np.ndarray] | None = None,
    colours: Mapping[str, dict[str, str]] | None = None,
) -> Dataset:
    """Write cells and counts as the dataset `name` and open it.

    Parameters
    ----------
    name
        The dataset's name; it must be free.
    chunks
        CSR matrices of raw counts, rows of `obs` in order x genes of `var` in order; None for coordinates
        and labels only, where `var` is empty and the maps are the content.
    obs
        One row a cell, with the column ``cell`` (unique names) and the role columns.
    var
        One row a gene with the column ``gene``, or the symbols alone; sorted and unique.
    roles
        ``donor``, ``cell_type`` and, if there is one, ``timepoint`` -> column of `obs`; without counts the
        donor may be None.
    unlabelled
        Label values that mean 'no label'; ``COLUMN=VALUE`` for a label column other than the cell type.
    source, filters, gene_report, simulated, note
        Kept in ``dataset.json``.
    largest
        The largest count, if it is known: decides the integer type on disk.
    n_stored
        The number of non-zero counts, if it is known: lets a full disk be seen before it is full.
    step
        Is told, once the counts are written, the share that is done of what is worked out from them.
    maps
        Coordinates, (n_cells, 2) by name, NaN where a cell has none.
    colours
        ``#rrggbb`` by level, by column of `obs`.

    Raises
    ------
    InputError
        If the name is taken or unsafe, or the disk is full.
    """
    var = var.reset_index(drop=True) if isinstance(var, pd.DataFrame) else pd.DataFrame({"gene": list(var)})
    genes = var["gene"].to_numpy(dtype=str)
    if (genes[1:] <= genes[:-1]).any():
        raise ValueError("genes must be sorted and unique")
    obs = plain_table(obs, [column for column in roles.values() if column])
    plain, others = split_declared(unlabelled, obs, str(roles["cell_type"]))
    dtype = np.min_scalar_type(min(largest, _LARGEST))
    target = home.folder("datasets") / home.check_name(name, "dataset name")
    n_donors = int(obs[roles["donor"]].nunique()) if roles["donor"] else 0
    need = None
    if n_stored is not None:
        # By cell, by gene, and the pieces of the second; sums per donor and gene.
        need = 3 * n_stored * (4 + dtype.itemsize) + 40 * len(obs) + 20 * len(genes) * n_donors
    with room(target, need), home.whole_folder(target) as folder:
        if chunks is not None:
            digest, sums = _write_counts(folder, chunks, len(obs), len(genes), dtype)
            var["n_cells"], var["total_counts"] = sums
            var["mean"] = var["total_counts"] / max(len(obs), 1)
            _write_derived(folder, genes, obs[roles["donor"]], step)
        else:
            digest = _hash_maps(maps or {})
        home.write_table(folder / "obs.parquet", obs)
        home.write_table(folder / "var.parquet", var)
        (folder / "embeddings").mkdir()
        write_maps(folder / "embeddings", maps or {})
        meta = {
            "schema_version": SCHEMA_VERSION,
            "name": name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "source": source or {},
            "filters": filters or {},
            "roles": roles,
            "unlabelled": plain,
            "unlabelled_in": others,
            "n_cells": len(obs),
            "n_genes": len(genes),
            "n_donors": n_donors,
            "simulated": simulated,
            "gene_report": gene_report or {},
            "note": note,
            "colours": dict(colours or {}),
        }
        # Datasets without values declared for other columns keep the hash that they always had.
        about = [roles, meta["unlabelled"], *([others] if others else [])]
        for part in (obs.to_csv(index=False), "\n".join(genes), json.dumps(about)):
            digest.update(part.encode())
        home.write_json(folder / "dataset.json", meta | {"content_hash": digest.hexdigest()})
    return open_dataset(name)


def plain_table(obs: pd.DataFrame, text_columns: list[str], notes: list[str] | None = None) -> pd.DataFrame:
    """Return `obs` with a plain index and tidy text where there were categories; missing text is None.

    `text_columns` become text whatever they were (donor 1.0 becomes '1'). Blanks around and between words and
    characters that can't be seen make no difference: a donor 'AML1 ' beside 'AML1' would be in training
    and in
    test. `notes` is told which values became one.
    """
    columns: dict[str, pd.Series] = {}
    for name, values in obs.reset_index(drop=True).items():
        numeric = pd.api.types.is_numeric_dtype(values.dtype)
        if not numeric or name in text_columns:
            if notes is not None and name != "cell" and not numeric and (same := differing_in_blanks(values)):
                notes.append(
                    f"values of column {name} that differed in blanks only were made one: {name_some(same)}"
                )
            values = as_text(values)
        columns[str(name)] = values
    return pd.DataFrame(columns)


def _write_counts(
    folder: Path, chunks: Iterable[sparse.csr_matrix], n_cells: int, n_genes: int, dtype: np.dtype
) -> tuple[Any, tuple[np.ndarray, np.ndarray]]:
    """Write the three CSR arrays and the totals; return a hash and, per gene, cells and counts.

    Each array has its own hash and counts are hashed as uint32, so that neither the size of the chunks nor
    the integer type matters.
    """
    digests = [hashlib.sha256() for _ in range(3)]
    gene_cells, gene_counts = np.zeros(n_genes, np.int64), np.zeros(n_genes, np.int64)
    totals = np.zeros(n_cells)
    done, stored = 0, 0
    with (
        GrowingArray(folder / "indptr.npy", np.dtype(np.int64)) as indptr,
        GrowingArray(folder / "indices.npy", np.dtype(np.int32)) as indices,
        GrowingArray(folder / "counts.npy", dtype) as counts,
    ):
        indptr.append(np.zeros(1))
        for chunk in chunks:
            chunk = sparse.csr_matrix(chunk)
            chunk.sum_duplicates()
            chunk.eliminate_zeros()
            if chunk.nnz and chunk.data.max() > np.iinfo(dtype).max:
                raise InputError(f"a count of {chunk.data.max()} is too large to be a number of molecules")
            values = chunk.data.astype(np.uint32)
            ends = chunk.indptr[1:].astype(np.int64) + stored
            indptr.append(ends)
            indices.append(chunk.indices)
            counts.append(values)
            parts = (ends, chunk.indices.astype(np.int32), values)
            for digest, part in zip(digests, parts, strict=True):
                digest.update(np.ascontiguousarray(part).data)
            gene_cells += np.bincount(chunk.indices, minlength=n_genes)
            gene_counts += np.bincount(chunk.indices, weights=values, minlength=n_genes).astype(np.int64)
            totals[done : done + chunk.shape[0]] = np.asarray(chunk.sum(axis=1, dtype=np.float64)).ravel()
            done, stored = done + chunk.shape[0], stored + chunk.nnz
    if done != n_cells:
        raise ValueError(f"{done} rows of counts for {n_cells} cells")
    np.save(folder / "totals.npy", totals)
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)), (gene_cells, gene_counts)


def _hash_maps(maps: Mapping[str, np.ndarray]) -> Any:
    digest = hashlib.sha256()
    for name in sorted(maps):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(maps[name], np.float32).data)
    return digest


def _write_derived(folder: Path, genes: np.ndarray, donors: pd.Series, step: Step) -> None:
    """Write what pages and runs read in place of all counts: by gene, sums per donor, quality of cells."""
    cells = Compressed(folder)
    by_gene, moments = folder / BY_GENE, moments_folder(folder)
    by_gene.mkdir()
    columns = write_by_gene(cells, len(genes), by_gene, folder, lambda share: step(0.6 * share))
    moments.mkdir(parents=True)
    totals = np.load(folder / "totals.npy")
    write_moments(columns, totals, donors, moments, lambda share: step(0.6 + 0.4 * share))
    counts, places, _ = columns.take(np.flatnonzero(gene_families(genes)["mitochondrial"].to_numpy()))
    in_mito = np.bincount(places, counts, len(totals))
    home.write_table(folder / "quality.parquet", quality_table(cells.lengths(), totals, in_mito))
    step(1.0)


@contextmanager
def room(target: Path, need: int | None, what: str = "dataset") -> Iterator[None]:
    """Refuse when the disk has no room for `need` bytes, and explain a disk that fills up while writing."""

    def full() -> InputError:
        left = shutil.disk_usage(target.parent).free
        wanted = f"needs about {_size(need)}" if need else "needs more"
        return InputError(
            f"no space left for {what} {target.name!r}: it {wanted} and {_size(left)} is left in "
            f"{target.parent}; free some space or set SGM_HOME to a larger disk"
        )

    if need and shutil.disk_usage(target.parent).free < need:
        raise full()
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full() from error
        raise


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
