"""Import a table of coordinates and labels without expression: a published map to look at."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sgm_core.cells.cell_table import read_table
from sgm_core.cells.columns import name_some, type_columns
from sgm_core.cells.dataset import Dataset
from sgm_core.cells.gene_names import FREQUENT
from sgm_core.cells.labels import check_cells
from sgm_core.cells.maps import coordinate_pairs, map_name
from sgm_core.cells.read.source import refuse_empty
from sgm_core.cells.text_file import find_encoding, find_separator, header_fields, open_text
from sgm_core.cells.write import plain_table, write_dataset
from sgm_core.errors import InputError
from sgm_core.progress import Observer

_PARQUET = (".parquet", ".pq")
_TEXT = re.compile(r".*\.(csv|tsv|txt|tab)(\.gz)?", re.IGNORECASE)
_NAMES = ("cell", "cell_id", "cellid", "cell_name", "barcode", "barcodes", "index", "", "unnamed: 0")
_CELL_TYPES = ("cell_type", "celltype", "ennis_cell_type", "annotation", "cell_label", "label", "cluster")
_MOST_GENES = 2  # columns called like frequent genes that a table of coordinates may have
_MOST_LEVELS = 200
_LOOK = 5


@dataclass(frozen=True)
class CoordinateTable:
    """A table of coordinates and labels, read.

    Parameters
    ----------
    obs
        One row a cell, column ``cell`` = its name; no coordinates.
    maps
        Coordinates, float32 (n_cells, 2) by name; NaN where a cell has no place.
    notes
        What was assumed.
    """

    obs: pd.DataFrame
    maps: dict[str, np.ndarray]
    notes: list[str]

    def likely_cell_type(self) -> str | None:
        """Return the one column that is obviously the cell type, None if none or several may be."""
        named = [str(name) for name in self.obs if str(name).lower() in _CELL_TYPES]
        if named:
            return min(named, key=lambda name: _CELL_TYPES.index(name.lower()))
        texts = [
            str(name)
            for name, values in self.obs.items()
            if name != "cell" and values.dtype.kind == "O" and 2 <= values.nunique() <= _MOST_LEVELS
        ]
        return texts[0] if len(texts) == 1 else None


def is_coordinates(path: Path) -> bool:
    """Say whether a file is a table of coordinates and labels, by its name and the names of its columns.

    Parquet always is. A table of text is one if two of its columns are named as coordinates and at most two
    as genes; a table of counts may say where its cells are, too.
    """
    if not path.is_file():
        return False
    if path.suffix.lower() in _PARQUET:
        return True
    if not _TEXT.fullmatch(path.name):
        return False
    encoding, _ = find_encoding(path)
    with open_text(path, encoding) as stream:
        lines = [line.rstrip("\r\n") for line in (stream.readline() for _ in range(_LOOK))]
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    separator = find_separator(lines) if len(lines) > 1 else None
    if separator is None:
        return False
    columns = header_fields(lines[0], separator)
    genes = sum(bool(FREQUENT.fullmatch(column)) for column in columns)
    return bool(coordinate_pairs(columns)) and genes <= _MOST_GENES


def read_coordinates(path: Path, named: Sequence[str] | None = None) -> CoordinateTable:
    """Read a table of coordinates and labels: parquet, CSV or TSV, gzipped or not.

    Parameters
    ----------
    path
        The table, one row a cell.
    named
        The two columns with the coordinates; found by their names when None.

    Raises
    ------
    InputError
        If there are no such columns, or they hold something else than numbers.
    """
    table, notes = read_table(path)
    refuse_empty(path, len(table), 1)
    columns = [str(column) for column in table.columns]
    there = name_some(columns, 12)
    if named is None:
        pairs = coordinate_pairs(columns)
        if not pairs:
            raise InputError(
                f"{path.name} has no pair of columns that are named as coordinates (such as umap_x and "
                f"umap_y, or UMAP_1 and UMAP_2): name them with --map X Y; its columns are {there}"
            )
    else:
        for column in named:
            if column not in columns:
                raise InputError(f"{path.name} has no column {column!r} for --map; its columns are {there}")
        found = coordinate_pairs(list(named))
        pairs = {next(iter(found), map_name("map")): (named[0], named[1])}
    maps = {}
    for name, pair in pairs.items():
        maps[name] = np.column_stack([_numbers(path, table[column]) for column in pair])
        placed = int(np.isfinite(maps[name]).all(axis=1).sum())
        if not placed:
            raise InputError(f"no cell of {path.name} has a place in {pair[0]} and {pair[1]}")
        if placed < len(table):
            notes.append(f"the map {name} has {placed:,} of the {len(table):,} cells")
    obs = table.drop(columns=[column for pair in pairs.values() for column in pair])
    names = _cell_names(path, obs, notes)
    obs = obs.rename(columns={"cell": "cell_in_file", "": "unnamed"})
    texts = [name for name in obs if obs[name].dtype == object and isinstance(obs[name].iloc[0], str)]
    typed, said = type_columns(obs[texts]) if path.suffix.lower() not in _PARQUET and texts else (obs[[]], [])
    obs = obs.assign(**{str(name): typed[name] for name in typed})
    obs.insert(0, "cell", names)
    return CoordinateTable(obs, maps, notes + said)


def _numbers(path: Path, values: pd.Series) -> np.ndarray:
    """Return coordinates as float32, NaN where there is no value."""
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    texts = values.astype(object)
    wrong = (
        np.isnan(numbers) & texts.notna() & ~texts.astype(str).str.strip().str.lower().isin(("", "nan", "na"))
    )
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"column {values.name!r} of {path.name} holds {texts.iloc[row]!r} (row {row + 1:,}): coordinates "
            "are numbers; name other columns with --map X Y"
        )
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _cell_names(path: Path, obs: pd.DataFrame, notes: list[str]) -> list[str]:
    """Return the cells' names: the first column that is called so, if each is there once, else numbers."""
    likely = sorted((c for c in obs if str(c).lower() in _NAMES), key=lambda c: _NAMES.index(str(c).lower()))
    for column in likely:
        names = obs[column]
        if names.notna().all() and names.is_unique:
            return names.astype(str).tolist()
    if likely:
        repeated = int(obs[likely[0]].duplicated().sum())
        notes.append(
            f"column {likely[0]!r} of {path.name} repeats {repeated:,} of its names: the cells are called "
            "by their row"
        )
    return [f"row_{number}" for number in range(1, len(obs) + 1)]


def import_coordinates(
    path: Path,
    name: str,
    donor: str | None = None,
    cell_type: str | None = None,
    timepoint: str | None = None,
    unlabelled: Iterable[str] = (),
    named: Sequence[str] | None = None,
    observer: Observer | None = None,
    note: str = "",
) -> Dataset:
    """Import a table of coordinates and labels as the dataset `name`, without counts.

    Parameters
    ----------
    path
        Parquet, CSV or TSV.
    name
        The dataset's name.
    donor, cell_type, timepoint
        Columns; the cell type may be left out where one column obviously is it.
    unlabelled
        Values of `cell_type` that mean 'no label'; cells without a value have none.
    named
        The columns of the coordinates, x and y; found by their names when None.
    observer
        Is told what was assumed.
    note
        Kept with the dataset.

    Raises
    ------
    InputError
        What is wrong with the table and what to do.
    """
    observer = observer or Observer()
    table = read_coordinates(path, named)
    columns = [str(column) for column in table.obs.columns if column != "cell"]
    roles = {"donor": donor, "cell_type": cell_type or table.likely_cell_type(), "timepoint": timepoint}
    there = f"its columns are {name_some(columns, 12)}" if columns else "it has no other columns"
    for role, column in roles.items():
        option = "--" + role.replace("_", "-")
        if column is not None and column not in columns:
            raise InputError(f"{path.name} has no column {column!r} for {option}; {there}")
    if roles["cell_type"] is None:
        raise InputError(f"say which column of {path.name} is the cell type, with --cell-type; {there}")
    notes = list(table.notes)
    if cell_type is None:
        notes.append(f"column {roles['cell_type']!r} was taken for the cell type (--cell-type names another)")
    obs = plain_table(table.obs, [column for column in roles.values() if column], notes)
    declared = list(unlabelled)
    obs, known = check_cells(obs, roles, [*declared, "nan"], path.name, notes)
    if not obs[roles["cell_type"]].isna().any() and "nan" not in declared:
        known = tuple(value for value in known if value != "nan")
    for said in notes:
        observer.message(f"note: {said}")
    dataset = write_dataset(
        name,
        None,
        obs,
        [],
        roles,
        known,
        source={
            "path": str(path),
            "format": "coordinates and labels",
            "counts": "",
            "notes": notes,
        },
        note=note,
        maps=table.maps,
    )
    maps = ", ".join(table.maps)
    observer.message(f"dataset {name}: {dataset.n_cells:,} cells on the map {maps}, without counts")
    return dataset
