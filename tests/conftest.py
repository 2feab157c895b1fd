"""What all tests share: a home folder of their own, the reference data, a small simulated dataset."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

# Before anything imports numpy or torch. The models here are tiny: on a busy machine they lose more to
# waiting for a second thread than it brings. SGM_THREADS tells the same to the workers that runs start.
for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "SGM_THREADS",
):
    os.environ[_variable] = "1"

import pytest  # noqa: E402
from few_dataset import BUNDLE, few  # noqa: E402
from hypothesis import settings  # noqa: E402

# A test's process outlives no power cut: what it writes need not wait for the disk.
os.fsync = lambda descriptor: None  # type: ignore[assignment]

settings.register_profile("suite", deadline=None)  # a timing is never an assertion
settings.load_profile("suite")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    needy = [item for item in items if item.get_closest_marker("cuda")]
    if not needy or os.environ.get("SGM_TEST_DEVICE") == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a GPU, and torch sees none here")
        for item in needy:
            item.add_marker(skip)


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
def sgm_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test an empty home folder; workers that it leaves behind end with it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("SGM_HOME", str(home))
    monkeypatch.delenv("SGM_DEBUG", raising=False)
    yield home
    for file in home.glob("runs/*/status.json"):
        from sgm_core.runs.process import alive

        status = json.loads(file.read_text())
        pid, started = status.get("pid"), status.get("process_started")
        if pid != os.getpid() and alive(pid, started):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Put ``__main__`` back: Streamlit leaves its page there, which a process that starts would run."""
    module = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = module


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


@pytest.fixture(scope="session")
def bundle_source(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the bundle, imported once: width 16, 19,264 genes."""
    from sgm_core.model.weights import import_weights

    home = tmp_path_factory.mktemp("bundle") / "home"
    genes = shared / "data" / "gene_lists" / "OS_scRNA_gene_index.19264.tsv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        return import_weights(
            shared / "fixtures" / "scfoundation_end_to_end" / "models.ckpt", genes, BUNDLE
        ).path


@pytest.fixture
def bundle(bundle_source: Path, sgm_home: Path) -> str:
    """Name of the bundle in the test's own home."""
    shutil.copytree(bundle_source, sgm_home / "weights" / BUNDLE)
    return BUNDLE


@pytest.fixture
def few_cells(demo_home: Path, sgm_home: Path):
    """Dataset ``few``: a quarter of the simulated cells, 150."""
    return few(demo_home, sgm_home)
