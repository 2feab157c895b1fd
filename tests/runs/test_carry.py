"""Runs carried to another machine, and deleted ones taken back."""

import io
import json
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest

from sgm_core import home
from sgm_core.cli.frame import main
from sgm_core.errors import InputError, NotFoundError
from sgm_core.runs.carry import MANIFEST, export_run, import_run
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run, list_runs, open_run
from sgm_core.runs.sweep import sweep
from sgm_core.runs.trash import built_on, delete_run, deleted_runs, restore_run

OLD = Path(__file__).parent / "run_of_schema_1.zip"


@pytest.fixture
def run(demo_dataset) -> Run:
    run = create_run("pretrain", "small", {"data": "small"})
    (run.path / "checkpoint").mkdir()
    (run.path / "checkpoint" / "weights.safetensors").write_bytes(os.urandom(3_000_000))
    (run.path / "state" / "pretrain" / "00000001").mkdir(parents=True)
    (run.path / "state" / "pretrain" / "00000001" / "whole.json").write_text('{"where": "step 3"}')
    run.metric(phase="pretrain", epoch=1)
    run.begin()
    return run


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_run_comes_whole_to_another_machine(run: Run, tmp_path: Path, monkeypatch) -> None:
    run.finish("cancelled")
    before, packed = files(run.path), export_run(run.id, tmp_path / "run.zip")
    monkeypatch.setenv("SGM_HOME", str(tmp_path / "elsewhere"))
    there = import_run(packed)
    assert files(there.path) == before
    assert (there.state, there.checkpoint) == ("cancelled", "step 3")
    with pytest.raises(InputError, match="exists already"):
        import_run(packed)
    with pytest.raises(NotFoundError):
        import_run(tmp_path / "nothing.zip")


def test_what_was_under_way_is_paused_there(run: Run, tmp_path: Path, monkeypatch) -> None:
    run.ask_cancel()
    packed = export_run(run.id, tmp_path / "run.zip")
    monkeypatch.setenv("SGM_HOME", str(tmp_path / "elsewhere"))
    there = import_run(packed)
    assert there.state == "paused" and there.cancel_asked() is None
    assert "packed while it was running on another machine; resuming starts over" in there.status["error"]


def repacked(packed: Path, change) -> Path:
    """Pack again what `change` (name, content) -> (name, content) or None makes of every entry."""
    target = packed.with_name("changed.zip")
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if (entry := change(name, old.read(name))) is not None:
                new.writestr(*entry)
    return target


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, c: (n, c[:-1] + b"x" if n.endswith("weights.safetensors") else c), "not what was packed"),
        (lambda n, c: None if n.endswith("weights.safetensors") else (n, c), "damaged"),
        (lambda n, c: (f"{n}x" if n.endswith("metrics.jsonl") else n, c), "damaged|does not name"),
        (lambda n, c: None if n == MANIFEST else (n, c), "no manifest.json"),
        (
            lambda n, c: (n, c.replace(b"metrics.jsonl", b"../../evil.txt") if n == MANIFEST else c),
            "does not",
        ),
        (lambda n, c: (n, c.replace(b'"run": "', b'"run": "../') if n == MANIFEST else c), "can't be used"),
        (lambda n, c: (n, b"[]" if n == MANIFEST else c), "damaged"),
    ],
)
def test_what_is_not_as_it_was_packed_leaves_nothing(run: Run, tmp_path, monkeypatch, change, words) -> None:
    run.finish("cancelled")
    bad = repacked(export_run(run.id, tmp_path / "run.zip"), change)
    monkeypatch.setenv("SGM_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match=words):
        import_run(bad)
    assert list_runs() == [] and not [*tmp_path.rglob("evil*")]
    assert not [path for path in home.folder("runs").iterdir() if path.is_dir()]


def test_a_path_out_of_the_folder_is_refused(run: Run, tmp_path: Path, monkeypatch) -> None:
    run.finish("cancelled")
    evil = b"../../evil.txt"

    def change(name: str, content: bytes) -> tuple[str, bytes]:
        if name == MANIFEST:
            return name, content.replace(b"metrics.jsonl", evil)
        return name.replace("metrics.jsonl", evil.decode()), content

    bad = repacked(export_run(run.id, tmp_path / "run.zip"), change)
    monkeypatch.setenv("SGM_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="can't be a file of a run"):
        import_run(bad)
    assert not [*tmp_path.rglob("evil*")]


def test_a_deleted_run_can_be_taken_back_for_a_week(run: Run, monkeypatch) -> None:
    with pytest.raises(InputError, match="cancel it before"):
        delete_run(run.id)
    run.finish("cancelled")
    other = create_run("finetune", "small", {"run": run.id})
    assert built_on(run.id) == [other.id]
    before = files(run.path)
    delete_run(run.id)
    assert [one.id for one in list_runs()] == [other.id]
    assert [row["id"] for row in deleted_runs()] == [run.id] and deleted_runs()[0]["bytes"] > 3_000_000
    sweep()
    assert files(restore_run(run.id).path) == before
    delete_run(run.id)
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now - 30 * 86400)
        assert not [path for path in sweep() if run.id in path.name], "a clock set back deletes nothing"
    monkeypatch.setattr(time, "time", lambda: now + 8 * 86400)
    assert run.id in "".join(path.name for path in sweep())
    with pytest.raises(NotFoundError, match="keeps them for 7 days"):
        restore_run(run.id)


def test_the_commands(run: Run, capsys, tmp_path: Path, monkeypatch) -> None:
    run.finish("cancelled")
    assert main(["runs", "export", run.id, "--out", str(tmp_path / "run.zip")]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["runs", "delete", run.id]) == 2
    assert "needs --yes" in capsys.readouterr().err and open_run(run.id)
    assert main(["runs", "delete", run.id, "--yes"]) == 0
    assert f"sgm runs restore {run.id}" in capsys.readouterr().out
    assert main(["runs", "trash"]) == 0
    assert run.id in capsys.readouterr().out
    assert main(["runs", "restore", run.id]) == 0
    assert main(["runs", "delete", run.id, "--yes"]) == 0
    assert main(["runs", "import", str(tmp_path / "run.zip"), "--json"]) == 0
    capsys.readouterr()
    assert main(["runs", "list"]) == 0
    assert "3 MB in all" in capsys.readouterr().out
    assert main(["runs", "pause", run.id]) == 2
    assert "nothing to pause" in capsys.readouterr().err


def test_a_run_of_this_version_stays_readable(sgm_home: Path) -> None:
    # The file was made by the first version that had a schema; later ones must read it as it is.
    run = import_run(OLD)
    assert run.config["schema"] == 1 and run.state == "done"
    assert run.metrics()["epoch"].tolist() == [1, 2]
    masks = run.read_table("masks", by="all")
    assert (
        masks is not None and (masks["masked"] <= masks["opportunities"]).all() and masks["masked"].sum() > 0
    )
    from sgm_core.model.checkpoint import load_model

    model, genes, arm = load_model(run.path / "checkpoint")
    assert arm == "self-guided" and len(genes) == model.backbone.config.n_genes


def test_a_checkpoint_of_this_version_stays_readable(sgm_home: Path) -> None:
    from sgm_core.saved.state import read_state

    state = read_state(shutil.copytree(OLD.with_name("state_of_schema_1"), sgm_home / "state"))
    assert (state["epoch"], state["step"]) == (0, 1)
    assert state["modules"][0] and state["optimiser"]["state"][0]["step"].item() == 1
    assert json.dumps(state["order"]).count("PCG64") == 1
