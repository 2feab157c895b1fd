"""A dataset on disk: raw counts as CSR, cells and genes as tables.

The folder ``$SGM_HOME/datasets/NAME`` holds ``dataset.json``, ``indptr.npy``, ``indices.npy``,
``counts.npy``, ``totals.npy``, ``obs.parquet``, ``var.parquet``, ``quality.parquet``, ``embeddings/``, the
counts by gene in ``by_gene/`` and what was worked out once in ``facts/``; `sgm_core.cells.write` writes it.
A table of coordinates and labels becomes one without counts and genes.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import sparse

from sgm_core import home
from sgm_core.cells.by_gene import add_by_gene, stored_by_gene
from sgm_core.cells.columns import as_text
from sgm_core.cells.compressed import Compressed
from sgm_core.documents import document
from sgm_core.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from anndata import AnnData

SCHEMA_VERSION = 1
TARGET_SUM = 1e4
_MOST_LEVELS = 40
_FLOAT32_EXACT = 2**24
_AT_ONCE = 20_000_000  # values: the copy by gene of a dataset that lacks it is made in passing, in seconds
_BLOCK = 8_000_000
_NEEDED = ("n_cells", "n_genes", "n_donors", "unlabelled", "content_hash", "simulated", "created")


@dataclass(frozen=True)
class Dataset:
    """Cells x genes with donors, cell types and timepoints.

    Arrays and tables are read when first asked for and then kept; treat them as read-only.

    Parameters
    ----------
    path
        The dataset's folder.
    name
        Its name.
    meta
        The content of ``dataset.json``.
    """

    path: Path
    name: str
    meta: dict[str, Any] = field(compare=False, repr=False)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.meta["n_cells"]

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.meta["n_genes"]

    @property
    def has_counts(self) -> bool:
        """Whether there are counts, and not coordinates and labels only."""
        return self.n_genes > 0

    def require_counts(self, what: str) -> None:
        """Refuse a dataset without counts.

        Parameters
        ----------
        what
            What needs them, as a noun: "a comparison".

        Raises
        ------
        InputError
            If there are none.
        """
        if not self.has_counts:
            raise InputError(
                f"dataset {self.name!r} has coordinates and labels only, no counts, which {what} needs: "
                "import a file with the counts of its cells"
            )

    @property
    def has_donors(self) -> bool:
        """Whether it is known which donor each cell is from."""
        return self.donor_column is not None

    @property
    def donor_column(self) -> str | None:
        """The column of `obs` that names the donor; None for coordinates and labels without donors."""
        return self.meta["roles"]["donor"]

    @property
    def cell_type_column(self) -> str:
        """The column of `obs` that names the cell type."""
        return self.meta["roles"]["cell_type"]

    @property
    def timepoint_column(self) -> str | None:
        """The column of `obs` that names the timepoint, if there is one."""
        return self.meta["roles"].get("timepoint")

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """The label values that mean 'no label'."""
        return tuple(self.meta["unlabelled"])

    def unlabelled_in(self, column: str) -> tuple[str, ...]:
        """Return the values of a label column that mean 'no label': those of all, and its own."""
        return (*self.unlabelled, *self.meta.get("unlabelled_in", {}).get(column, ()))

    @property
    def content_hash(self) -> str:
        """SHA-256 over counts, genes, cells and roles."""
        return self.meta["content_hash"]

    @property
    def simulated(self) -> bool:
        """Whether the cells come from the simulator."""
        return self.meta["simulated"]

    @cached_property
    def obs(self) -> pd.DataFrame:
        """One row a cell; column ``cell`` is its name.

        The names take 75 bytes a cell, more than all else; `annotations` is without them.
        """
        names = pq.read_table(self.path / "obs.parquet", columns=["cell"]).column("cell").to_pandas()
        obs = self.annotations.copy(deep=False)
        obs.insert(0, "cell", names.to_numpy(object))
        return obs

    @cached_property
    def annotations(self) -> pd.DataFrame:
        """The columns of `obs` but the cells' names; texts are objects that equal cells share."""
        columns = [name for name in pq.read_schema(self.path / "obs.parquet").names if name != "cell"]
        table = pq.read_table(self.path / "obs.parquet", columns=columns).to_pandas(split_blocks=True)
        return table.set_axis(pd.RangeIndex(self.n_cells), axis=0)

    @cached_property
    def var(self) -> pd.DataFrame:
        """One row a gene: ``gene``, ``ensembl`` if known, ``n_cells``, ``total_counts``, ``mean``."""
        return pd.read_parquet(self.path / "var.parquet")

    @cached_property
    def genes(self) -> np.ndarray:
        """Gene symbols in the order of the columns (sorted)."""
        return self.var["gene"].to_numpy(dtype=str)

    @cached_property
    def _by_cell(self) -> Compressed:
        self.require_counts("reading counts")
        return Compressed(self.path)

    def counts(self) -> sparse.csr_matrix:
        """Return the raw counts, cells x genes, memory-mapped; `take` for some cells of a huge dataset.

        Raises
        ------
        InputError
            If there are more than 2^31 counts: they would not stay mapped.
        """
        self.require_counts("reading counts")
        load = [np.load(self.path / f"{name}.npy", mmap_mode="r") for name in ("indptr", "indices", "counts")]
        if load[0][-1] > np.iinfo(np.int32).max:
            raise InputError(
                f"dataset {self.name!r} has {load[0][-1]:,} counts, more than fit one matrix: take some "
                "cells at a time"
            )
        return sparse.csr_matrix((load[2], load[1], load[0]), (self.n_cells, self.n_genes), copy=False)

    def n_genes_per_cell(self) -> np.ndarray:
        """Return how many genes each cell has a count of, int64 (n_cells,)."""
        return self._by_cell.lengths()

    def take(self, rows: np.ndarray | slice) -> sparse.csr_matrix:
        """Return the raw counts of some cells; nothing else is read from disk.

        Parameters
        ----------
        rows
            Row numbers (n,) in any order, or a slice.

        Raises
        ------
        InputError
            If the dataset has no counts or no such cells, or these cells more than 2^31 counts.
        """
        counts, indices, pointers = self._by_cell.take(rows)
        return sparse.csr_matrix((counts, indices, pointers), shape=(len(pointers) - 1, self.n_genes))

    def gene(self, name: str, normalised: bool = True) -> np.ndarray:
        """Return one gene's values, float32 (n_cells,).

        Parameters
        ----------
        name
            The symbol.
        normalised
            ln(1 + 10,000 * count / total) as `lognorm` has it; the raw counts if False.

        Raises
        ------
        InputError
            If the dataset has no such gene, or no counts.
        """
        column = self.genes_matrix([name], normalised)
        values = np.zeros(self.n_cells, np.float32)
        values[column.indices] = column.data
        return values

    def genes_matrix(self, names: Sequence[str] | np.ndarray, normalised: bool = True) -> sparse.csc_matrix:
        """Return the values of some genes, cells x genes in the order of `names`, float32.

        Only these genes are read where the dataset has its counts by gene. Datasets of older programs get
        that on first use if it takes seconds, else with ``sgm data complete``; until then all is read, block
        by block.

        Parameters
        ----------
        names
            Symbols or column numbers.
        normalised
            As for `gene`.

        Raises
        ------
        InputError
            If the dataset lacks one of them, or has no counts.
        """
        self.require_counts("the expression of a gene")
        columns = self.gene_columns(names)
        by_gene = stored_by_gene(self.path)
        if by_gene is None and self._by_cell.indptr[-1] <= _AT_ONCE:
            with suppress(OSError):  # it may be that this user may not write there
                by_gene = add_by_gene(self.path, self.n_genes)
        shape = (self.n_cells, len(columns))
        if by_gene is not None:
            values = sparse.csc_matrix(by_gene.take(columns), shape=shape).astype(np.float32)
        else:
            blocks = self._by_cell.blocks(_BLOCK)
            parts = [self.take(slice(*block))[:, columns].astype(np.float32) for block in blocks]
            values = sparse.vstack(parts, format="csc")
        if normalised:
            scale = TARGET_SUM / np.maximum(self.totals(), 1)
            values.data = np.log1p(values.data * scale[values.indices]).astype(np.float32)
        return values

    @cached_property
    def _totals(self) -> np.ndarray:
        return np.load(self.path / "totals.npy")

    def totals(self) -> np.ndarray:
        """Return the counts per cell over all genes of the dataset, float64 (n_cells,)."""
        self.require_counts("reading counts")
        return self._totals

    def lognorm(
        self, rows: np.ndarray | slice | None = None, genes: Sequence[str] | np.ndarray | None = None
    ) -> sparse.csr_matrix:
        """Return ln(1 + 10,000 * count / total), float32; the total is over all genes of the dataset.

        Parameters
        ----------
        rows
            Row numbers or a slice; all cells by default.
        genes
            Symbols or column numbers, in the order wanted; all genes by default.

        Raises
        ------
        InputError
            If the dataset has no counts, or a symbol is not in it.
        """
        rows = slice(None) if rows is None else rows
        values = self.take(rows)
        if genes is not None:
            values = values[:, self.gene_columns(genes)]
        values = values.astype(np.float32)
        totals = np.maximum(self.totals()[rows], 1)
        per_value = np.repeat(TARGET_SUM / totals, np.diff(values.indptr))
        values.data = np.log1p(values.data * per_value).astype(np.float32)
        return values

    def gene_columns(self, genes: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return the column numbers of `genes` (symbols, or column numbers, which come back as they are)."""
        wanted = np.asarray(genes)
        if wanted.dtype.kind in "iu":
            return wanted
        columns = pd.Index(self.genes).get_indexer(pd.Index(wanted))
        if (columns < 0).any():
            unknown = [str(gene) for gene in wanted[columns < 0]]
            raise InputError(
                f"dataset {self.name!r} has no gene {unknown[0]!r} ({len(unknown)} unknown genes)"
            )
        return columns

    def labels(self, column: str | None = None) -> pd.Series:
        """Return the label of each cell as text, None where it has none (a declared value, or no value).

        Each column is worked out once and kept; treat it as read-only.

        Parameters
        ----------
        column
            A column of `obs`; by default the cell type.

        Raises
        ------
        NotFoundError
            If there is no such column.
        """
        column = column or self.cell_type_column
        if column not in self.annotations:
            raise NotFoundError(
                f"dataset {self.name!r} has no column {column!r}; it has {', '.join(self.grouping_columns())}"
            )
        if column not in self._labels:
            values = as_text(self.annotations[column])
            without = values.isna() | values.isin(self.unlabelled_in(column))
            self._labels[column] = values.where(~without, None)
        return self._labels[column]

    @cached_property
    def _labels(self) -> dict[str, pd.Series]:
        return {}

    def to_anndata(self, rows: np.ndarray | slice | None = None) -> "AnnData":
        """Return the dataset, or some of its cells, as an AnnData in memory: 8 bytes for every stored count.

        Parameters
        ----------
        rows
            Row numbers or a slice; all cells by default.

        Returns
        -------
        AnnData
            Raw counts as ``X`` (CSR, float32; float64 where a count needs it), cells by name with their
            columns, genes by symbol; each stored map as ``obsm["X_NAME"]`` (NaN where it leaves a cell out);
            where all comes from in ``uns["sgm_core"]``.

        Examples
        --------
        >>> dataset.to_anndata().write_h5ad("aml.h5ad")  # doctest: +SKIP
        """
        from anndata import AnnData

        rows = slice(None) if rows is None else rows
        obs = self.obs.iloc[rows]
        obs = obs.set_index(obs["cell"].astype(str).rename(None)).drop(columns="cell")
        var = self.var.set_index(self.var["gene"].astype(str).rename(None)).drop(columns="gene")
        counts = self.take(rows)
        # the integers on disk are as small as they can be: twice 200 would be 144
        exact = counts.max() <= _FLOAT32_EXACT if counts.nnz else True
        adata = AnnData(counts.astype(np.float32 if exact else np.float64), obs=obs, var=var)
        for name, file in self.maps().items():
            table = pd.read_parquet(file)
            place = np.full((self.n_cells, 2), np.nan, np.float32)
            place[table["cell"]] = table[["x", "y"]]
            adata.obsm[f"X_{name}"] = place[rows]
        adata.uns["sgm_core"] = {
            "dataset": self.name,
            "content_hash": self.content_hash,
            **{role: column for role, column in self.meta["roles"].items() if column},
        }
        return adata

    def maps(self) -> dict[str, Path]:
        """Return the stored maps by name: parquet files with the columns cell (row number), x and y."""
        return {file.stem: file for file in sorted((self.path / "embeddings").glob("[!.]*.parquet"))}

    def colours(self, column: str) -> dict[str, str] | None:
        """Return the colour that the imported file has for each level of a column, ``#rrggbb``, or None."""
        return self.meta.get("colours", {}).get(column)

    def donors(self) -> pd.Series:
        """Return the donor of each cell.

        Raises
        ------
        InputError
            If the dataset has no donors.
        """
        if self.donor_column is None:
            raise InputError(
                f"dataset {self.name!r} does not say which donor a cell is from: import its table again with "
                "--donor COL"
            )
        return self.annotations[self.donor_column]

    def grouping_columns(self) -> list[str]:
        """Return the columns to group or colour by: the roles first, then text columns of 2 to 40 levels."""
        roles = [self.cell_type_column, self.donor_column, self.timepoint_column]
        columns = [column for column in roles if column]
        for column in self.annotations.columns.difference(columns, sort=False):
            values = self.annotations[column]
            if values.dtype == object and 2 <= values.nunique() <= _MOST_LEVELS:
                columns.append(column)
        return columns


def is_dataset(data: str) -> bool:
    """Return whether `data`, which may be a path as well, names a dataset."""
    return "/" not in data and (home.home() / "datasets" / data / "dataset.json").is_file()


def open_dataset(name: str) -> Dataset:
    """Open a dataset by its name.

    Raises
    ------
    NotFoundError
        If there is none of that name; the message says which there are.
    InputError
        If a newer version of the program wrote it, or its description is damaged.
    """
    path = home.folder("datasets") / home.check_name(name, "dataset name")
    if not (path / "dataset.json").is_file():
        there = ", ".join(dataset.name for dataset in list_datasets())
        advice = f"there are {there}" if there else "there is none yet: import one with 'sgm data import'"
        raise NotFoundError(f"no dataset {name!r} in {path.parent}; {advice}")
    try:
        meta = document(path / "dataset.json")
        newer = meta["schema_version"] > SCHEMA_VERSION
        _ = newer or ([meta[key] for key in _NEEDED], meta["roles"]["donor"], meta["roles"]["cell_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path / 'dataset.json'} is damaged ({error!r}): delete {path} and import the dataset again"
        ) from error
    if newer:
        raise InputError(
            f"dataset {name!r} has format {meta['schema_version']}, newer than this program's "
            f"{SCHEMA_VERSION}: update the program"
        )
    return Dataset(path, name, meta)


def list_datasets() -> list[Dataset]:
    """Return every dataset that can be used, by name; `damaged_datasets` has the others."""
    return _survey()[0]


def damaged_datasets() -> dict[str, str]:
    """Return the names of datasets that can't be used, with the reason."""
    return _survey()[1]


def _survey() -> tuple[list[Dataset], dict[str, str]]:
    usable: list[Dataset] = []
    damaged: dict[str, str] = {}
    for file in sorted(home.folder("datasets").glob("[!.]*/dataset.json")):
        try:
            usable.append(open_dataset(file.parent.name))
        except InputError as error:
            damaged[file.parent.name] = str(error)
    return usable, damaged
