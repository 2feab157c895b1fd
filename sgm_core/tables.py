"""The tables of a run on disk: one parquet file each, or a folder of parts that together are the table.

Parts are written once and never again: a comparison's predictions have millions of rows, and a part more
must not cost the writing of the others. A reader that says what it wants (``arm="self-guided"``) reads only
the parts and row groups that can hold it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgm_core import home
from sgm_core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def table_path(folder: Path, name: str) -> Path:
    """Return where a table is or would be: a file, or a folder of parts."""
    file = folder / f"{home.check_name(name, 'table')}.parquet"
    parts = folder / name
    return parts if not file.is_file() and _has_parts(parts) else file


def table_names(folder: Path) -> list[str]:
    """Return the names of the tables that a folder holds, sorted."""
    names = {path.stem for path in folder.glob("[!.]*.parquet") if path.is_file()}
    return sorted(names | {path.name for path in folder.iterdir() if _has_parts(path)})


def part_path(folder: Path, name: str, part: str) -> Path:
    """Return where the part `part` of a table is or would be."""
    return folder / home.check_name(name, "table") / f"{part}.parquet"


def stamp(path: Path) -> int:
    """Return what changes when a table does (another part, or one replaced); 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def read(
    path: Path,
    columns: list[str] | None = None,
    filters: list[Any] | None = None,
    equal: Mapping[str, Any] | None = None,
    categories: bool = False,
) -> pd.DataFrame:
    """Read a table, or a part of it.

    Parameters
    ----------
    path
        From `table_path`.
    columns
        Those to read; all by default.
    filters
        As in `pandas.read_parquet`.
    equal
        Column and the value that its rows must have; other parts of the file are not read.
    categories
        Text columns as categories, one byte a row and not eight.

    Raises
    ------
    InputError
        If the table lacks one of the columns.
    """
    from pyarrow import dataset, parquet, types

    wanted = [*(filters or ()), *((name, "==", value) for name, value in (equal or {}).items())]
    source = dataset.dataset(path, format="parquet")
    lacking = {*(columns or ()), *(equal or ())} - set(source.schema.names)
    if lacking:
        there = ", ".join(source.schema.names)
        raise InputError(f"table {path.stem!r} has no column {sorted(lacking)[0]!r}: it has {there}")
    text = [field.name for field in source.schema if types.is_string(field.type)] if categories else None
    table = parquet.read_table(path, columns=columns, filters=wanted or None, read_dictionary=text)
    return table.to_pandas()


def write(path: Path, frame: pd.DataFrame, group: int | None = None) -> None:
    """Write a table or a part of one (zstd), atomically; categories become plain text.

    Parameters
    ----------
    path
        From `table_path` or `part_path`.
    frame
        The rows.
    group
        Rows that lie together: what a filter can skip.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pandas(frame, preserve_index=False)
    # each part has categories of its own, and readers put parts together
    columns = {
        name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        for name, column in zip(table.column_names, table.columns)
    }
    table = pa.table(columns)
    with home.whole_file(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd", row_group_size=group)


def _has_parts(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("[!.]*.parquet"))
