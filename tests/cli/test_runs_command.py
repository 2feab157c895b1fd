import json
import socket
from pathlib import Path

import pytest

from sgm_core.cli import app
from sgm_core.cli.frame import main
from sgm_core.runs.launch import enqueue
from sgm_core.runs.process import identity
from sgm_core.runs.store import Run, create_run


@pytest.fixture
def run() -> Run:
    run = create_run("import", "aml", {"path": "counts.h5ad"})
    run.message("hello")
    return run


def test_list_says_state_and_progress(run: Run, capsys) -> None:
    run.begin()
    run.progress(50, 100, "reading")
    assert main(["runs", "list"]) == 0
    out = capsys.readouterr().out
    assert run.id in out
    assert "running" in out
    assert "50 %" in out
    assert main(["runs", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert [(row["id"], row["state"], row["kind"]) for row in rows] == [(run.id, "running", "import")]


def test_an_empty_list_says_how_to_begin(capsys) -> None:
    assert main(["runs", "list"]) == 0
    assert "sgm app" in capsys.readouterr().out


def test_show_has_parameters_and_log(run: Run, capsys) -> None:
    assert main(["runs", "show", run.id]) == 0
    out = capsys.readouterr().out
    assert "counts.h5ad" in out
    assert "hello" in out
    assert main(["runs", "show", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"] == run.config


def test_cancel_then_cancel_again(run: Run, capsys) -> None:
    assert main(["runs", "cancel", run.id]) == 0
    assert "is cancelled" in capsys.readouterr().out
    assert main(["runs", "cancel", run.id]) == 2
    assert capsys.readouterr().err == f"sgm: run {run.id} is cancelled: there is nothing to cancel\n"


def test_a_done_run_is_not_resumed(run: Run, capsys) -> None:
    run.finish("done")
    assert main(["runs", "resume", run.id]) == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_export_writes_the_zip_here(run: Run, capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "export", run.id]) == 0
    assert (tmp_path / f"{run.id}.zip").stat().st_size > 0


@pytest.mark.parametrize("command", ["show", "cancel", "resume", "export"])
def test_an_unknown_run_is_one_line(command: str, capsys) -> None:
    assert main(["runs", command, "nothing"]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert "no run 'nothing'" in err


def test_app_says_that_the_port_is_busy(capsys, monkeypatch) -> None:
    monkeypatch.setattr(app, "_serve", lambda *_: pytest.fail("must not start"))
    with socket.socket() as busy:
        busy.bind(("localhost", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert main(["app", "--no-demo", "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert f"make app PORT={port + 1}" in err
    assert main(["app", "--no-demo", "--port", "70000"]) == 2


def test_app_serves_on_localhost_only(capsys, monkeypatch) -> None:
    calls: list[list[str]] = []
    folders: list[Path] = []
    monkeypatch.setattr(app.os, "execv", lambda program, arguments: calls.append(arguments))
    monkeypatch.setattr(app.os, "chdir", folders.append)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    assert main(["app", "--no-demo", "--headless", "--port", str(port)]) == 0
    assert f"http://localhost:{port}" in capsys.readouterr().out
    [arguments] = calls
    assert f"--server.port={port}" in arguments
    assert "--server.address=localhost" in arguments
    assert "--server.headless=true" in arguments
    assert (folders[0] / "app.py").exists()


def test_resume_says_what_it_does(run: Run, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sgm_core.runs.launch.launch", Run.requeue)
    run.finish("failed", "no reason")
    assert main(["runs", "resume", run.id]) == 0
    assert "resuming starts over" in capsys.readouterr().out


def test_runs_are_labelled_found_and_moved(run: Run, capsys) -> None:
    other = create_run("import", "marrow", {"path": "other.h5ad"})
    for each in (run, other):
        enqueue(each)
        each.update(**identity())

    def said(*arguments: str) -> str:
        assert main(["runs", *arguments]) == 0
        return capsys.readouterr().out

    assert said("tag", run.id, "paper", "seed 3") == f"{run.id}: paper, seed 3\n"
    assert said("tag", run.id, "--remove", "paper") == f"{run.id}: seed 3\n"
    assert said("note", run.id, "look at fold 3") == said("note", run.id) == "look at fold 3\n"
    for found in (said("list", "--tag", "seed 3"), said("list", "--text", "fold LOOK")):
        assert run.id in found and other.id not in found and "#seed 3" in found
    assert said("list", "--state", "done") == "none of 2 runs fits\n"
    assert said("move", other.id, "--priority", "5") == f"{other.id} has priority 5: 1 of 2 that wait\n"
    assert said("move", run.id, "first") == f"{run.id} has priority 5: 1 of 2 that wait\n"
    shown = json.loads(said("show", run.id, "--json"))
    assert (shown["place"], shown["tags"], shown["note"]) == (1, ["seed 3"], "look at fold 3")
    with pytest.raises(SystemExit):
        main(["runs", "move", run.id])


def test_latest_stands_for_an_id(demo_dataset, capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "show", "latest"]) == 2
    assert "no training yet" in capsys.readouterr().err
    training = create_run("pretrain", "small", {"data": "small"})
    for command in (["show"], ["tag", "new"], ["note"], ["export"], ["cancel"], ["delete", "--yes"]):
        name, *rest = command
        assert main(["runs", name, "latest", *rest]) == 0
        assert training.id in capsys.readouterr().out, name
    assert not training.path.exists() and (tmp_path / f"{training.id}.zip").exists()
