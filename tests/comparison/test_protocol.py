"""The comparison end to end on the small demo: whole tables, honest folds, and what is done is not redone."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from few_dataset import few

from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.split import donor_folds
from sgm_core.comparison.arms import settings
from sgm_core.comparison.config import CompareConfig
from sgm_core.comparison.protocol import compare_run, tasks_of
from sgm_core.comparison.tasks import BASELINE
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.runs.store import Run, create_run
from sgm_core.runs.worker import execute

CONFIG = CompareConfig(
    data="few",
    folds=2,
    seeds=2,
    arms=("no-pretraining", "uniform+summary", "self-guided"),
    pretrain={"epochs": 1, "n_genes": 60, "latents": 4, "latent_width": 8},
    finetune={"epochs": 1, "probe_epochs": 5},
    device="cpu",
    umap=False,
    labels=("3", "all"),
    label_draws=2,
)


class Log(Observer):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


class Keep(Log):
    """Remembers the log and keeps the tables in a run."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def table(self, name: str, frame: pd.DataFrame) -> None:
        self.run.table(name, frame)


@pytest.fixture(scope="module")
def compared(demo_home: Path, tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("compared") / "home"
    home.mkdir()
    few(demo_home, home, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        run = create_run("compare", "few", CONFIG.to_dict())
        execute(run)
        yield run


def test_every_table_is_there(compared) -> None:
    folds = compared.read_table("folds")
    counted = folds.groupby(["arm", "scheme"]).size()
    assert len(counted) == 3 * 2 + 4
    for (arm, _), rows in counted.items():
        assert rows == CONFIG.folds * (2 if arm in ("uniform+summary", "self-guided") else 1), arm
    assert folds["macro_f1"].between(0, 1).all()
    for name in (
        "summary",
        "paired",
        "pooled",
        "per_class",
        "per_donor",
        "masks",
        "masks_start",
        "mask_cells",
        "reconstruction",
    ):
        table = compared.read_table(name)
        assert table is not None and len(table), name
    metrics = compared.metrics()
    assert {"pretrain", "finetune", "baseline"} <= set(metrics["phase"])


def test_every_labelled_cell_is_tested_once_by_the_fold_that_never_saw_its_donor(
    compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGM_HOME", str(compared.path.parents[1]))
    ds = open_dataset("few")
    predictions = compared.read_table("predictions")
    labelled = ds.labels().notna().sum()
    folds = {fold.index: fold for fold in donor_folds(ds, n_folds=CONFIG.folds)}
    for key, table in predictions.groupby(["arm", "scheme", "seed"]):
        assert len(table) == labelled and table["cell"].is_unique, key
    donors = ds.donors()
    for fold, table in predictions.groupby("fold"):
        assert set(donors.iloc[table["cell"].unique()]) <= set(folds[fold].test)
    true = ds.labels().iloc[predictions["cell"]].to_numpy()
    assert (predictions["true"].to_numpy() == true).all()


def test_masks_of_the_models_add_up(compared) -> None:
    masks = compared.read_table("masks")
    everything = masks[masks["by"] == "all"]
    models = everything[everything["fold"] >= 0]
    assert set(zip(models["fold"], models["seed"], strict=True)) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    total = everything[everything["fold"] == -1].set_index(["arm", "gene"])["masked"]
    summed = models.groupby(["arm", "gene"])["masked"].sum()
    pd.testing.assert_series_equal(summed.sort_index(), total.sort_index(), check_names=False)
    assert set(masks.loc[masks["by"] != "all", "fold"]) == {-1}


def test_every_model_shows_the_masks_it_began_with(compared) -> None:
    """Masks start uniform: at step 0 the self-guided arm hides what the uniform one does."""
    start, cells = compared.read_table("masks_start"), compared.read_table("mask_cells")
    keys = ["fold", "seed", "gene"]
    guided, uniform = (
        start[start["arm"] == arm].set_index(keys)["masked"].sort_index()
        for arm in ("self-guided", "uniform+summary")
    )
    pd.testing.assert_series_equal(guided, uniform)
    assert guided.index.droplevel("gene").nunique() == 4 and guided.sum() > 0
    first = cells[cells["epoch"] == 0]
    assert len(first) == 8 and first["effective_share"].between(0.9999, 1.0001).all()


def test_asking_again_redoes_only_what_is_missing(compared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGM_HOME", str(compared.path.parents[1]))
    folder = compared.path / "tasks"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(before) == len(tasks_of(CONFIG))
    scores = compared.read_table("folds").sort_values(["arm", "scheme", "fold", "seed"])
    shutil.rmtree(folder / "self-guided.fold1.seed0")
    (compared.path / "folds.parquet").unlink()
    log = Keep(compared)
    compare_run(CONFIG, compared.path, log)
    assert any(f"{len(before) - 1} of {len(before)} tasks are done already" in line for line in log.lines)
    for path in folder.iterdir():
        redone = path.stat().st_mtime_ns != before[path.name]
        assert redone == (path.name == "self-guided.fold1.seed0"), path.name
    again = compared.read_table("folds").sort_values(["arm", "scheme", "fold", "seed"])
    pd.testing.assert_series_equal(
        scores["macro_f1"], again["macro_f1"], check_index=False, obj="the same seed, the same scores"
    )


def test_a_failed_task_leaves_no_half_of_it(
    few_cells, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sgm_core.comparison import tasks

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(tasks, "_baselines", fail)
    (tmp_path / "tasks").mkdir()
    task = tasks_of(CONFIG)[0]
    assert task.arm == BASELINE
    with pytest.raises(OSError, match="disk full"):
        tasks.run_task(CONFIG, task, tmp_path, "code", tasks.TaskObserver(Observer(), 0))
    assert list((tmp_path / "tasks").iterdir()) == []


def test_arms_differ_in_masker_and_summary_alone() -> None:
    fields = {arm: settings(CONFIG, arm)[0].to_dict() for arm in ("uniform+summary", "self-guided")}
    guided, uniform = fields["self-guided"], fields["uniform+summary"]
    assert {name for name in guided if guided[name] != uniform[name]} == {"masker"}
    assert settings(CONFIG, "self-guided")[1] == settings(CONFIG, "uniform+summary")[1]


def test_a_comparison_takes_a_preset_of_pretraining() -> None:
    config = CompareConfig(data="small", folds=3, pretrain={"preset": "paper", "epochs": 2})
    pretraining, finetuning = settings(config, "self-guided", 1)
    assert (pretraining.preset, pretraining.epochs, pretraining.batch_size) == ("paper", 2, 1)
    assert (pretraining.fold, pretraining.n_folds, finetuning.fold) == (1, 3, 1)


def test_wrong_fields_are_refused_before_anything_runs(demo_dataset) -> None:
    with pytest.raises(InputError, match="pretrain: unknown field 'epoch'"):
        CompareConfig(data="small", folds=2, pretrain={"epoch": 3}, umap=False)
    with pytest.raises(InputError, match="unknown arm"):
        CompareConfig(data="small", arms=("guided",))


def test_few_labels_are_the_same_for_every_model_and_fewer(compared) -> None:
    budgets, folds = compared.read_table("budgets"), compared.read_table("folds")
    few, whole = budgets[budgets["labels"] == 3], budgets[budgets["labels"] == 0]
    assert len(whole) == len(folds) and set(whole["macro_f1"]) == set(folds["macro_f1"])
    sides = few.groupby(["arm", "scheme"]).size()
    assert set(sides.index) == set(folds.groupby(["arm", "scheme"]).groups) - {("majority", "baseline")}
    for (arm, _), rows in sides.items():
        assert rows == 2 * CONFIG.folds * (2 if arm in ("uniform+summary", "self-guided") else 1)
    # whoever learns has the same cells
    sizes = few.groupby(["fold", "draw"])["n_train"].nunique()
    assert (sizes == 1).all() and (few["n_train"] <= 3 * few["n_classes"]).all()
    assert few["n_train"].max() < whole["n_train"].min()
    assert few.groupby(["arm", "scheme", "fold", "seed"])["macro_f1"].nunique().max() == 2, "draws differ"
    paired = compared.read_table("budget_paired")
    main = paired[paired["main"]]
    assert set(main["labels"]) == {0, 3} and set(main["scheme"]) == {"partial"} and len(main) == 6
    assert set(compared.read_table("budget_summary")["labels"]) == {0, 3}
    assert not set(compared.read_table("predictions")["scheme"]) - {"partial", "linear-probe", "baseline"}
    assert len(compared.read_table("predictions")) == folds["n_test"].sum(), "those with all labels alone"
