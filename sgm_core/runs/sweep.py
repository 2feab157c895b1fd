"""Clean up what ended processes and finished imports left in the home folder."""

import shutil
import time
from pathlib import Path

from sgm_core import home
from sgm_core.resources.download import forget_abandoned
from sgm_core.runs.store import list_runs
from sgm_core.runs.trash import empty_trash
from sgm_core.saved import FOLDER as STATE

_UPLOAD_S = 86400.0
"""An upload that no import has asked for is kept so long: the person may still be choosing its columns."""


def sweep() -> list[Path]:
    """Delete leftovers; returns what that was.

    That is what killed processes left half-written, uploads whose import is done or was never asked for
    within a day, downloads that nobody took up again for a month, and runs deleted over a week ago. An
    upload stays as long as its import is not done, for it may be resumed. Checkpoints of a run that is done
    are there only if its process was killed just then.
    """
    return [*home.sweep(), *_uploads(), *_checkpoints(), *forget_abandoned(), *empty_trash()]


def _checkpoints() -> list[Path]:
    left = [run.path / STATE for run in list_runs() if (run.path / STATE).is_dir() and run.state == "done"]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return left


def _uploads() -> list[Path]:
    imports = [run for run in list_runs() if run.kind == "import"]
    wanted: set[Path] = set()
    used: set[Path] = set()
    for run in imports:
        for key in ("path", "cells", "genes", "aliases"):
            path = Path(run.parameters.get(key) or "")
            (used if run.state == "done" else wanted).update((path, path.parent))
    swept = []
    for upload in home.folder("uploads").iterdir():
        if upload.name.startswith(".") or upload in wanted:
            continue
        if upload in used or time.time() - upload.stat().st_mtime > _UPLOAD_S:
            if upload.is_dir():
                shutil.rmtree(upload, ignore_errors=True)
            else:
                upload.unlink(missing_ok=True)
            swept.append(upload)
    return swept
