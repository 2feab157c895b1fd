"""Gene names: duplicates, aliases, Ensembl ids, a vocabulary, and how much of it is covered."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.gene_lists import read_genes
from sgm_core.cells.text_file import read_whole
from sgm_core.errors import InputError

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{9,}(\.\d+)?")
_SYMBOL_COLUMNS = (
    "gene_symbol", "gene_symbols", "symbol", "symbols", "feature_name", "gene_name", "gene_names",
    "gene_short_name", "hgnc_symbol", "gene", "genes", "name", "features",
)  # fmt: skip
_ENSEMBL_COLUMNS = (
    "ensembl",
    "ensembl_id",
    "ensembl_ids",
    "gene_id",
    "gene_ids",
    "feature_id",
    "accession",
    "id",
)
_EXAMPLES = 20


@dataclass(frozen=True)
class GeneMap:
    """Which gene each column of a file becomes.

    Parameters
    ----------
    genes
        The resulting symbols, sorted and unique (n_out,).
    target
        For each column of the file its place in `genes`, -1 where it is dropped (n_in,).
    ensembl
        The Ensembl id of each resulting gene, None where unknown (n_out,).
    report
        What was done, for ``dataset.json``.
    notes
        What had to be assumed, a sentence each.
    """

    genes: np.ndarray
    target: np.ndarray
    ensembl: np.ndarray
    report: dict[str, Any]
    notes: tuple[str, ...] = ()

    def apply(self, chunk: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the counts of `genes`: columns moved, dropped, and summed where they share a symbol."""
        target = self.target[chunk.indices]
        keep = (target >= 0) & (chunk.data != 0)
        indptr = np.concatenate([[0], np.cumsum(keep)])[chunk.indptr]
        parts = (chunk.data[keep].astype(np.int64), target[keep], indptr)
        result = sparse.csr_matrix(parts, shape=(chunk.shape[0], len(self.genes)))
        result.sum_duplicates()
        return result

    def keep(self, wanted: np.ndarray) -> "GeneMap":
        """Return the map to the genes where the boolean `wanted` (n_out,) is true."""
        place = np.where(wanted, np.cumsum(wanted) - 1, -1)
        target = np.where(self.target >= 0, place[self.target], -1)
        return GeneMap(self.genes[wanted], target, self.ensembl[wanted], self.report, self.notes)

    def table(self) -> pd.DataFrame:
        """Return one row a gene: ``gene`` and, where any id is known, ``ensembl``."""
        table = pd.DataFrame({"gene": self.genes})
        if any(self.ensembl):
            table["ensembl"] = self.ensembl
        return table


def read_gene_list(path: Path) -> list[str]:
    """Read a vocabulary: a table with the column ``gene_name``, or one symbol a line (`read_genes`)."""
    return list(read_genes(path).genes)


def read_aliases(path: Path) -> dict[str, tuple[str, ...]]:
    """Read a table Symbol -> Approved.Symbol (HGNC); 'A /// B' or several rows make a symbol ambiguous."""
    lines = [re.split(r"[\t,]", line) for line in read_whole(path).lines if line.strip()]
    header = [name.strip().strip('"') for name in lines[0]] if lines else []
    if not {"Symbol", "Approved.Symbol"} <= set(header):
        raise InputError(f"{path.name} is no alias table: it needs the columns Symbol and Approved.Symbol")
    old, new = header.index("Symbol"), header.index("Approved.Symbol")
    table: dict[str, tuple[str, ...]] = {}
    for row in lines[1:]:
        if len(row) <= max(old, new) or row[new].strip('" ') in ("", "NA"):
            continue
        symbol = row[old].strip('" ')
        names = tuple(name.strip() for name in row[new].strip('" ').split("///"))
        table[symbol] = tuple(dict.fromkeys(table.get(symbol, ()) + names))
    return table


def harmonise(
    var: pd.DataFrame,
    file_name: str,
    vocabulary: list[str] | None = None,
    aliases: dict[str, tuple[str, ...]] | None = None,
) -> GeneMap:
    """Decide which gene each column of a file becomes.

    Symbols that are in the vocabulary stay; others are looked up in the alias table (towards the vocabulary's
    own spelling, old or new). An ambiguous alias stays as it is. Columns of one symbol are summed.

    Parameters
    ----------
    var
        The file's genes, column ``gene`` = the names.
    file_name
        For messages.
    vocabulary
        Restricts the genes.
    aliases
        Symbol -> approved symbols.

    Raises
    ------
    InputError
        If the names are Ensembl ids without symbols, numbers, or none of them is known.
    """
    names, ensembl, report = _symbols(var, file_name)
    if "feature_type" in var:
        other = ~var["feature_type"].isin(["Gene Expression", ""]).to_numpy()
        names[other] = ""
        report["other_features"] = int(other.sum())
    translate, counts = _translation(names, vocabulary, aliases)
    result = np.array([translate.get(name, "") for name in names], dtype=str)
    known = result != ""
    if not known.any() or (aliases and vocabulary is None and not counts["known"]):
        examples = ", ".join(repr(str(name)) for name in names[names != ""][:3])
        mouse = np.mean([name == name.capitalize() and name != name.upper() for name in names]) > 0.5
        advice = "they look like mouse symbols" if mouse else "are they symbols of human genes?"
        raise InputError(f"no known gene in {file_name}: its genes are named {examples} ...; {advice}")
    genes, where = np.unique(result[known], return_inverse=True)
    target = np.full(len(names), -1, np.int64)
    target[known] = where
    repeated = [str(gene) for gene, n in Counter(result[known].tolist()).items() if n > 1]
    ids = np.full(len(genes), None, dtype=object)
    ids[where[::-1]] = ensembl[known][::-1]
    report |= {
        "genes_in_file": len(names),
        "summed_duplicates": len(repeated),
        "summed_examples": repeated[:_EXAMPLES],
    }
    for key in ("aliases_mapped", "ambiguous"):
        if aliases is not None:
            report[key] = len(counts[key])
            report[f"{key}_examples"] = counts[key][:_EXAMPLES]
    if vocabulary is not None:
        report["vocabulary"] = len(vocabulary)
        report["vocabulary_found"] = len(genes)
        report["coverage_vocabulary"] = len(genes) / len(vocabulary)
        report["coverage_genes"] = float(known.mean())
    return GeneMap(genes, target, ids, report)


def _translation(
    names: np.ndarray, vocabulary: list[str] | None, aliases: dict[str, tuple[str, ...]] | None
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return name in the file -> gene (absent when dropped), and what happened to which names."""
    table = aliases or {}
    wanted = set(vocabulary) if vocabulary is not None else None
    approved_of = {symbol: new[0] for symbol, new in table.items() if len(new) == 1}
    # The vocabulary may use a symbol that has been renamed since.
    spelling: dict[str, str] = {}
    for gene in vocabulary or ():
        spelling.setdefault(approved_of.get(gene, gene), gene)
    approved = {new for names_ in table.values() for new in names_}
    translate: dict[str, str] = {}
    mapped, ambiguous, known = [], [], 0
    for name in dict.fromkeys(names.tolist()):
        if not name:
            continue
        known += name in table or name in approved
        if wanted is not None and name in wanted:
            translate[name] = name
            continue
        # An approved symbol that is also somebody's former name means itself.
        options = (name,) if name in approved else table.get(name, (name,))
        if len(options) > 1:
            ambiguous.append(name)
        new = options[0] if len(options) == 1 else name
        if wanted is not None:
            new = new if new in wanted else spelling.get(new, "")
        if new:
            translate[name] = new
            if new != name:
                mapped.append(f"{name} -> {new}")
    return translate, {"aliases_mapped": mapped, "ambiguous": ambiguous, "known": known}


def _symbols(var: pd.DataFrame, file_name: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Return each column's symbol and Ensembl id (None where unknown), and what was done about ids."""
    names = _clean(var["gene"])
    is_id = _is_ensembl(names)
    if names.size and np.mean([name.isdigit() for name in names]) > 0.5:
        raise InputError(
            f"the genes of {file_name} are named by numbers ({names[0]!r} ...): put gene symbols there"
        )
    lower = {str(column).lower(): column for column in var.columns if column != "gene"}
    if is_id.mean() <= 0.5:
        ids = _where(is_id, names)
        for column in _ENSEMBL_COLUMNS:
            if column in lower:
                values = _clean(var[lower[column]])
                ids = _where(_is_ensembl(values), values, ids)
        return names, ids, {"ensembl_without_symbol": int(is_id.sum())}
    for column in _SYMBOL_COLUMNS:
        if column in lower:
            values = _clean(var[lower[column]])
            usable = (values != "") & ~_is_ensembl(values)
            if usable.mean() > 0.5:
                report = {"symbols_from": str(lower[column]), "ensembl_without_symbol": int((~usable).sum())}
                return _where(usable, values, names), _where(is_id, names), report
    raise InputError(
        f"the genes of {file_name} are Ensembl ids ({names[is_id][0]} ...) and it has no column of symbols: "
        "add one to var, named gene_symbol, and import again"
    )


def _clean(values: pd.Series) -> np.ndarray:
    values = values.astype(object)
    return values.where(values.notna(), "").astype(str).str.strip().to_numpy(dtype=object)


def _where(condition: np.ndarray, values: np.ndarray, otherwise: np.ndarray | None = None) -> np.ndarray:
    """Return `values` where the condition holds, else `otherwise` (None by default)."""
    result = np.full(len(values), None, dtype=object) if otherwise is None else otherwise.copy()
    result[condition] = values[condition]
    return result


def _is_ensembl(names: np.ndarray) -> np.ndarray:
    return np.array([bool(_ENSEMBL.fullmatch(name)) for name in names], dtype=bool)
