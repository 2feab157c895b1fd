from functools import partial

import pytest

from sgm_core import demo
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.simulate import make_demo
from sgm_core.comparison.config import CompareConfig
from sgm_core.runs.store import Run, list_runs


@pytest.fixture
def launched(monkeypatch) -> list[str]:
    """IDs of the runs that would have been started."""
    ids: list[str] = []
    monkeypatch.setattr(demo, "launch", lambda run: ids.append(run.id))
    return ids


@pytest.fixture
def small_demo(monkeypatch) -> None:
    """Make the demo of few cells: what it holds does not matter here."""
    monkeypatch.setattr("sgm_core.cells.simulate.make_demo", partial(make_demo, n_cells=300))


def test_the_first_start_makes_and_analyses_the_demo(launched: list[str]) -> None:
    run: Run = demo.ensure_demo()
    assert open_dataset("demo").simulated
    assert launched == [run.id]
    assert run.kind == "compare"
    assert "SIMULATED" in run.title
    config = CompareConfig.from_dict(run.config["parameters"])
    assert config.pretrain == demo.ANALYSIS["pretrain"], "the configuration survives the way through JSON"


def test_later_starts_find_the_same_run(launched: list[str], small_demo) -> None:
    first = demo.ensure_demo()
    content = open_dataset("demo").content_hash
    assert demo.ensure_demo().id == first.id
    assert open_dataset("demo").content_hash == content
    assert len(list_runs()) == 1


def test_a_cancelled_demo_stays_cancelled(launched: list[str], small_demo) -> None:
    demo.demo_run().finish("cancelled")
    demo.ensure_demo()
    assert launched == []
