"""The genes of new cells in those of a model; what does not fit is refused with its likely cause."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.annotation.store import Model
from sgm_core.cells.dataset import TARGET_SUM
from sgm_core.cells.gene_columns import clean
from sgm_core.cells.gene_names import ENSEMBL
from sgm_core.cells.genes import GeneMap, harmonise
from sgm_core.errors import InputError

FLOOR, DOUBTFUL = 0.5, 0.8
"""Share of the genes that a model reads below which it is refused, and below which it is said."""
_BULK_TIMES, _BULK_CELLS = 5.0, 2000


@dataclass
class Query:
    """How new cells are read by a model.

    Parameters
    ----------
    model : the model
    aliases : former gene symbols -> approved ones, beside the built-in renamings
    notes : what was assumed, a sentence each
    """

    model: Model
    aliases: dict[str, tuple[str, ...]] | None = None
    notes: list[str] = field(default_factory=list)
    coverage: float = float("nan")
    _place: np.ndarray | None = None

    def to_genes(self, var: pd.DataFrame, name: str) -> GeneMap:
        """Return which gene of the model each column is.

        Raises
        ------
        InputError
            If fewer than half of the genes that the model reads are there; the message says why.
        """
        genes = self.model.genes
        vocabulary = genes["gene"].tolist()
        self.notes.clear()
        found = harmonise(self._symbols(var, name), name, vocabulary, self.aliases)
        model = self.model.name
        read = genes["gene"].to_numpy(str)[self.model.members[0].reader.genes]
        there = np.isin(read, found.genes)
        self.coverage = float(there.mean())
        self.notes += found.notes
        said = f"{self.coverage:.0%} of the {len(read):,} genes that model {model!r} reads are in {name}"
        if self.coverage < FLOOR:
            raise InputError(
                f"{said}, {FLOOR:.0%} are needed: another species or another naming of genes, a panel, or a "
                f"file that was cut to its variable genes? Its genes are named "
                f"{', '.join(map(repr, clean(var['gene'])[:3]))} ...; give all genes as human symbols"
            )
        self.notes.append(said + (": what it says is doubtful" if self.coverage < DOUBTFUL else ""))
        self._place = pd.Index(vocabulary).get_indexer(pd.Index(found.genes)).astype(np.int32)
        return found

    def _symbols(self, var: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return the table of genes with symbols in place of Ensembl ids that the model's dataset knows."""
        names = pd.Series(clean(var["gene"]))
        bare = names.str.replace(r"\.\d+$", "", regex=True)
        ids = [text for text in bare if ENSEMBL.fullmatch(text)]
        if len(ids) <= 0.5 * max(len(names), 1):
            return var
        species = Counter(text[3:].rstrip("0123456789") for text in ids).most_common(1)
        if species[0][0] != "G":  # ENSG... is human, ENSMUSG... of the mouse
            raise InputError(
                f"the genes of {name} are Ensembl ids of another species ({ids[0]} ...), and the model knows "
                "human genes: map them to human orthologues first"
            )
        known = self.model.genes.dropna(subset="ensembl")
        symbol_of = dict(zip(known["ensembl"].str.replace(r"\.\d+$", "", regex=True), known["gene"]))
        if not symbol_of:
            return var  # a column of symbols may be there; else it is said that there is none
        self.notes.append(f"Ensembl ids were translated by the model's own table ({ids[0]} ...)")
        return pd.DataFrame({"gene": [symbol_of.get(text, text) for text in bare]})

    @property
    def identity(self) -> str:
        """Changes when the columns become other genes, as by another alias table."""
        assert self._place is not None, "genes come first"
        return hashlib.sha256(self._place.tobytes()).hexdigest()

    def values(self, counts: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
        """Return ln(1 + 10,000 count / total) (n, G) of all genes of the model, genes and counts by cell."""
        assert self._place is not None, "genes come first"
        shape = (counts.shape[0], len(self.model.genes))
        placed = sparse.csr_matrix((counts.data, self._place[counts.indices], counts.indptr), shape=shape)
        totals = np.asarray(placed.sum(1)).ravel()
        n_genes = np.diff(placed.indptr)
        scale = np.repeat(TARGET_SUM / np.maximum(totals, 1), n_genes)
        values = np.log1p(placed.data * scale).astype(np.float32)
        return sparse.csr_matrix((values, placed.indices, placed.indptr), shape=shape), n_genes, totals

    def check_bulk(self, totals: np.ndarray, n_cells: int, name: str) -> None:
        """Refuse samples that are too deep to be cells.

        Raises
        ------
        InputError
            If the first of at most 2,000 of them have 5 times the counts of the deepest training cell.
        """
        deep, most = float(np.median(totals)), float(self.model.meta["most_counts"])
        if n_cells <= _BULK_CELLS and deep > _BULK_TIMES * most:
            raise InputError(
                f"{name} looks like bulk samples: {deep:,.0f} counts each (median), the deepest training "
                f"cell has {most:,.0f}; the model names single cells"
            )
