"""Demo sessions: a home folder of their own beside the real one, and back to a clean state in a moment.

``$SGM_HOME/demo-session`` holds the simulated dataset and the analysis of it, and in ``.clean`` a copy of
both as they were when nobody had touched them. Nothing of the real home folder is ever written over.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import psutil

from sgm_core import demo, home
from sgm_core.access import acts
from sgm_core.access.record import FILE
from sgm_core.cells.dataset import list_datasets
from sgm_core.errors import InputError, SGMError
from sgm_core.runs.run import Run
from sgm_core.runs.store import cancel_run, list_runs

FOLDER = "demo-session"
_MARK = "demo-session.json"
_CLEAN = ".clean"
_KEPT = (_MARK, "resources", "weights", "uploads", "downloads", "logs", "tmp", FILE)
"""What a reset leaves: files that people brought are never deleted."""
_PATIENCE_S = 2.0
_MADE_BY_PEOPLE = ("selections",)


def is_session() -> bool:
    """Say whether the home folder is that of a demo session."""
    return (home.home() / _MARK).is_file()


def open_session() -> Path:
    """Make the demo session of this home folder, or put it back to its clean state; returns its folder.

    A finished analysis of the demo in the real home folder is taken over. The home folder of this process is
    the session's afterwards (``SGM_HOME``), and the analysis is started there where none is finished.

    Raises
    ------
    InputError
        If the folder is there and is no demo session, or holds measured cells: nothing is changed then.
    """
    real = home.home()
    target = real if is_session() else real / FOLDER
    if target.exists() and not (target / _MARK).is_file():
        raise InputError(
            f"{target} exists and is no demo session: move it away, it would be written over otherwise"
        )
    if not target.exists():
        source = _finished()
        with home.whole_folder(target) as folder:
            home.write_json(
                folder / _MARK, {"simulated": True, "note": "a demo session: reset at every start"}
            )
            if source is not None:
                _copy(real, folder / _CLEAN, source.id)
    os.environ["SGM_HOME"] = str(target)
    reset()
    run = demo.known_run()
    if run is None or run.state != "done":
        demo.ensure_demo()
    return target


@acts("start the demo over", lambda: home.home().name)
def reset() -> None:
    """Put the demo session that is the home folder back to its clean state.

    Without a finished analysis yet, the one under way goes on and all else goes.

    Raises
    ------
    InputError
        If the home folder is no demo session, or holds measured cells, which would be lost.
    """
    root = home.home()
    if not is_session():
        raise InputError(f"{root} is no demo session: nothing of it is reset")
    _refuse_measured(root)
    run = demo.known_run()
    _end([other for other in list_runs() if other.active and (run is None or other.id != run.id)])
    clean = root / _CLEAN
    if not _has_run(clean, run) and run is not None and run.state == "done":
        shutil.rmtree(clean, ignore_errors=True)
        _copy(root, clean, run.id)
    if not clean.is_dir():
        _forget_all_but(root, run)
        return
    with home.scratch(root / "reset") as fresh:
        for name in ("datasets", "runs"):
            shutil.copytree(clean / name, fresh / name)
        _empty(root, _KEPT)
        for name in ("datasets", "runs"):
            (fresh / name).replace(root / name)


def _refuse_measured(root: Path) -> None:
    """Refuse to delete cells that were not simulated."""
    real = [dataset.name for dataset in list_datasets() if not dataset.simulated]
    files = [run.title for run in list_runs() if run.kind == "annotate" and run.parameters.get("path")]
    if real or files:
        what = ", ".join(map(repr, [*real, *files][:3]))
        raise InputError(
            f"the demo session in {root} holds measured cells ({what}), which a reset would delete: move "
            "them away or delete them on the page Datasets first, and use 'sgm app' without --demo for "
            "real data"
        )


def _finished() -> Run | None:
    """Return the finished analysis of the demo in the home folder, if it has one."""
    run = demo.known_run()
    return run if run is not None and run.state == "done" else None


def _end(runs: list[Run]) -> None:
    """Cancel runs, and give their processes a moment to end."""
    for run in runs:
        with suppress(SGMError, psutil.Error):
            cancel_run(run.id)
            if run.process_alive():
                psutil.Process(run.status["pid"]).terminate()
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until and any(run.process_alive() for run in runs):
        time.sleep(0.1)


def _copy(source: Path, target: Path, run_id: str) -> None:
    """Copy dataset and run as the program made them."""
    with home.scratch(target) as folder:
        ignore = shutil.ignore_patterns(*_MADE_BY_PEOPLE, ".*")
        for name in (Path("datasets", demo.NAME), Path("runs", run_id)):
            shutil.copytree(source / name, folder / name, ignore=ignore)
        folder.chmod(0o755)
        folder.replace(target)


def _has_run(clean: Path, run: Run | None) -> bool:
    """Whether the clean copy is of this run: another version of the program makes another one."""
    return clean.is_dir() and (run is None or (clean / "runs" / run.id).is_dir())


def _forget_all_but(root: Path, run: Run | None) -> None:
    """Delete what people made, while the analysis goes on."""
    _empty(root, (*_KEPT, "datasets", "runs"))
    for folder, kept in (("datasets", {demo.NAME}), ("runs", {run.id} if run else set())):
        if (root / folder).is_dir():
            _empty(root / folder, tuple(kept))
    for name in _MADE_BY_PEOPLE:
        shutil.rmtree(root / "datasets" / demo.NAME / name, ignore_errors=True)


def _empty(folder: Path, kept: tuple[str, ...]) -> None:
    for path in folder.iterdir():
        if path.name in kept or path.name.startswith("."):  # hidden: ours, or what is being written
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
