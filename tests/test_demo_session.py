"""A demo session is a home folder of its own; it comes back clean, and never costs anyone real cells."""

import hashlib
import json
import os
import shutil
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_run import make_compare_run

from sgm_core import demo, demo_session
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.selections import save_selection
from sgm_core.cells.simulate import make_demo
from sgm_core.cli.frame import main
from sgm_core.errors import InputError
from sgm_core.runs.store import create_run, list_runs, open_run


@pytest.fixture
def real(sgm_home: Path, demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with the finished demo (of few cells); nothing is started in the background."""
    monkeypatch.setenv("SGM_HOME", str(sgm_home))
    monkeypatch.setattr("sgm_core.cells.simulate.make_demo", partial(make_demo, n_cells=300))
    monkeypatch.setattr(demo, "launch", lambda run: None)
    shutil.copytree(demo_home / "datasets" / "small", sgm_home / "datasets" / "demo")
    facts = sgm_home / "datasets" / "demo" / "dataset.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"name": "demo"}))
    run = demo.demo_run()
    for path in (sgm_home / "runs" / make_compare_run("demo")).glob("*.parquet"):
        shutil.copy(path, run.path / path.name)
    run.finish("done")
    return sgm_home


def content(folder: Path) -> dict[str, str]:
    """Return a digest of every file."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in files if ".owners" not in path.parts and path.name != "actions.jsonl"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_session_takes_the_finished_demo_and_leaves_the_real_home_as_it_is(real: Path) -> None:
    before = content(real)
    session = demo_session.open_session()
    assert session == real / "demo-session"
    assert os.environ["SGM_HOME"] == str(session)
    assert demo_session.is_session()
    assert [run.state for run in list_runs()] == ["done"]
    assert open_dataset("demo").simulated
    after = {name: digest for name, digest in content(real).items() if not name.startswith("demo-session")}
    assert after == before


def test_it_comes_back_clean_in_a_moment(real: Path) -> None:
    session = demo_session.open_session()
    clean = content(session)
    dataset = open_dataset("demo")
    save_selection(dataset, "mine", np.arange(dataset.n_cells) < 5)
    make_demo("another", n_cells=200)
    run = list_runs()[0]
    run.table("enrichment", pd.DataFrame({"term": ["of a person"]}))
    (run.path / "folds.parquet").unlink()
    create_run("pretrain", "demo", {"data": "demo"})
    (session / "review.db").write_text("verdicts")
    assert content(session) != clean
    started = time.perf_counter()
    demo_session.reset()
    assert time.perf_counter() - started < 5
    assert content(session) == clean


def test_real_cells_in_a_session_are_never_deleted(real: Path) -> None:
    session = demo_session.open_session()
    facts = session / "datasets" / "demo" / "dataset.json"
    shutil.copytree(facts.parent, session / "datasets" / "patients")
    mine = session / "datasets" / "patients" / "dataset.json"
    mine.write_text(json.dumps(json.loads(facts.read_text()) | {"name": "patients", "simulated": False}))
    before = content(session)
    with pytest.raises(InputError, match=r"holds measured cells \('patients'\), which a reset would delete"):
        demo_session.reset()
    os.environ["SGM_HOME"] = str(real)
    with pytest.raises(InputError, match="holds measured cells"):
        demo_session.open_session()
    assert content(session) == before


def test_a_folder_that_is_no_session_is_not_written_over(real: Path) -> None:
    (real / "demo-session").mkdir()
    (real / "demo-session" / "thesis.txt").write_text("three years of work")
    with pytest.raises(InputError, match="exists and is no demo session"):
        demo_session.open_session()
    assert (real / "demo-session" / "thesis.txt").read_text() == "three years of work"
    with pytest.raises(InputError, match="is no demo session: nothing of it is reset"):
        demo_session.reset()


def test_real_cells_called_demo_do_not_get_into_a_session(real: Path) -> None:
    facts = real / "datasets" / "demo" / "dataset.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"simulated": False}))
    before = content(real)
    demo_session.open_session()
    assert open_dataset("demo").simulated
    assert [run.state for run in list_runs()] == ["queued"]  # nothing was finished: it is analysed anew
    after = {name: digest for name, digest in content(real).items() if not name.startswith("demo-session")}
    assert after == before


def test_without_a_finished_analysis_the_one_under_way_goes_on(sgm_home, monkeypatch) -> None:
    monkeypatch.setenv("SGM_HOME", str(sgm_home))
    monkeypatch.setattr("sgm_core.cells.simulate.make_demo", partial(make_demo, n_cells=300))
    started = []
    monkeypatch.setattr(demo, "launch", lambda run: started.append(run.id))
    session = demo_session.open_session()
    (session / "review.db").write_text("verdicts")
    demo_session.reset()
    assert [run.id for run in list_runs()] == started
    assert not (session / "review.db").exists()
    open_run(started[0]).finish("done")  # from now on this is the clean state
    demo_session.reset()
    (open_run(started[0]).path / "status.json").unlink()
    demo_session.reset()
    assert open_run(started[0]).state == "done"


def test_demo_and_no_demo_exclude_each_other(capsys, sgm_home) -> None:
    assert main(["app", "--demo", "--no-demo", "--port", "8999"]) == 2
    assert "exclude each other" in capsys.readouterr().err
