"""What all tests share: a home folder of their own, the reference data, a small simulated dataset."""

import os
import shutil
from pathlib import Path

# Before anything imports numpy or torch: two test workers must not fight over the cores.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "2")

import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the reference data: ``$SGM_SHARED`` or ``shared`` beside the repository."""
    path = Path(os.environ.get("SGM_SHARED") or ROOT.parent / "shared").resolve()
    if path.is_dir():
        return path
    reason = f"the reference data is not at {path} (SGM_SHARED names another place)"
    if os.environ.get("SGM_REQUIRE_SHARED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def sgm_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty home folder."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("SGM_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home folder that holds the small simulated dataset, built once; don't write to it."""
    from sgm_core.cells.simulate import make_demo

    home = tmp_path_factory.mktemp("demo") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        make_demo(name="small", n_cells=600)
    return home


@pytest.fixture
def demo_dataset(demo_home: Path, sgm_home: Path):
    """Dataset ``small`` (about 600 simulated cells), a copy in the test's own home folder."""
    from sgm_core.cells.dataset import open_dataset

    shutil.copytree(demo_home / "datasets", sgm_home / "datasets", dirs_exist_ok=True)
    return open_dataset("small")
