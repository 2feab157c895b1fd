"""What uploads and downloads leave goes when nobody needs it any more, and not before."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgm_core import home
from sgm_core.cli import app, main
from sgm_core.runs.launch import launch
from sgm_core.runs.store import create_run
from sgm_core.runs.sweep import sweep

DAY = 86400.0


def aged(path: Path, days: float) -> Path:
    os.utime(path, (time.time() - days * DAY,) * 2)
    return path


def upload(name: str, days: float = 0) -> Path:
    file = home.folder("uploads") / name / "cells.h5ad"
    file.parent.mkdir()
    file.write_text("cells")
    aged(file.parent, days)
    return file


def imported(path: Path, state: str) -> None:
    run = create_run("import", "aml", {"path": str(path), "name": "aml"})
    if state != "queued":
        run.finish(state)


def test_an_upload_stays_as_long_as_an_import_may_need_it(sgm_home: Path) -> None:
    # Seen: every upload stayed in the home folder for good.
    kept = [upload("fresh"), upload("failed", 9), upload("queued", 9), upload("both", 9)]
    gone = [upload("done"), upload("never", 2), upload("done-tenx", 9)]
    for path, state in zip(kept[1:], ("failed", "queued", "failed"), strict=True):
        imported(path, state)
    imported(kept[3], "done")
    imported(gone[0], "done")
    imported(gone[2].parent, "done")  # a folder of files is one upload
    assert sorted(sweep()) == sorted(path.parent for path in gone)
    assert all(path.exists() for path in kept) and not any(path.parent.exists() for path in gone)
    assert sweep() == []


def test_a_download_that_nobody_takes_up_is_forgotten(sgm_home: Path) -> None:
    folder = home.folder("downloads")
    for name, days in (
        ("new.tar.part", 3),
        ("old.tar.part", 40),
        ("old.tar.part.json", 40),
        ("whole.tar", 90),
    ):
        (folder / name).write_text("{}")
        aged(folder / name, days)
    assert sweep() == [folder / "old.tar.part"]
    assert sorted(path.name for path in folder.iterdir()) == ["new.tar.part", "whole.tar"]


KILLED = """
import os
from sgm_core import home
with home.whole_folder(home.folder("datasets") / "half"):
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("by", ["dashboard", "worker"])
def test_leftovers_are_swept_at_the_start(sgm_home: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert len(list(home.folder("datasets").iterdir())) == 1
    if by == "dashboard":
        monkeypatch.setattr(app, "_serve", lambda *_: None)
        monkeypatch.setattr(app, "_check_port", lambda port: None)
        assert main(["app", "--no-demo"]) == 0
    else:
        run = create_run("import", "aml", {"path": "nothing.h5ad", "name": "aml"})
        launch(run)
        while run.active:
            time.sleep(0.05)
    assert list(home.folder("datasets").iterdir()) == []
