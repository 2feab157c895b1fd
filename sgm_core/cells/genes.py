"""Gene names: duplicates, aliases, Ensembl ids, a vocabulary, and how much of it is covered."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from sgm_core.cells.gene_columns import find_symbols
from sgm_core.cells.gene_lists import read_genes
from sgm_core.cells.gene_names import Resolver, describe_mapped, is_date, mouse_like, plain_forms
from sgm_core.cells.text_file import read_whole
from sgm_core.errors import InputError

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
    known_genes = {*(vocabulary or ()), *(aliases or ())}
    symbols = find_symbols(var, file_name, known_genes)
    names, ensembl, report = symbols.names, symbols.ensembl, symbols.report
    if "feature_type" in var:
        other = ~var["feature_type"].isin(["Gene Expression", ""]).to_numpy()
        names[other] = ""
        report["other_features"] = int(other.sum())
    named = [name for name in dict.fromkeys(names.tolist()) if name]
    mouse = mouse_like(named)
    translate, counts = _translation(named, vocabulary, aliases, mouse)
    result = np.array([translate.get(name, "") for name in names], dtype=str)
    known = result != ""
    examples = ", ".join(repr(name) for name in named[:3])
    if not known.any() or (aliases and vocabulary is None and not counts["known"]):
        advice = "they look like mouse symbols" if mouse else "are they symbols of human genes?"
        raise InputError(f"no known gene in {file_name}: its genes are named {examples} ...; {advice}")
    if mouse and known_genes:
        raise InputError(
            f"the genes of {file_name} look like mouse symbols ({examples} ...) and the gene list or "
            "alias table "
            "holds human ones: map them to human orthologues first"
        )
    notes = [*symbols.notes, *describe_mapped(counts["otherwise"])]
    if mouse:
        notes.append(
            f"the genes look like mouse symbols ({examples} ...): what rests on human ones finds nothing"
        )
    if counts["dates"]:
        notes.append(
            f"{len(counts['dates']):,} genes are named as dates that can mean two genes each and were "
            "left as "
            f"they are ({', '.join(counts['dates'][:3])} ...): a spreadsheet changed them"
        )
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
    return GeneMap(genes, target, ids, report, tuple(notes))


def _translation(
    names: list[str],
    vocabulary: list[str] | None,
    aliases: dict[str, tuple[str, ...]] | None,
    mouse: bool,
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return name in the file -> gene (absent when dropped), and what happened to which names.

    `names` once each.
    """
    table = aliases or {}
    wanted = set(vocabulary) if vocabulary is not None else None
    approved_of = {symbol: new[0] for symbol, new in table.items() if len(new) == 1}
    # The vocabulary may use a symbol that has been renamed since.
    spelling: dict[str, str] = {}
    for gene in vocabulary or ():
        spelling.setdefault(approved_of.get(gene, gene), gene)
    approved = {new for names_ in table.values() for new in names_}
    reference = wanted if wanted is not None else {*approved, *table}
    resolve = Resolver(reference, table, case=not mouse) if reference else None
    plain = {} if reference or mouse else plain_forms(names)
    translate: dict[str, str] = {}
    mapped, ambiguous, known = [], [], 0
    otherwise: list[tuple[str, str, str]] = []
    for name in names:
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
        if new == name and name in plain:
            new, how = plain[name]
            otherwise.append((name, new, how))
        elif resolve and (not new or new == name) and name not in reference and (answer := resolve(name)):
            found, how = answer
            new = found if wanted is not None else approved_of.get(found, found)
            known += 1
            if how != "alias":
                otherwise.append((name, new, how))
            else:
                mapped.append(f"{name} -> {new}")
        elif new and new != name:
            mapped.append(f"{name} -> {new}")
        if new:
            translate[name] = new
    dates = [name for name in names if translate.get(name) == name and is_date(name)]
    facts = {"aliases_mapped": mapped, "ambiguous": ambiguous, "known": known, "dates": dates}
    return translate, facts | {"otherwise": otherwise}
