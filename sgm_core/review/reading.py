"""Files of verdicts as steps: every row checked, nothing taken yet."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sgm_core.errors import InputError
from sgm_core.review import kinds
from sgm_core.review.export import KIND, VERSION
from sgm_core.review.store import COLUMNS, Verdict
from sgm_core.spreadsheet import restored

_NEEDED = ("gene", "reviewer", "verdict")


def read_steps(path: Path, run_id: str | None) -> list[Verdict]:
    """Return the rows of a file as steps; one without a time has an empty one.

    Parameters
    ----------
    path
        ``.json`` of `sgm_core.review.export`, else a table.
    run_id
        The run of rows that name none.

    Raises
    ------
    InputError
        If it is no such file, or a row of it can't be read: the message says which.
    """
    return (_read_json if path.suffix.lower() == ".json" else _read_csv)(path, run_id)


def _read_json(path: Path, run_id: str | None) -> list[Verdict]:
    from sgm_core.cells.text_file import read_whole

    try:
        content = json.loads(read_whole(path).content)
        if content["kind"] != KIND:
            raise KeyError("kind")
        version, given = content["version"], list(content["steps"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path.name} is no export of verdicts ({error!r}): `sgm review export` makes one"
        ) from error
    if version != VERSION:
        raise InputError(f"{path.name} is of a newer program (version {version}): update this one")
    return [_step(row, f"{path.name}, step {number}", run_id) for number, row in enumerate(given, start=1)]


def _read_csv(path: Path, run_id: str | None) -> list[Verdict]:
    import pandas as pd

    from sgm_core.cells.text_file import find_separator, read_whole

    content = read_whole(path).content
    separator = find_separator(content.split("\n")[:1]) or ","
    try:
        table = pd.read_csv(io.StringIO(content), sep=separator, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise InputError(
            f"{path.name} is no table of verdicts ({' '.join(str(error).split())[:120]})"
        ) from error
    table = restored(table)
    table.columns = pd.Index([str(name).strip().lower().replace(" ", "_") for name in table.columns])
    missing = [name for name in _NEEDED if name not in table]
    if "run" not in table and run_id is None:
        missing.append("run (or name it with --run)")
    if missing:
        raise InputError(
            f"{path.name} lacks {' and '.join(missing)}: a table of verdicts has {', '.join(COLUMNS)}"
        )
    rows = table[[name for name in COLUMNS if name in table]].to_dict("records")
    return [_step(row, f"{path.name}, row {number}", run_id) for number, row in enumerate(rows, start=2)]


def _step(row: Any, where: str, run_id: str | None) -> Verdict:
    """Return one row as a step, everything in it checked."""
    try:
        if not isinstance(row, dict):
            raise InputError("it is no row")
        texts = {name: row.get(name) for name in (*COLUMNS, "undoes")}
        wrong = [name for name, value in texts.items() if value is not None and not isinstance(value, str)]
        if wrong:
            raise InputError(f"{wrong[0]} is no text")
        undoes = texts["undoes"] or None
        gene = (texts["gene"] or "").strip()
        if not gene:
            raise InputError("it has no gene")
        return Verdict(
            run=(texts["run"] or run_id or "").strip(),
            ranking=kinds.check_comment(texts["ranking"] or ""),
            gene=gene,
            reviewer=kinds.check_reviewer(texts["reviewer"] or ""),
            verdict=None if undoes else kinds.check_verdict(texts["verdict"] or ""),
            tags=kinds.check_tags(texts["tags"] or ""),
            comment=kinds.check_comment(texts["comment"] or ""),
            time=_time(texts["time"] or ""),
            statistics_version=kinds.check_comment(texts["statistics_version"] or ""),
            undoes=undoes,
        )
    except InputError as error:
        raise InputError(f"{where}: {error}; nothing was taken") from error


def _time(text: str) -> str:
    """Return a time as the history writes it; empty stays empty."""
    if not text.strip():
        return ""
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(
            f"{text[:40]!r} is no time: write it as 2026-01-31T12:00:00Z, or leave it out"
        ) from error
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    if when > datetime.now(UTC) + timedelta(days=1):
        raise InputError(f"the time {text[:40]} has not come yet")
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
