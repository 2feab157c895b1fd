"""Files and folders are whole or absent, whatever ends the process that writes them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sgm_core import home

WRITER = """
import sys
from pathlib import Path
from sgm_core import home
with (
    home.whole_folder(home.folder("datasets") / "big") as folder,
    home.whole_file(home.folder("exports") / "big.zip") as file,
    home.scratch(home.folder("tmp") / "prefix") as scratch,
    home.whole_file(Path(sys.argv[1]) / "out.h5ad") as outside,
):
    for path in (folder / "counts.npy", file, scratch / "block", outside):
        path.write_text("half")
    print("writing", flush=True)
    input()
"""


@contextmanager
def writer(outside: Path) -> Iterator[subprocess.Popen]:
    """A process in the middle of writing everything that can be written."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(outside)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"writing\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def half_written(root: Path) -> list[str]:
    found = [path for kind in ("datasets", "exports", "tmp") for path in (root / kind).glob(".*")]
    return sorted(path.parent.name for path in found)


def test_what_a_killed_process_left_is_swept_and_nothing_of_a_live_one(
    sgm_home: Path, tmp_path: Path
) -> None:
    # Seen: after kill -9, `.NAME.XXXX` folders and files stayed for good.
    mine = home.folder("datasets") / ".notes"
    mine.mkdir()
    with writer(tmp_path) as process:
        assert half_written(sgm_home) == ["datasets", "datasets", "exports", "tmp"]
        assert home.sweep() == [], "its writer lives"
        process.kill()
        process.wait()
        assert len(home.sweep()) == 3
    assert half_written(sgm_home) == ["datasets"] and mine.exists(), "not ours to delete"
    assert home.sweep() == []


def test_a_leftover_outside_the_home_goes_when_its_place_is_written_again(tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    with writer(tmp_path) as process:
        with home.whole_file(out) as temporary:
            temporary.write_text("whole")
        assert len(list(tmp_path.glob(".out.h5ad.*"))) == 1, "its writer lives"
        process.kill()
        process.wait()
    with home.whole_file(out) as temporary:
        temporary.write_text("whole")
    assert list(tmp_path.glob(".*")) == [] and out.read_text() == "whole"


def test_a_temporary_of_an_unknown_owner_is_left_alone(sgm_home: Path) -> None:
    with home.whole_folder(home.folder("runs") / "a") as folder:
        stranger = folder.with_name(folder.name.replace(".own-", ".own-9"))
        stranger.mkdir()
    assert home.sweep() == [] and stranger.exists()


def test_all_is_on_the_disk_before_it_gets_its_name(sgm_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A rename may reach the disk before the content: after a power cut a dataset was there, and empty.
    synced: set[int] = set()
    at_rename: list[set[int]] = []
    fsync, replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def note_rename(self: Path, target: Path) -> Path:
        inside = [self, *self.rglob("*")] if self.is_dir() else [self]
        at_rename.append({path.stat().st_ino for path in inside} - synced)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    with home.whole_folder(home.folder("datasets") / "new") as folder:
        (folder / "embeddings").mkdir()
        np.save(folder / "counts.npy", np.arange(5))
        (folder / "embeddings" / "pca.txt").write_text("1")
    with home.whole_file(home.folder("exports") / "run.zip") as file:
        file.write_text("zip")
    assert at_rename == [set(), set()]
    assert {(sgm_home / kind).stat().st_ino for kind in ("datasets", "exports")} <= synced, "and the names"
