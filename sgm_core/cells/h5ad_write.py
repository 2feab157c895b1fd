"""An h5ad written by the block: tables first, then counts, so that memory does not grow with the cells."""

from collections.abc import Callable, Iterable
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.errors import InputError

FLOAT32_EXACT = 2**24
_CHUNK = 1 << 18
_COMPRESSED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


def named_table(obs: pd.DataFrame) -> pd.DataFrame:
    """Return cells (column ``cell`` = their names) as the format takes them.

    Of text, it takes a missing value only in a categorical.
    """
    table = obs.set_index(obs["cell"].astype(str).rename(None)).drop(columns="cell")
    for column in table.columns.difference(table.select_dtypes(["number", "bool"]).columns):
        text = table[column].map(str, na_action="ignore").where(table[column].notna(), None)
        categories = pd.Index(sorted(text.dropna().unique()), dtype=object)
        table[column] = pd.Categorical(text, categories=categories)
    return table


def write_tables(
    file: h5py.File, obs: pd.DataFrame, var: pd.DataFrame, obsm: dict[str, np.ndarray], uns: dict[str, Any]
) -> None:
    """Write everything of an h5ad but ``X``.

    Parameters
    ----------
    file : empty, open for writing
    obs, var : cells and genes, their names as index
    obsm : coordinates of the cells
    uns : about the whole
    """
    from anndata.io import write_elem

    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for name, content in {"obs": obs, "var": var, "obsm": obsm, "uns": uns}.items():
        write_elem(file, name, content)
    for empty in ("layers", "obsp", "varm", "varp"):
        write_elem(file, empty, {})


def write_counts(
    file: h5py.File,
    blocks: Iterable[sparse.csr_matrix],
    n_genes: int,
    kind: type = np.float32,
    tell: Callable[[int, int], None] = lambda rows, values: None,
) -> None:
    """Write ``X`` (CSR) from blocks of rows.

    Parameters
    ----------
    file : open for writing
    blocks : counts of consecutive cells
    n_genes : number of columns
    kind : float32, or float64 where a count needs it
    tell : is told the rows and values that are written, after each block

    Raises
    ------
    InputError
        If `kind` does not hold a count.
    """
    group = file.create_group("X")
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
    sizes: dict[str, Any] = {"shape": (0,), "maxshape": (None,), "chunks": (_CHUNK,)}
    indices = group.create_dataset("indices", dtype=np.int32, **sizes, **_COMPRESSED)
    values = group.create_dataset("data", dtype=kind, **sizes, **_COMPRESSED)
    ends, done, rows = [np.zeros(1, np.int64)], 0, 0
    for counts in blocks:
        highest = counts.data.max(initial=0)
        if kind == np.float32 and highest > FLOAT32_EXACT:
            raise InputError(f"a count of {highest:,.0f} is too large to be a number of molecules")
        for part, new in ((indices, counts.indices), (values, counts.data)):
            part.resize((done + counts.nnz,))
            part[done:] = new.astype(part.dtype)
        ends.append(counts.indptr[1:].astype(np.int64) + done)
        done, rows = done + counts.nnz, rows + counts.shape[0]
        tell(rows, done)
    group.create_dataset("indptr", data=np.concatenate(ends))
    group.attrs["shape"] = np.array([rows, n_genes], dtype=np.int64)
