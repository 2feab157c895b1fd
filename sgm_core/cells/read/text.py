"""Read tables of text: cells x genes or genes x cells, comma, semicolon or tab, gzipped or not."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sgm_core.cells.columns import name_some, type_columns
from sgm_core.cells.gene_names import FREQUENT
from sgm_core.cells.read.source import CHUNK_VALUES, CountSource, name_cells
from sgm_core.cells.read.transpose import Transposer
from sgm_core.cells.text_file import find_encoding, find_separator, header_fields, open_text, tidy_text
from sgm_core.errors import InputError
from sgm_core.spreadsheet import restore, restored

_GENE_CORNER = (
    "gene",
    "genes",
    "gene_name",
    "genename",
    "symbol",
    "gene_symbol",
    "gene_id",
    "geneid",
    "hgnc",
)
_CELL_CORNER = ("cell", "cells", "cell_id", "cellid", "cell_name", "barcode", "barcodes")
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{1,9}(-[A-Z0-9]+)?|C\d+orf\d+")
_BARCODE = re.compile(r".*[ACGTN]{8,}.*")
_LOOK = 20
_PEEK = 5
# What tables of counts by gene say about genes: featureCounts, BioMart, RSEM.
_GENE_ABOUT = (
    "chr", "chrom", "chromosome", "chromosome_name", "start", "start_position", "end", "end_position",
    "strand", "length", "gene_length", "effective_length", "width", "symbol", "gene_symbol", "gene_name",
    "genename", "hgnc_symbol",
    "hgnc", "gene_id", "geneid", "ensembl", "ensembl_id", "ensembl_gene_id", "external_gene_name", "entrez",
    "entrezid", "entrez_id", "entrezgene", "gene_type", "gene_biotype", "biotype", "description", "type",
    "transcript_id", "transcript_id(s)", "locus",
)  # fmt: skip
# What tables of counts by cell say about cells: scanpy, Seurat, reductions, clinical data.
_CELL_ABOUT = re.compile(
    r"(log1p_)?(n|total|num)[_.]?(counts?|genes?|umis?|features?|reads?)([_.]\w+)?|n(count|feature)_\w+|"
    r"pct[._]\w+|percent[._]?\w*|perc[._]\w+|mito(_\w+)?|age(_\w+)?|sex|gender|batch(_?id)?|sample(_?id)?|"
    r"patient(_?id)?|donor(_?id)?|day|time_?point|(seurat_)?cluster(s|_?id)?|leiden\w*|louvain\w*|rna_snn_res.*|"
    r"(x_)?(umap|t-?sne|pca?|phate|harmony|diffmap|ica?)[_. "
    r"-]?\d+|doublet\w*|scrublet\w*|(s|g2m|g1)[._]score|"
    r"size_?factors?|library(_?\w+)?|lane|plate|well|is_\w+|score|weight|bmi|blasts?|survival\w*|unnamed: \d+"
)
_GENE_NAME = re.compile(
    r"ENS[A-Z]*[GT]\d{9,}.*|(GRC|hg\d|mm\d|T2T).*[-_].+|[A-Z][A-Z0-9]*(orf\d+\w*)?([-./@][A-Za-z0-9.@/-]+)*|"
    r"\d+[A-Z]\w*([-.]\w+)*|(sno|hsa-|uc_|yR|bP-|XXbac|bA|dJ|Y_|Metazoa_|Vault|snR|scaRNA|mt-|ERCC|U\d).*|__\w+|"
    r"N_(unmapped|multimapping|noFeature|ambiguous)|\d{1,2}-[A-Za-z]{3}"
)


@dataclass(frozen=True)
class Layout:
    """How a table of text is laid out.

    Parameters
    ----------
    separator
        Between fields.
    top
        The names in the first line.
    left
        The names in the first column.
    corner
        The field above the first column, empty if there is none.
    encoding
        Of the file.
    skip
        Lines before the names: comments.
    decimal
        What separates decimals.
    empty
        Numbers of the lines after the names that hold separators only: a spreadsheet leaves them.
    sample
        The fields of the first lines after the names, without the first field.
    notes
        What had to be assumed.
    """

    separator: str
    top: list[str]
    left: list[str]
    corner: str
    encoding: str = "utf-8"
    skip: int = 0
    decimal: str = "."
    empty: frozenset[int] = frozenset()
    sample: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def parsing(self) -> dict[str, Any]:
        """How pandas has to read what follows the names."""
        separator = r"\s+" if self.separator == " " else self.separator
        return {"sep": separator, "header": None, "skiprows": self.skip + 1, "decimal": self.decimal}


def read_layout(path: Path) -> Layout:
    """Read the names on both axes of a table.

    Raises
    ------
    InputError
        If it is empty, its lines don't fit its first one, or its numbers can't be told from text.
    """
    encoding, said = find_encoding(path)
    notes = list(said)
    with open_text(path, encoding) as stream:
        skip, first = 0, stream.readline()
        while first and (first.startswith("#") or not first.strip()):
            skip, first = skip + 1, stream.readline()
        head = [line for line in (stream.readline() for _ in range(_PEEK)) if line.strip()]
        first = tidy_text(first).rstrip("\n")
        lines = [first, *(tidy_text(line).rstrip("\n") for line in head)]
        separator = find_separator(lines) or max("\t,;", key=first.count)
        top = [restore(name) for name in header_fields(first, separator)]
        sample = tuple(tuple(header_fields(line, separator)[1:]) for line in lines[1:])
        width = len(sample[0]) + 1 if sample else 0
        left: list[str] = []
        empty: list[int] = []
        commas = False
        numbers = _decimals(separator)
        for line in itertools.chain(head, stream):
            if not line.strip():
                continue
            if not line.strip(separator + '" \t\r\n'):
                empty.append(len(left) + len(empty))
                continue
            if numbers and "," in line:
                commas = numbers(path, line) or commas
            left.append(restore(_first_field(line, separator)))
    if not left or len(top) < 2:
        raise InputError(f"{path.name} is no table: names, then a line for each cell or gene, are expected")
    # R writes no field above the row names.
    corner = "" if width == len(top) + 1 else top.pop(0)
    if width != len(top) + 1:
        raise InputError(
            f"{path.name} is damaged: {len(top) + 1} fields in its first line, {width} in the next"
        )
    while top and not top[-1] and not any(row[len(top) - 1] for row in sample if len(row) >= len(top)):
        top.pop()
    if skip:
        notes.append(f"the lines before the names of {path.name} are comments or blank ({skip}): left out")
    if separator == " ":
        notes.append(f"{path.name} is separated by blanks")
    if empty:
        notes.append(f"empty lines of {path.name} were left out ({len(empty):,})")
    if commas:
        notes.append(f"{path.name} writes numbers with a decimal comma ('1,0'): read as that")
    return Layout(
        separator,
        top,
        left,
        corner,
        encoding,
        skip,
        "," if commas else ".",
        frozenset(empty),
        sample,
        tuple(notes),
    )


def _first_field(line: str, separator: str) -> str:
    if line.startswith('"') and (end := line.find('"', 1)) > 0:
        return line[1:end].strip()
    return tidy_text(line.split(separator, 1)[0]).strip().strip('"')


def _decimals(separator: str) -> Callable[[Path, str], bool] | None:
    """Return a test of whether a line has numbers with a decimal comma; it refuses what may be thousands."""
    if separator == ",":
        return None
    between = rf'(?:^|[{re.escape(separator)}])"?\s*'
    end = rf'\s*"?(?=[{re.escape(separator)}\r\n]|$)'
    decimal = re.compile(rf"{between}\d+,\d+{end}")
    thousands = re.compile(rf"{between}(\d{{1,3}}(?:,\d{{3}})+){end}")

    def test(path: Path, line: str) -> bool:
        if found := thousands.search(line):
            raise InputError(
                f"{path.name} has numbers such as {found[1]!r}, which may mean thousands or decimals: "
                "write whole "
                "numbers without commas"
            )
        return bool(decimal.search(line))

    return test


def genes_on_the_left(path: Path, layout: Layout, columns: Collection[str]) -> bool:
    """Tell genes x cells from cells x genes.

    By the top left field, by the columns asked for (they describe cells), by the names of genes that every
    sample has, and last by the look of symbols and barcodes.

    Raises
    ------
    InputError
        If it cannot be told.
    """
    corner = layout.corner.lower()
    if corner in _GENE_CORNER or corner in _CELL_CORNER:
        return corner in _GENE_CORNER
    if set(columns) & set(layout.top):
        return False
    for score in (_frequent, _look):
        left, top = score(layout.left), score(layout.top)
        if left != top:
            return left > top
    raise InputError(
        f"can't tell which side of {path.name} holds the genes: write 'gene' or 'cell' in its top left field"
    )


def _frequent(names: Sequence[str]) -> float:
    return sum(bool(FREQUENT.fullmatch(name)) for name in names)


def _look(names: Sequence[str]) -> float:
    barcodes = np.mean([bool(_BARCODE.fullmatch(name)) for name in names])
    return float(np.mean([bool(_SYMBOL.fullmatch(name)) for name in names]) - barcodes)


def read_text(path: Path, scratch: Path, columns: Collection[str] = ()) -> CountSource:
    """Open a table of text.

    Parameters
    ----------


    path
        CSV or TSV, ``.gz`` allowed. In cells x genes, columns of text and those whose names are no genes'
        while
        most are describe the cells; in genes x cells, such columns describe the genes.
    scratch
        A folder for temporary files.
    columns
        Names of columns that describe cells even if they hold numbers; they stay text.
    """
    layout = read_layout(path)
    notes = list(layout.notes)
    if genes_on_the_left(path, layout, columns):
        about = gene_columns(layout)
        places = [i for i in range(1, len(layout.top) + 1) if i not in about]
        obs = name_cells(pd.DataFrame(index=range(len(places))), [layout.top[i - 1] for i in places])
        transposer = Transposer(scratch, len(places), len(layout.left))
        for first, values in number_blocks(path, layout, places):
            genes, cells = np.nonzero(values)
            transposer.add(cells, genes + first, values[genes, cells])
        var, kind = pd.DataFrame({"gene": layout.left}), "genes x cells"
        if about:
            described = _descriptions(path, layout, about)
            var = var.join(described.drop(columns="gene", errors="ignore"))
            notes.append(f"columns about genes, no cells: {name_some(described.columns)}")
    else:
        about, said = cell_columns(path, layout, columns)
        described, typed = type_columns(_descriptions(path, layout, about), columns)
        notes += [*said, *typed]
        obs = name_cells(described, layout.left)
        places = [i for i in range(1, len(layout.top) + 1) if i not in about]
        var, kind = pd.DataFrame({"gene": [layout.top[i - 1] for i in places]}), "cells x genes"
        transposer = Transposer(scratch, len(layout.left), len(places))
        for first, values in number_blocks(path, layout, places):
            cells, genes = np.nonzero(values)
            transposer.add(cells + first, genes, values[cells, genes])
    return CountSource(path, f"text, {kind}", "the table", obs, var, transposer.chunks, notes=notes)


def gene_columns(layout: Layout) -> list[int]:
    """Return the fields of a genes x cells table that describe genes: positions, lengths, symbols, text."""
    return [
        i
        for i, name in enumerate(layout.top, start=1)
        if name.lower().replace(" ", "_") in _GENE_ABOUT or _is_text(layout, i)
    ]


def _is_text(layout: Layout, place: int) -> bool:
    fields = [row[place - 1] for row in layout.sample if len(row) >= place]
    number = re.compile(r"[-+]?[\d.,]*(\d|[eE][-+]?\d+)|nan|inf", re.IGNORECASE)
    filled = [field for field in fields if field]
    return bool(filled) and not any(map(number.fullmatch, filled))


def cell_columns(path: Path, layout: Layout, columns: Collection[str]) -> tuple[list[int], list[str]]:
    """Return the fields of a cells x genes table that describe cells, and what was assumed.


    Those asked for; text or nothing in the first lines; names that are no genes' (``age``, ``n_counts``)
    while
    most are.
    """
    with open_text(path, layout.encoding) as stream:
        head = pd.read_csv(stream, nrows=_LOOK, **layout.parsing)
    about = {
        i
        for i, name in enumerate(layout.top, start=1)
        if name in columns or not pd.api.types.is_numeric_dtype(head[i].dtype) or head[i].isna().all()
    }
    rest = {i: name for i, name in enumerate(layout.top, start=1) if i not in about}
    known = {i for i, name in rest.items() if _CELL_ABOUT.fullmatch(name.lower())}
    strange = {i for i, name in rest.items() if i not in known and not _GENE_NAME.fullmatch(name)}
    notes = []
    if strange and len(strange) > max(20, 0.01 * len(rest)):
        shown = name_some(rest[i] for i in sorted(strange))
        notes.append(f"{len(strange):,} columns are not named like human genes ({shown}) and count as genes")
        strange = set()
    if known | strange:
        shown = name_some((rest[i] for i in sorted(known | strange)), 10)
        notes.append(f"columns about cells, no genes: {shown}")
    return sorted(about | known | strange), notes


def _descriptions(path: Path, layout: Layout, about: Sequence[int]) -> pd.DataFrame:
    """Read the fields `about` of every line as text, in blocks: the parser holds whole lines."""
    names = [layout.top[i - 1] for i in about]
    repeated = [name for name, number in Counter(names).items() if number > 1]
    if repeated:
        raise InputError(
            f"{path.name} has several columns called {repeated[0]!r}: give each a name of its own"
        )
    with open_text(path, layout.encoding) as stream:
        blocks = list(
            pd.read_csv(
                stream, usecols=[0, *about], dtype=str, keep_default_na=False,
                chunksize=_lines(len(layout.top)), **layout.parsing,
            )
        )  # fmt: skip
    table = pd.concat(blocks, ignore_index=True).drop(index=list(layout.empty))
    table = table[list(about)].reset_index(drop=True)
    return restored(table.fillna("").set_axis(names, axis=1))


def _lines(n_fields: int) -> int:
    """Return how many lines to parse at once: enough that the cost of each column's set-up is small."""
    return max(1, 8 * CHUNK_VALUES // max(1, n_fields))


def number_blocks(path: Path, layout: Layout, places: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Give (number of the first line, float32 lines x `places`) of a table; an empty field is NaN.

    Raises
    ------
    InputError
        If a field is no number or a line has too many fields.
    """
    done, read = 0, 0
    with open_text(path, layout.encoding) as stream:
        try:
            blocks = pd.read_csv(
                stream, usecols=list(places), dtype=np.float32, chunksize=_lines(len(layout.top)),
                **layout.parsing,
            )  # fmt: skip
            for block in blocks:
                empty = [i - read for i in layout.empty if read <= i < read + len(block)]
                read += len(block)
                values = np.delete(block.to_numpy(), empty, axis=0) if empty else block.to_numpy()
                yield done, values
                done += len(values)
        except ValueError as error:
            where = _first_text(path, layout, places)
            raise InputError(
                f"{path.name} has no counts in some line after {done + 1}: {where or error}"
            ) from error
    if done != len(layout.left):
        raise InputError(f"{path.name} is damaged: {done} lines of counts for {len(layout.left)} names")


def _first_text(path: Path, layout: Layout, places: Sequence[int]) -> str:
    """Return where the first field stands that is no number; nothing if the lines can't be parsed at all."""
    done = 0
    try:
        with open_text(path, layout.encoding) as stream:
            blocks = pd.read_csv(
                stream, usecols=list(places), dtype=str, chunksize=_lines(len(layout.top)), **layout.parsing
            )
            for block in blocks:
                for place in places:
                    texts = block[place].dropna().str.replace(layout.decimal, ".")
                    wrong = texts[pd.to_numeric(texts, errors="coerce").isna()]
                    if len(wrong):
                        line = done + int(wrong.index[0]) - int(block.index[0])
                        line -= sum(i < line for i in layout.empty)
                        return (
                            f"{wrong.iloc[0][:40]!r} in the line of {layout.left[line]!r}, column "
                            f"{layout.top[place - 1]!r}; columns about cells belong into a table of "
                            "their own (--cells)"
                        )
                done += len(block)
    except ValueError:
        pass
    return ""
