"""Tables of cells beside the counts (``--cells``): read as they were saved, joined by the names of cells."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from sgm_core.cells.columns import as_text, name_some, tidy, type_columns
from sgm_core.cells.text_file import find_separator, header_fields, read_whole, separator_name
from sgm_core.errors import InputError
from sgm_core.spreadsheet import restored

_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
_NAMES = ("cell", "cell_id", "cellid", "cell id", "cell_name", "barcode", "barcodes", "index", "", "x")
_LOOK = 200
# What separates the names of cells in two files of the same cells: how it is said, what makes them equal.
_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("", tidy),
    ("without the number at the end ('-1')", lambda name: re.sub(r"[-._]\d+$", "", tidy(name))),
    ("with '-' for the '.' of R", lambda name: re.sub(r"^X(?=\d)", "", tidy(name)).replace(".", "-")),
)


def read_table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a table of cells: text with any usual separator and encoding, gzipped or not, or parquet.

    Row names without a header, as R writes them, become a column called ''. Nothing is converted.

    Returns
    -------
    table
        Columns of str (of any type in parquet).
    notes
        What had to be assumed.

    Raises
    ------
    InputError
        If it is no table; the message says what it is or in which line it breaks.
    """
    ending = path.suffix.lower()
    if ending in _SPREADSHEETS:
        raise InputError(f"{path.name} is a spreadsheet: save it as CSV and give that")
    if ending in (".parquet", ".pq"):
        return restored(_read_parquet(path)), []
    text = read_whole(path)
    notes = list(text.notes)
    lines = text.lines
    start = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    if any(line.strip() for line in lines[:start]):
        notes.append(f"the lines before the header of {path.name} that start with # were left out")
    head = [line for line in lines[start:] if line.strip()]
    if len(head) < 2:
        raise InputError(
            f"{path.name} holds no table of cells: a header and a line for each cell are expected"
        )
    separator = _separator(path, head)
    if separator not in "\t,":
        notes.append(f"{path.name} is separated by {separator_name(separator)}")
    return restored(_parse(path, "\n".join(lines[start:]), separator, start)), notes


def _separator(path: Path, lines: list[str]) -> str:
    found = find_separator(lines[:_LOOK]) or max("\t,;|", key=lines[0].count)
    if len(header_fields(lines[1], found)) < 2:
        raise InputError(
            f"{path.name} has one column only ({lines[0].strip()[:60]!r}): a table of cells has the "
            "cell's name "
            "and at least one column about it, separated by commas or tabs"
        )
    return found


def _parse(path: Path, content: str, separator: str, before: int) -> pd.DataFrame:
    # A blank in front of a quoted field would make the quotes part of it.
    reader = csv.reader(io.StringIO(content), delimiter=separator, skipinitialspace=separator in " ;,")
    rows: list[list[str]] = []
    width = 0
    try:
        for row in reader:
            if separator == " ":
                row = [field for field in row if field] if len(row) != width else row
            if not any(map(str.strip, row)):
                continue
            width = width or (len(row) if rows else 0)
            if width and len(row) != width:
                raise InputError(
                    f"{path.name}, line {reader.line_num + before} has {len(row)} fields and the lines "
                    "before it "
                    f"{width}: is it cut short, or is there a {separator!r} inside a field without quotes?"
                )
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{path.name}, line {reader.line_num + before} can't be read: {error}") from error
    header = [tidy(name) for name in rows[0]]
    if len(header) == width - 1:  # R writes no field above the row names
        header = ["", *header]
    if len(header) != width:
        raise InputError(f"{path.name} has {len(header)} fields in its header and {width} in its lines")
    table = pd.DataFrame(rows[1:], columns=range(width), dtype=object)
    filled = [i for i in range(width) if header[i] or (table[i].str.strip() != "").any()]
    table = table[filled].set_axis([header[i] for i in filled], axis=1)
    repeated = table.columns[table.columns.duplicated()]
    if len(repeated):
        raise InputError(
            f"{path.name} has several columns called {repeated[0]!r}: give each a name of its own"
        )
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # pyarrow has a class of errors for each way to be no parquet
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path.name} is no whole parquet file ({reason}): write it again") from error
    if not isinstance(table.index, pd.RangeIndex):
        names = table.index.astype(str)
        title = str(table.index.name or "")
        table = table.reset_index(drop=True)
        table.insert(0, title if title not in table else "", names)
    return table.set_axis([str(column) for column in table.columns], axis=1)


def add_cells(
    obs: pd.DataFrame, path: Path, file_name: str, notes: list[str], roles: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Join the table of cells `path` to `obs` by cell name.



    The names are those of the column that has most of the cells of `obs`; blanks around them don't matter.
    Its
    columns take the place of columns of the same name, whose values are kept as ``NAME_in_file``.

    Parameters
    ----------
    obs
        The cells, column ``cell`` = their names.
    path
        The table.
    file_name
        The file of counts, for messages.
    notes
        Is told what was assumed.
    roles
        Columns that stay text.

    Raises
    ------
    InputError
        If no name matches, or one that does occurs twice.
    """
    table, said = read_table(path)
    if not len(table):
        raise InputError(f"{path.name} has a header and no cell")
    notes.extend(said)
    cells = obs["cell"].astype(str)
    column, keys, wanted, how = _match(table, cells, path, file_name)
    used = keys.isin(set(wanted))
    if keys[used].duplicated().any():
        twice = table.loc[keys[used].index[keys[used].duplicated()][0], column]
        raise InputError(f"cell names repeat in column {column!r} of {path.name} (such as {twice!r})")
    if how:
        notes.append(f"the cells of {path.name} were found {how} in their names")
    found = int(wanted.isin(set(keys)).sum())
    if found < len(obs):
        notes.append(f"{path.name} names {found:,} of the {len(obs):,} cells of {file_name}")
    text = [name for name in table if not isinstance(table[name].dtype, pd.CategoricalDtype)]
    text = [name for name in text if name != column and all(isinstance(v, str) for v in table[name])]
    typed, said = type_columns(table[text], roles)
    notes.extend(said)
    table = table.drop(columns=column).assign(**typed) if text else table.drop(columns=column)
    table = table.rename(columns={"cell": "cell_in_table", "": "unnamed"})
    table = table[used.to_numpy()].set_axis(pd.Index(keys[used]), axis=0)
    joined = table.reindex(wanted).set_axis(obs.index, axis=0)
    obs = _give_way(obs, joined, path, notes)
    return obs.join(joined)


def _match(
    table: pd.DataFrame, cells: pd.Series, path: Path, file_name: str
) -> tuple[str, pd.Series, pd.Series, str]:
    """Return the column of names, its names and those of `cells` in a form that makes them equal, and how."""
    for how, form in _FORMS:
        wanted = cells.map(form)
        if how and wanted.duplicated().any():
            continue
        there = set(wanted)
        best: tuple[int, int, str] | None = None
        likely_first = sorted(map(str, table.columns), key=lambda name: name.lower() not in _NAMES)
        for column in likely_first:
            keys = as_text(table[column]).fillna("").map(form)
            hits = int(keys[keys.isin(there)].nunique())
            liked = str(column).lower() in _NAMES
            if hits and (best is None or (hits, liked) > best[:2]):
                best = (hits, int(liked), str(column))
            if hits == len(there):
                break
        if best:
            return best[2], as_text(table[best[2]]).fillna("").map(form), wanted, how
    first = _first_names(table)
    raise InputError(
        f"no cell name of {path.name} (such as {table[first].iloc[0]!r}) is in {file_name} "
        f"(such as {cells.iloc[0]!r}); its columns are {name_some(table.columns, 8)}"
    )


def _first_names(table: pd.DataFrame) -> str:
    return next((str(column) for column in table if str(column).lower() in _NAMES), str(table.columns[0]))


def _give_way(obs: pd.DataFrame, joined: pd.DataFrame, path: Path, notes: list[str]) -> pd.DataFrame:
    """Rename columns of `obs` that the table has too; the same content is dropped."""
    for column in obs.columns.intersection(joined.columns):
        if as_text(obs[column]).equals(as_text(joined[column])):
            obs = obs.drop(columns=column)
            continue
        notes.append(
            f"column {column!r} is taken from {path.name}; the file's own is kept as {column}_in_file"
        )
        obs = obs.rename(columns={column: f"{column}_in_file"})
    return obs
