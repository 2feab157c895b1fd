"""Runs packed as one file, and unpacked on another machine: whole, checked by hash, or not at all."""

import hashlib
import json
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sgm_core import home
from sgm_core.access import acts
from sgm_core.errors import InputError, NotFoundError
from sgm_core.runs.run import Run, now
from sgm_core.runs.states import ACTIVE
from sgm_core.runs.store import check_id, link_latest, open_run

MANIFEST = "manifest.json"
_DENSE = (".safetensors", ".parquet", ".npy")  # deflating them takes minutes and gains little
_MARKERS = ("cancel", "pause", "stop")
_BLOCK = 1 << 20


def export_run(run_id: str, target: Path | None = None) -> Path:
    """Pack a run's folder as a zip file, by default ``$SGM_HOME/exports/ID.zip``; returns its path.

    It holds all that the run keeps: `sgm_core.runs.EXPORTED`, and the hash of each file. What is half-written
    (hidden files) stays out, and so do the checkpoints of a run that is under way, for they change.
    """
    run = open_run(run_id)
    target = Path(target) if target else home.folder("exports") / f"{run.id}.zip"
    hashes: dict[str, str] = {}
    with (
        home.whole_file(target) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for path in _exported(run):
            name = path.relative_to(run.path).as_posix()
            # what vanishes meanwhile is of a run under way
            with suppress(FileNotFoundError), path.open("rb") as stream:
                entry = zipfile.ZipInfo.from_file(path, f"{run.id}/{name}", strict_timestamps=False)
                entry.compress_type = zipfile.ZIP_STORED if path.suffix in _DENSE else zipfile.ZIP_DEFLATED
                with archive.open(entry, "w", force_zip64=True) as into:
                    hashes[name] = _copied(stream, into)
        archive.writestr(MANIFEST, json.dumps({"run": run.id, "packed": now(), "files": hashes}, indent=1))
    return target


def packed_run(run_id: str) -> bytes:
    """Return what `export_run` writes; nothing of it stays on the disk."""
    with home.scratch(home.folder("exports") / run_id) as folder:
        return export_run(run_id, folder / "run.zip").read_bytes()


def export_size(run: Run) -> int:
    """Return about how many bytes an export of `run` takes; checkpoints and tables hardly get smaller."""
    return sum(path.stat().st_size for path in _exported(run))


@acts("import a run", lambda file: Path(file).name)
def import_run(file: Path) -> Run:
    """Unpack a run that `export_run` packed; it can be shown, resumed and built on as it was there.

    Its dataset does not come along: resuming needs it under the same name, with the same cells.

    Raises
    ------
    NotFoundError
        If there is no such file.
    InputError
        If it is no export, is damaged, of a later version of the program, or a run has that ID already.
    """
    file = Path(file)
    if not file.is_file():
        raise NotFoundError(f"no file {file}")
    try:
        with zipfile.ZipFile(file) as archive:
            return _unpack(archive, file.name)
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError, TypeError, NotImplementedError) as error:
        raise InputError(f"{file.name} is no export of a run, or a damaged one: {error}") from error


def _unpack(archive: zipfile.ZipFile, source: str) -> Run:
    if MANIFEST not in archive.namelist():
        raise InputError(f"{source} has no {MANIFEST}: `sgm runs export` of this version writes one")
    manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
    run_id, files = check_id(str(manifest["run"])), dict(manifest["files"])
    extra = set(archive.namelist()) - {f"{run_id}/{name}" for name in files} - {MANIFEST}
    if extra:
        raise InputError(f"{source} holds {sorted(extra)[0]!r}, which its manifest does not name")
    needed = sum(archive.getinfo(f"{run_id}/{name}").file_size for name in files)
    free = shutil.disk_usage(home.folder("runs")).free
    if needed > free:
        raise InputError(f"{source} needs {needed:,} bytes, and the disk of the runs has {free:,} left")
    with home.whole_folder(home.folder("runs") / run_id) as folder:
        for name, expected in files.items():
            with archive.open(f"{run_id}/{name}") as stream, _place(folder, name).open("xb") as into:
                if _copied(stream, into) != expected:
                    raise InputError(f"{source} is damaged: {name} is not what was packed")
        run = Run(folder)
        run.check_schema()
        state = home.read_json(folder / "status.json")["state"]
        if state in ACTIVE:
            why = f"packed while it was {state} on another machine; {run.when_resumed}"
            run.move("paused", error=why, pid=None, process_started=None, jobs=None, launcher="local")
        for marker in _MARKERS:
            (folder / marker).unlink(missing_ok=True)
    link_latest()
    return open_run(run_id)


def _place(folder: Path, name: str) -> Path:
    """Return where a file of an export goes; one that would leave the folder is refused."""
    parts = PurePosixPath(name).parts
    if not parts or any(part in ("..", "/") or part.startswith(".") or "\\" in part for part in parts):
        raise InputError(f"{name!r} can't be a file of a run")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _copied(stream: IO[bytes], into: IO[bytes]) -> str:
    """Copy by the block; return the hash of what was copied."""
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
        into.write(block)
    return digest.hexdigest()


def _exported(run: Run) -> list[Path]:
    left_out = ("state",) if run.active else ()
    paths = []
    for path in sorted(run.path.rglob("*")):
        parts = path.relative_to(run.path).parts
        if path.is_file() and parts[0] not in left_out and not any(part.startswith(".") for part in parts):
            paths.append(path)
    return paths
