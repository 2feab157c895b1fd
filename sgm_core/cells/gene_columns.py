"""Which column of a table of genes holds the symbols, found by content; prefixes are taken off."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.cells.gene_names import ENSEMBL, FREQUENT, SYMBOL, genome_prefix, split_compound
from sgm_core.cells.text_file import unquote
from sgm_core.errors import InputError

_SYMBOL_COLUMNS = (
    "gene_symbol", "gene_symbols", "symbol", "symbols", "feature_name", "gene_name", "gene_names",
    "gene_short_name", "hgnc_symbol", "hgnc", "gene", "genes", "name", "features",
)  # fmt: skip
# Rows that HTSeq and STAR put below the genes, and spike-ins.
_NO_GENES = re.compile(r"__\w+|N_(unmapped|multimapping|noFeature|ambiguous)|ERCC-\d{5}")
_FEW = 0.01


@dataclass(frozen=True)
class Symbols:
    """The symbol ('' where there is none) and Ensembl id (or None) of each gene, and what was done."""

    names: np.ndarray
    ensembl: np.ndarray
    report: dict[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    title: str
    names: np.ndarray
    ensembl: np.ndarray
    notes: tuple[str, ...]
    given: np.ndarray

    def share(self, test: Any) -> float:
        filled = [name for name in self.names if name]
        return sum(map(bool, map(test, filled))) / len(filled) if filled else 0.0

    @property
    def ids(self) -> float:
        return self.share(ENSEMBL.fullmatch)

    @property
    def numbers(self) -> float:
        return self.share(str.isdigit)

    @property
    def symbols(self) -> float:
        """The share of names that may be symbols; none where few names stand for many genes."""
        filled = [name for name in self.names if name]
        if not filled or len(set(filled)) < 0.5 * len(filled):
            return 0.0
        good = sum(bool(SYMBOL.fullmatch(n)) and not ENSEMBL.fullmatch(n) for n in filled)
        return good / len(self.names)


def find_symbols(var: pd.DataFrame, file_name: str, known: Collection[str] = ()) -> Symbols:
    """Return each gene's symbol.

    The names of the file are taken if they are symbols; else the column with symbols, whatever it is called.
    ``GRCh38_CD34`` loses its prefix, ``ENSG00000174059_CD34`` is split.

    Parameters
    ----------
    var
        The file's genes, column ``gene`` = the names.
    file_name
        For messages.
    known
        Genes that exist, if they are known.

    Raises
    ------
    InputError
        If there are no symbols, or genes of two genomes.
    """
    main = _interpret("", var["gene"], file_name)
    others = [
        _interpret(str(column), var[column], file_name)
        for column in var.columns
        if column not in ("gene", "feature_type") and not pd.api.types.is_numeric_dtype(var[column].dtype)
    ]
    known = set(known)
    chosen = _choose(main, others, known)
    if chosen is None:
        _refuse(main, file_name)
    assert chosen is not None
    names, notes = chosen.names.copy(), list(chosen.notes)
    report: dict[str, Any] = {}
    if chosen is not main:
        # An id is still a name; a number or the name of a row is none.
        missing = (names == "") | np.array([bool(ENSEMBL.fullmatch(name)) for name in names])
        names[missing] = np.where(_matches(main.names, ENSEMBL), main.names, "")[missing]
        report = {"symbols_from": chosen.title}
        notes.append(
            f"gene symbols were taken from column {chosen.title!r} (names such as {main.given[0]!r})"
        )
    ids = chosen.ensembl.copy()
    for column in (main, *others):
        found = np.where(_matches(column.names, ENSEMBL), column.names, column.ensembl)
        ids = np.where(ids == np.array(None), found, ids)
    report["ensembl_without_symbol"] = int(_matches(names, ENSEMBL).sum())
    summaries = np.array([bool(_NO_GENES.fullmatch(name)) for name in names], dtype=bool)
    if summaries.any():
        shown = ", ".join(names[summaries][:3])
        notes.append(f"{int(summaries.sum()):,} rows that are no genes were left out ({shown} ...)")
        names[summaries] = ""
    return Symbols(names, ids, report, tuple(notes))


def _choose(main: _Column, others: list[_Column], known: set[str]) -> _Column | None:
    def likely(column: _Column) -> tuple[float, int, float]:
        title = column.title.lower()
        place = _SYMBOL_COLUMNS.index(title) if title in _SYMBOL_COLUMNS else len(_SYMBOL_COLUMNS)
        return (round(column.share(known.__contains__), 1) if known else 0.0, -place, column.symbols)

    def convincing(column: _Column) -> bool:
        sure = column.title.lower() in _SYMBOL_COLUMNS or column.share(FREQUENT.fullmatch) > 0
        return column.symbols > 0.5 and (sure or bool(known and column.share(known.__contains__) > 0.3))

    candidates = sorted(filter(convincing, others), key=likely, reverse=True)
    if main.ids <= 0.5 and main.numbers <= 0.5:
        if not candidates:
            return main
        best = candidates[0]
        if known and best.share(known.__contains__) > 0.5 > 0.05 > main.share(known.__contains__):
            return best
        # Without a list to compare with: names of which none is a gene that every sample has.
        stranger = main.share(FREQUENT.fullmatch) == 0 and best.share(FREQUENT.fullmatch) > 0.005
        return best if not known and stranger else main
    return candidates[0] if candidates else None


def _refuse(main: _Column, file_name: str) -> None:
    first = next(name for name in main.given if name)
    what = "are Ensembl ids" if main.ids > 0.5 else "are named by numbers"
    raise InputError(
        f"the genes of {file_name} {what} ({first} ...) and it has no column of symbols: "
        "add one to var, named gene_symbol, and import again"
    )


def _interpret(title: str, values: pd.Series, file_name: str) -> _Column:
    """Read a column of names: prefixes of genomes are taken off, compounds split."""
    given = clean(values)
    names, notes = given.copy(), []
    ids = np.full(len(names), None, dtype=object)
    filled = max(1, int((names != "").sum()))
    prefixes = [genome_prefix(name) for name in names]
    genomes = Counter(prefix.rstrip("-_") for prefix in prefixes if prefix)
    if not genomes.total() > 0.5 * filled:
        shared = Counter(name.split("_", 1)[0] for name in names if "_" in name[1:])
        token, number = shared.most_common(1)[0] if shared else ("", 0)
        if number > 0.9 * filled and len(names) > 20:
            prefixes = [f"{token}_" if name.startswith(f"{token}_") else "" for name in names]
            genomes = Counter({token: number})
    if genomes.total() > 0.5 * filled:
        several = [genome for genome, number in genomes.items() if number > _FEW * filled]
        if len(several) > 1:
            raise InputError(
                f"the genes of {file_name} are of several genomes ({', '.join(several)}): keep the "
                "cells and genes "
                "of one, and import again"
            )
        names = np.array([n[len(p) :] for n, p in zip(names, prefixes)], dtype=object)
        notes.append(
            f"the prefix of the genome was taken off the genes' names ({several[0]}: {given[0]} ...)"
        )
    parts = [split_compound(name) for name in names]
    if sum(part is not None for part in parts) > 0.5 * filled:
        example = next(name for name, part in zip(names, parts) if part)
        names = np.array([part[0] if part else name for name, part in zip(names, parts)], dtype=object)
        ids = np.array([part[1] if part else None for part in parts], dtype=object)
        notes.append(f"the genes' names were split into symbol and Ensembl id ({example} ...)")
    return _Column(title, names, ids, tuple(notes), given)


def clean(values: pd.Series) -> np.ndarray:
    """Return names as text without blanks and quotation marks around them; '' where there is none."""
    values = values.astype(object)
    return values.where(values.notna(), "").astype(str).map(unquote).to_numpy(dtype=object)


def _matches(names: np.ndarray, pattern: Any) -> np.ndarray:
    return np.array([bool(pattern.fullmatch(name)) for name in names], dtype=bool)
