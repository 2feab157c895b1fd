"""Lists of genes as people save them: lines, words, a column of a table; quoted, with a header."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sgm_core.cells.gene_names import ENSEMBL
from sgm_core.cells.text_file import (
    find_separator,
    header_fields,
    read_whole,
    separator_name,
    tidy_text,
    unquote,
)
from sgm_core.errors import InputError, NotFoundError

_HEADERS = (
    "gene", "genes", "gene_name", "gene_names", "symbol", "symbols", "gene_symbol", "gene_symbols",
    "hgnc_symbol", "hgnc", "approved_symbol", "approved.symbol", "feature_name", "features", "feature",
    "gene_short_name", "external_gene_name", "genename", "genesymbol", "marker",
    "markers", "names", "name", "x",
    "v1", "id", "ids",
)  # fmt: skip
_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.@_/-]*")
_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?%?")
_LETTER = re.compile(r"[A-Za-z]")
_NOTHING = ("", "na", "nan", "null", "none")


@dataclass(frozen=True)
class GeneList:
    """Genes, each once, in the order of the file, and what had to be assumed to read them."""

    genes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_genes(path: str | Path) -> GeneList:
    """Read a list of genes from a text file in any of the forms that `parse_genes` knows.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is no text, or holds no gene symbols.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no file {path}: give a text file with one gene a line")
    text = read_whole(path)
    found = parse_genes(text.content, path.name)
    return GeneList(found.genes, text.notes + found.notes)


def parse_genes(content: str, name: str) -> GeneList:
    """Read genes from text: lines, separated words, or the column of a table that holds them.

    Lines that start with ``#`` and a header are left out, quotation marks taken off. Of a table the column
    is taken that is called ``gene``, ``symbol`` and the like, else the first whose entries are symbols.

    Parameters
    ----------
    content
        The text.
    name
        What it is called in messages.

    Raises
    ------
    InputError
        If it holds no gene symbols.
    """
    lines = [line for line in tidy_text(content).split("\n") if line.strip(' \t,;|"')]
    body = [line for line in lines if not line.lstrip().startswith("#")]
    notes = []
    if len(body) < len(lines):
        notes.append(f"{_lines(len(lines) - len(body))} of {name} starting with # left out")
    if not body:
        raise InputError(f"{name} holds no genes: give gene symbols, one a line")
    separator = find_separator(body) if len(body) > 1 else None
    rows = [header_fields(line, separator) for line in body] if separator else [[line] for line in body]
    if separator and _is_table(rows):
        words, said = _column(rows, name, separator)
        notes.append(said)
    else:
        words = [word for line in body for word in _words(line)]
        if _is_header(unquote(body[0])) or _is_header(words[0]):
            taken = len(_words(body[0])) if len(body) > 1 or _is_header(unquote(body[0])) else 1
            notes.append(f"the header {unquote(body[0])[:40]!r} of {name} left out")
            words = words[taken:]
    genes = tuple(dict.fromkeys(word for word in map(unquote, words) if word.lower() not in _NOTHING))
    symbols = sum(bool(_SYMBOL.fullmatch(gene) and _LETTER.search(gene)) for gene in genes)
    if symbols <= 0.5 * len(genes):
        shown = ", ".join(repr(gene[:30]) for gene in genes[:3])
        what = f"{shown} ... are no gene symbols" if genes else "it is empty"
        raise InputError(f"{name} holds no genes ({what}): give gene symbols, one a line")
    return GeneList(genes, tuple(notes))


def _words(line: str) -> list[str]:
    """Split a line at anything that a symbol can't hold; the marks of R's and Python's lists vanish."""
    line = re.sub(r"(^|[\s,;=])c\(", " ", line)
    return [word for word in re.split(r"[\s,;|\"'`\u2018\u2019\u201c\u201d\[\](){}]+", line) if word]


def _is_header(text: str) -> bool:
    return re.sub(r"[\s-]+", "_", text.strip().lower()) in _HEADERS


def _is_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether lines of equal length are a table, and not words that happen to stand so."""
    if any(_is_header(unquote(field)) for field in rows[0]):
        return True
    if len(rows[0]) < len(rows[-1]):  # no field above the row names: those are numbers then
        return all(_NUMBER.fullmatch(unquote(row[0])) for row in rows[1:])
    fields = [unquote(field) for row in rows for field in row]
    return not all(_SYMBOL.fullmatch(field) and not _NUMBER.fullmatch(field) for field in fields)


def _column(rows: list[list[str]], name: str, separator: str) -> tuple[list[str], str]:
    """Return the entries of the column of a table that holds genes, and what was taken."""
    width = max(map(len, rows))
    if len(rows[0]) == width - 1:  # R writes no field above the row names
        rows = [["", *rows[0]], *rows[1:]]
    columns = [[unquote(row[i]) if i < len(row) else "" for row in rows] for i in range(width)]
    shares = [_share_of_symbols(column[1:]) for column in columns]
    named = [i for i, column in enumerate(columns) if _is_header(column[0]) and shares[i] > 0.5]
    # 'id' or 'name' may be the numbers of rows: a telling header counts before them.
    named.sort(key=lambda i: _HEADERS.index(re.sub(r"[\s-]+", "_", columns[i][0].lower())))
    usable = [i for i, share in enumerate(shares) if share > 0.5]
    if not (named or usable):
        raise InputError(
            f"{name} is a table ({width} columns, separated by {separator_name(separator)}) and none of them "
            f"holds gene symbols; its first line is {' | '.join(rows[0])[:80]!r}"
        )
    header = bool(named) or any(
        any(column[1:]) and shares[i] <= 0.5 and not _NUMBER.fullmatch(column[0])
        for i, column in enumerate(columns)
    )
    chosen = (named or usable)[:1] if header else usable
    symbols = [i for i in chosen if not ENSEMBL.fullmatch(columns[i][-1])]
    chosen = symbols or chosen
    filled = sum(any(column[1:]) for column in columns)
    entries = [entry for i in chosen for entry in columns[i][1 if header else 0 :]]
    if filled == 1 and not header:
        return entries, f"{name} has {separator_name(separator)} after each gene and nothing behind them"
    title = f" {columns[chosen[0]][0]!r}" if header and columns[chosen[0]][0] else ""
    which = "column " + ", ".join(str(i + 1) for i in chosen) + title
    return entries, f"{name} is a table of {width} columns: the genes are those of {which}"


def _share_of_symbols(column: Sequence[str]) -> float:
    filled = [entry for entry in column if entry.lower() not in _NOTHING]
    if not filled:
        return 0.0
    good = [bool(_SYMBOL.fullmatch(e) and _LETTER.search(e) and not _NUMBER.fullmatch(e)) for e in filled]
    # A column of few different words is a description of genes: a cluster, a direction, a chromosome.
    return sum(good) / len(filled) if len(set(filled)) > 0.2 * len(filled) else 0.0


def _lines(n: int) -> str:
    return f"{n:,} line{'' if n == 1 else 's'}"
