"""Actions are refused in the engine, whoever calls it, and recorded either way."""

import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sgm_core import access
from sgm_core.access import NOBODY, OPERATOR, VIEWER, Forbidden, Person, read_actions
from sgm_core.errors import InputError, NotFoundError
from sgm_core.runs.store import cancel_run, create_run, list_runs, pause_run

ROOT = Path(__file__).resolve().parents[2]
BOB = "Bob (bob@lab.test)"


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Person]:
    """Let somebody who has logged in act from now on."""

    def become(role: str, name: str = BOB) -> Person:
        who = Person(name, role)
        monkeypatch.setattr("sgm_core.access.acting._identify", lambda: who)
        return who

    return become


@pytest.fixture
def run(demo_dataset):
    return create_run("pretrain", demo_dataset.name, {"data": demo_dataset.name})


def everything(run, dataset, tmp_path: Path) -> dict[str, Callable[[], object]]:
    """Every function of the engine that changes something for others, called as a page would."""
    from sgm_core.annotation.store import import_model
    from sgm_core.cells.build import import_dataset
    from sgm_core.cells.selections import delete_selection, rename_selection
    from sgm_core.demo_session import reset
    from sgm_core.model.weights import import_weights
    from sgm_core.resources.store import add_resource
    from sgm_core.review import import_verdicts
    from sgm_core.runs.carry import import_run
    from sgm_core.runs.labels import note_run, tag_run
    from sgm_core.runs.launch import launch
    from sgm_core.runs.measure import start_measuring
    from sgm_core.runs.order import move_run, set_priority
    from sgm_core.runs.resume import resume_run
    from sgm_core.runs.trash import delete_run, restore_run
    from sgm_core.runs.worker import run_in_foreground

    file = tmp_path / "file"
    return {
        "create_run": lambda: create_run("umap", dataset.name, {}),
        "launch": lambda: launch(run),
        "run_in_foreground": lambda: run_in_foreground(run, None),
        "cancel_run": lambda: cancel_run(run.id),
        "pause_run": lambda: pause_run(run.id),
        "resume_run": lambda: resume_run(run.id),
        "move_run": lambda: move_run(run.id, "first"),
        "set_priority": lambda: set_priority(run.id, 1),
        "tag_run": lambda: tag_run(run.id, ["mine"]),
        "note_run": lambda: note_run(run.id, "mine"),
        "delete_run": lambda: delete_run(run.id),
        "restore_run": lambda: restore_run(run.id),
        "import_run": lambda: import_run(file),
        "import_dataset": lambda: import_dataset(file, "mine"),
        "import_model": lambda: import_model(file),
        "import_weights": lambda: import_weights(file, file, "mine"),
        "import_verdicts": lambda: import_verdicts(file, run),
        "add_resource": lambda: add_resource("genesets", file),
        "start_measuring": lambda: start_measuring(None, dataset),
        "rename_selection": lambda: rename_selection(dataset, "a", "b"),
        "delete_selection": lambda: delete_selection(dataset, "a"),
        "reset": reset,
    }


def files(home: Path) -> dict[str, bytes]:
    found = (path for path in home.rglob("*") if path.is_file() and path.name != "actions.jsonl")
    return {str(path): path.read_bytes() for path in found if ".owners" not in path.parts}


@pytest.mark.parametrize("role", [VIEWER, NOBODY])
def test_who_may_only_look_changes_nothing(acting, run, demo_dataset, sgm_home, tmp_path, role):
    calls = everything(run, demo_dataset, tmp_path)
    before = files(sgm_home)
    acting(role)
    for call in calls.values():
        with pytest.raises(Forbidden):
            call()
    assert files(sgm_home) == before
    acting(OPERATOR)
    rows = read_actions(100)
    assert sum(row["outcome"] == "refused" for row in rows) == len(calls)
    assert {(row["who"], row["role"]) for row in rows if row["outcome"] == "refused"} == {(BOB, role)}


def test_no_function_that_acts_is_left_out_of_the_list_above(run, demo_dataset, tmp_path):
    marked = set()
    for file in [*(ROOT / "sgm_core").rglob("*.py")]:
        if file.parent.name != "access":
            marked |= set(re.findall(r"@acts\((?:[^@]|\n)*?\n\s*def (\w+)\(", file.read_text()))
    own = {"record", "undo", "correct", "save_selection"}  # under the own name: the tests below
    assert marked - own == set(everything(run, demo_dataset, tmp_path)) - {"create_run"}


def test_a_viewer_speaks_in_the_own_name_alone(acting, run, demo_dataset):
    from sgm_core.cells.selections import list_selections, save_selection
    from sgm_core.review import record, undo, verdicts

    acting(VIEWER)
    record(run, "MEIS1", "known", BOB)
    with pytest.raises(Forbidden, match="nothing is said in the name of 'Ada'"):
        record(run, "MEIS1", "artefact", "Ada")
    with pytest.raises(Forbidden):
        undo(run, "Ada")
    save_selection(demo_dataset, "mine", np.arange(demo_dataset.n_cells) < 3)
    assert verdicts(run)[["reviewer", "verdict"]].values.tolist() == [[BOB, "known"]]
    assert [each.name for each in list_selections(demo_dataset)] == ["mine"]
    acting(OPERATOR)  # nor may an operator
    with pytest.raises(Forbidden):
        record(run, "MEIS1", "artefact", "Ada")
    acting(NOBODY)
    with pytest.raises(Forbidden):
        record(run, "MEIS1", "known", BOB)


def test_corrections_too(acting, tmp_path):
    from sgm_core import home
    from sgm_core.annotation.kept import Annotation

    folder = tmp_path / "annotation"
    (folder / "corrections").mkdir(parents=True)
    home.write_json(folder / "annotation.json", {"n_cells": 4})
    acting(VIEWER)
    with pytest.raises(Forbidden):
        Annotation(folder).correct(np.array([0]), "HSC", "Ada")
    assert Annotation(folder).correct(np.array([0]), "HSC", BOB)["who"] == BOB


def test_without_a_login_the_user_of_the_machine_does_everything_and_it_is_recorded(run):
    from sgm_core.runs.resume import resume_run

    cancel_run(run.id)
    with pytest.raises(InputError):
        cancel_run(run.id)
    rows = read_actions()
    assert [(row["action"], row["outcome"]) for row in rows] == [
        ("cancel", "failed"),
        ("cancel", "allowed"),
        ("cancel", "allowed"),
    ]
    assert rows[0]["why"].startswith(f"run {run.id} is cancelled")
    assert {row["who"] for row in rows} == {access.local_person().name}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rows[0]["time"])
    resume_run(run.id)  # launches as well, which is a part of it
    assert [row["action"] for row in read_actions(1)] == ["resume"]
    assert [row["action"] for row in read_actions(9, action="res")] == ["resume"]
    cancel_run(run.id)


def test_the_record_only_grows_and_outlives_a_torn_line(sgm_home, run):
    path = sgm_home / "actions.jsonl"
    before = ""
    for _ in range(3):
        with pytest.raises(NotFoundError):
            pause_run("no-such-run")
        assert path.read_text().startswith(before) and path.read_text() != before
        before = path.read_text()
    path.write_text(before + '{"time": "2026-')  # a power cut
    with pytest.raises(NotFoundError):
        pause_run("no-such-run")
    assert len(read_actions()) == 8 and all(row["time"].endswith("Z") for row in read_actions())


def test_many_at_once_lose_no_line(sgm_home, acting):
    from sgm_core.access.record import record_action

    who = acting(OPERATOR)
    threads = [
        threading.Thread(target=lambda i=i: [record_action(who, "launch", f"{i}-{j}", "") for j in range(25)])
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (sgm_home / "actions.jsonl").read_text().splitlines()
    assert len({json.loads(line)["what"] for line in lines}) == 200


def test_what_cannot_be_recorded_is_not_done_for_who_logged_in(acting, run, sgm_home):
    (sgm_home / "actions.jsonl").mkdir()
    acting(OPERATOR)
    with pytest.raises(InputError, match="can't be recorded"):
        cancel_run(run.id)
    assert list_runs()[0].state == "queued"


def test_a_full_disk_does_not_keep_the_user_of_the_machine_from_cancelling(run, sgm_home):
    (sgm_home / "actions.jsonl").mkdir()
    assert cancel_run(run.id).state == "cancelled"


def test_the_record_is_for_operators(acting, run):
    cancel_run(run.id)
    acting(VIEWER)
    with pytest.raises(Forbidden):
        read_actions()


def test_a_link_in_place_of_the_record_is_not_followed(acting, run, sgm_home, tmp_path):
    target = tmp_path / "elsewhere"
    target.write_text("")
    os.symlink(target, sgm_home / "actions.jsonl")
    acting(OPERATOR)
    with pytest.raises(InputError, match="can't be recorded"):
        cancel_run(run.id)
    assert target.read_text() == ""
