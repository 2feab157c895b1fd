"""Read gene sets: GMT, one term a line, name, description, genes, separated by tabs; or GMX, one a column."""

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from sgm_core.cells.text_file import read_whole, unquote
from sgm_core.errors import InputError, NotFoundError

_LIKE_GENE = re.compile(r"[A-Z][A-Z0-9]{1,11}(-[A-Z0-9]+)?|C\d+orf\d+")
_SHAPE = "a GMT line is a name, a description and at least one gene, separated by tabs"


@dataclass(frozen=True)
class GeneSets:
    """The terms of a GMT file and what had to be put right.

    `blank_lines` counts the lines that were skipped; `merged` names the terms that stood on several lines,
    whose genes were joined; `empty` the terms without a gene, which were left out; `notes` says what else had
    to be assumed.
    """

    terms: dict[str, list[str]]
    blank_lines: int = 0
    merged: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def genes(self) -> set[str]:
        """All genes of all terms."""
        return {gene for members in self.terms.values() for gene in members}

    @property
    def put_right(self) -> tuple[str, ...]:
        """What was put right or assumed, a phrase each."""
        said = []
        if self.merged:
            said.append(f"{len(self.merged):,} repeated terms merged")
        if self.blank_lines:
            said.append(f"{self.blank_lines:,} blank lines skipped")
        if self.empty:
            said.append(f"{len(self.empty):,} terms without a gene left out (such as {self.empty[0]!r})")
        return (*said, *self.notes)

    def describe(self) -> str:
        """Say what the file holds and what was put right, in one line."""
        return "; ".join((f"{len(self.terms):,} terms, {len(self.genes):,} genes", *self.put_right))


def read_gmt(path: str | Path) -> dict[str, list[str]]:
    """Read a GMT file: term -> genes, in the file's order. `read_gene_sets` also says what it put right."""
    return read_gene_sets(path).terms


def read_gene_sets(path: str | Path) -> GeneSets:
    """Read a GMT file, gzipped or not, or a GMX file (by its name).

    Names and genes are stripped, each gene counts once a term, blank lines and lines that start with ``#``
    are
    skipped, a term on several lines gets the genes of all, terms without a gene are left out, and Enrichr's
    weights (``GENE,1.0``) are cut off.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is not a GMT file, with the number of the first wrong line; if its descriptions are missing, so
        that the first gene of each term would be taken for one.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no file {path}")
    text = read_whole(path)
    lines = text.lines[:-1] if text.content.endswith("\n") else text.lines
    notes, texts = list(text.notes), []
    for line in lines:
        texts.append("" if line.startswith("#") else line)
    comments = sum(line.startswith("#") for line in lines)
    if comments:
        notes.append(f"{comments:,} lines that start with # skipped")
    rows = [[unquote_field(field) for field in line.split("\t")] if line.strip() else [] for line in texts]
    if path.name.lower().removesuffix(".gz").endswith(".gmx"):
        rows = [_trimmed(column) for column in zip_longest(*filter(None, rows), fillvalue="")]
        notes.append("read as GMX: one set a column")
    terms: dict[str, dict[str, None]] = {}
    merged: dict[str, None] = {}
    empty: dict[str, None] = {}
    descriptions: list[tuple[str, str]] = []
    for number, row in enumerate(rows, start=1):
        if not any(row):
            continue
        name, *rest = row
        genes = [gene for field in rest[1:] if (gene := field.split(",")[0].strip())]
        if not name or not rest:
            raise InputError(f"{path.name}, line {number} is no gene set: {_SHAPE}")
        if not genes:
            empty[name] = None
            continue
        if name in terms:
            merged[name] = None
        descriptions.append((name, rest[0]))
        terms.setdefault(name, {}).update(dict.fromkeys(genes))
    if not terms or len(empty) > len(terms):
        what = f"{len(empty):,} of {len(empty) + len(terms):,} lines have no gene" if empty else "it is empty"
        raise InputError(f"{path.name} holds no gene set ({what}): {_SHAPE}")
    _check_descriptions(path, descriptions, {gene for genes in terms.values() for gene in genes})
    sets = {name: list(genes) for name, genes in terms.items()}
    blank = sum(not any(row) for row in rows) - comments
    return GeneSets(
        sets, max(blank, 0), tuple(merged), tuple(n for n in empty if n not in terms), tuple(notes)
    )


def unquote_field(field: str) -> str:
    """Return a field stripped; quotation marks go only where they enclose it ('de novo' is part of names)."""
    field = field.strip()
    return unquote(field) if len(field) > 1 and field[0] == field[-1] == '"' else field


def _trimmed(column: tuple[str, ...]) -> list[str]:
    filled = [i for i, field in enumerate(column) if field]
    return list(column[: filled[-1] + 1]) if filled else []


def _check_descriptions(path: Path, found: list[tuple[str, str]], genes: set[str]) -> None:
    """Refuse a file whose second fields are genes: without descriptions each term would lose its first."""
    filled = [text for name, text in found if text and text != name]
    inside = [text for text in filled if text.split(",")[0].strip() in genes]
    like = sum(bool(_LIKE_GENE.fullmatch(text)) for text in set(filled))
    share = 0.2 if like > 0.9 * len(filled) else 0.5
    if len(filled) > 0.5 * len(found) and len(inside) > share * len(filled):
        raise InputError(
            f"the descriptions of {path.name} seem to be missing: the second field of {len(inside):,} "
            "of its "
            f"{len(found):,} lines is a gene (such as {inside[0]!r}), which would be lost; put an empty "
            "field "
            "after each name"
        )


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without their ends.

    Raises
    ------
    NotFoundError, InputError
        If it does not exist, or is no text.
    """
    if not path.is_file():
        raise NotFoundError(f"no file {path}")
    content = read_whole(path).content
    return content.removesuffix("\n").split("\n") if content else []
