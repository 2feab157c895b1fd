"""The report of a simulated comparison with few labels, made once, and its home folder."""

import shutil
from pathlib import Path

import pytest
from synthetic_run import make_compare_run

from sgm_core.report.build import make_report
from sgm_core.report.content import Report
from sgm_core.runs.store import Run, open_run


@pytest.fixture(scope="session")
def reported(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Report, Path]:
    """A finished comparison, its report, and the home folder that both lie in; don't write there."""
    home = tmp_path_factory.mktemp("reported") / "home"
    shutil.copytree(demo_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        run = open_run(make_compare_run("small", budgets=True))
        return run, make_report(run), home


@pytest.fixture
def at_home(reported: tuple[Run, Report, Path], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The comparison of `reported`, with its home folder as the one in use."""
    run, _, home = reported
    monkeypatch.setenv("SGM_HOME", str(home))
    return run
