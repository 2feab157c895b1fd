"""Verdicts as files: CSV of those that hold, for people and spreadsheets; JSON of the whole history."""

import json
from pathlib import Path

from sgm_core import home
from sgm_core.errors import InputError
from sgm_core.review.store import history, verdicts
from sgm_core.runs.run import Run
from sgm_core.spreadsheet import csv_text

FORMATS = (".csv", ".json")
KIND, VERSION = "sgm verdicts", 1


def export_text(kind: str, run: str | Run | None = None) -> str:
    """Return the verdicts of a run, or of all, as the content of a file.

    Parameters
    ----------
    kind
        ``.csv`` (the verdicts that hold; no cell of it runs as a formula) or ``.json`` (every step).
    run
        A run or its ID.
    """
    if kind == ".csv":
        return csv_text(verdicts(run))
    steps = history(run).drop(columns="id").to_dict("records")
    content = {"kind": KIND, "version": VERSION, "steps": steps}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def export_verdicts(path: str | Path, run: str | Run | None = None) -> Path:
    """Write the verdicts of a run, or of all, as CSV or JSON (by the file's ending); replaces the file.

    Raises
    ------
    InputError
        If the ending is another one, or the file can't be written.
    """
    target = Path(path).expanduser().absolute()
    if target.suffix.lower() not in FORMATS:
        raise InputError(f"{target.name} must end in .csv (verdicts that hold) or .json (the whole history)")
    text = export_text(target.suffix.lower(), run)
    try:
        with home.whole_file(target) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(
            f"{target} can't be written ({error.strerror or error}): nothing was changed"
        ) from error
    return target
