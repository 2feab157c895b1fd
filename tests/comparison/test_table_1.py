"""A comparison with imported weights: the rows of the paper's Table 1, on the same genes in every arm."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from few_dataset import BUNDLE, few

from sgm_core.comparison import tasks
from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.protocol import compare_run
from sgm_core.errors import InputError
from sgm_core.runs.store import Run, create_run
from sgm_core.runs.worker import execute
from sgm_core.training.config import FinetuneConfig

FIELDS = {
    "data": "few",
    "backbone": BUNDLE,
    "folds": 2,
    "seeds": 1,
    "arms": ("original", "uniform", "self-guided"),
    "pretrain": {"epochs": 1, "batch_size": 8, "latents": 4, "latent_width": 8, "lr_backbone": 1e-3},
    "finetune": {"epochs": 1, "probe_epochs": 3},
    "device": "cpu",
    "umap": False,
}


@pytest.fixture(scope="module")
def compared(demo_home: Path, bundle_source: Path, tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("table") / "home"
    home.mkdir()
    few(demo_home, home)
    shutil.copytree(bundle_source, home / "weights" / BUNDLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        run = create_run("compare", "few", CompareConfig.from_dict(FIELDS).to_dict())
        execute(run)
        yield run


def test_the_six_rows_of_table_1(compared: Run) -> None:
    folds = compared.read_table("folds")
    assert folds is not None
    trained = folds[folds["scheme"] != "baseline"]
    rows = {(arm, scheme) for arm in FIELDS["arms"] for scheme in ("linear-probe", "partial")}
    assert set(zip(trained["arm"], trained["scheme"], strict=True)) == rows and len(rows) == 6
    assert (trained.groupby(["arm", "scheme"]).size() == 2).all()
    tested = trained.groupby("fold")["n_test"].nunique()
    assert (tested == 1).all(), "every arm is tested on the same cells"
    masks = compared.read_table("masks")
    assert masks is not None
    genes = masks.groupby(["arm", "fold"])["gene"].agg(lambda names: tuple(sorted(set(names))))
    assert genes.nunique() == 1, "every arm and fold has the same genes"
    assert set(masks["arm"]) == {"uniform", "self-guided"}


def test_the_original_weights_encode_once_for_all_folds(tmp_path: Path) -> None:
    (tmp_path / "pooled").mkdir()
    kept = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "pooled" / "original.npy", kept)
    config, task, nobody = CompareConfig(data="few"), tasks.Task("original", 1), None
    found = tasks._pooled(nobody, nobody, kept, config, task, FinetuneConfig(), tmp_path, nobody)
    assert np.array_equal(found.of(np.array([2, 0])), kept[[2, 0]]), "without a model to encode with"


def test_the_original_weights_are_kept_nowhere(compared: Run) -> None:
    pooled = np.load(compared.path / "pooled" / "original.npy")
    assert np.isfinite(pooled).all() and pooled.std(0).max() > 0
    folder = compared.path / "tasks"
    assert not list(folder.glob("original.*/checkpoint"))
    for checkpoint in folder.glob("*/checkpoint"):
        assert (checkpoint / "LICENCE.txt").exists()
    assert len(list(folder.glob("*/checkpoint"))) == 4


def test_the_log_says_what_the_corpus_held_and_how_many_processes_work(compared: Run) -> None:
    log = (compared.path / "log.txt").read_text()
    assert f"the corpus that {BUNDLE!r} was pretrained on may hold this dataset" in log
    assert "in 1 processes" in log


def test_what_can_not_work_is_refused_before_anything_runs(
    compared: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SGM_HOME", str(compared.path.parents[1]))
    (tmp_path / "tasks").mkdir()
    tiny = FIELDS | {"backbone": "tiny", "arms": ("uniform",), "schemes": ("official",)}
    with pytest.raises(InputError, match="second-to-last"):
        compare_run(CompareConfig.from_dict(tiny), tmp_path, Run(tmp_path))
