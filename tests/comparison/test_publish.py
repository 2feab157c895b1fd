"""What a comparison publishes as its tasks finish.

Seen: every finished piece read and wrote all predictions again, 21 s at 345,897 cells, and the loop that
looks for a wish to cancel waited for it.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sgm_core.analysis.metrics import per_class, per_donor
from sgm_core.analysis.pooled import pooled_table, with_pooled
from sgm_core.analysis.statistics import paired_table
from sgm_core.analysis.tally import tally
from sgm_core.comparison import publish as published
from sgm_core.comparison.parts import write_predictions
from sgm_core.comparison.publish import Publisher
from sgm_core.comparison.tasks import FOLDER, Task, drop_what_other_code_made
from sgm_core.errors import Cancelled
from sgm_core.home import write_json, write_table
from sgm_core.progress import Observer
from sgm_core.runs.store import Run, create_run
from sgm_core.training.counts import STATISTICS, sum_models
from sgm_core.training.finetune import fold_row
from sgm_core.training.train_cells import every_cell

ARMS, SCHEMES, FOLDS = ("uniform", "self-guided"), ("linear-probe", "partial"), 3
TASKS = [Task(arm, fold, seed) for fold in range(FOLDS) for arm in ARMS for seed in (0, 1)]
GENES = [f"G{i}" for i in range(12)]


def counts(task: Task) -> pd.DataFrame:
    """Return the masks of one model; the last gene is not among those of fold 0."""
    rng = np.random.default_rng([task.fold, task.seed, len(task.arm)])
    genes = GENES[:-1] if task.fold == 0 else GENES
    levels = [("all", ""), ("cell_type", "B"), ("cell_type", "T"), ("epoch", "1")]
    frame = pd.DataFrame(
        [(task.arm, task.fold, task.seed, by, level, gene) for by, level in levels for gene in genes],
        columns=["arm", "fold", "seed", "by", "level", "gene"],
    )
    frame[list(STATISTICS)] = rng.integers(1, 1000, (len(frame), len(STATISTICS))).astype(float)
    frame["opportunities"] = 1000.0
    frame["opportunities_nonzero"] = rng.integers(1, 1000, len(frame)).astype(float)
    return frame


def make(dataset, run: Run, task: Task) -> None:
    """Write what a task leaves behind."""
    rng = np.random.default_rng([task.fold, task.seed, len(task.arm), 1])
    donors = sorted(dataset.donors().unique())[task.fold :: FOLDS]
    cells = np.flatnonzero(dataset.donors().isin(donors) & dataset.labels().notna())
    true = dataset.labels().to_numpy()[cells].astype(str)
    classes = np.unique(true)
    folder = run.path / FOLDER / task.name
    folder.mkdir(parents=True)
    tables, rows = [], []
    for scheme in SCHEMES:
        predicted = np.where(rng.random(len(cells)) < 0.7, true, rng.choice(classes, len(cells)))
        table = pd.DataFrame({"cell": cells, "fold": task.fold, "arm": task.arm, "scheme": scheme})
        table = table.assign(seed=task.seed, true=true, predicted=predicted, confidence=0.5)
        tables.append(table.assign(scored=true != classes[-1]))
        fold = type("Fold", (), {"index": task.fold, "train": (), "test": tuple(donors)})
        rows.append(
            fold_row(dataset, fold, tables[-1], None, every_cell(np.arange(10)), 1.0) | {"donors_train": 5}
        )
    write_predictions(folder, tables)
    write_table(folder / "folds.parquet", pd.DataFrame(rows))
    masks = counts(task)
    write_table(folder / "masks.parquet", masks)
    write_table(folder / "masks_start.parquet", masks[masks["by"] == "all"])
    write_json(folder / "task.json", {"code": "a"})


@pytest.fixture
def run(few_cells) -> Run:
    return create_run("compare", "few", {"data": "few"})


def publisher(dataset, run: Run, observer: Observer | None = None) -> Publisher:
    return Publisher(dataset, SCHEMES, TASKS, run.path, observer or run)


def test_what_is_derived_from_counts_is_what_the_predictions_say(few_cells, run) -> None:
    for task in TASKS:
        make(few_cells, run, task)
    publisher(few_cells, run).publish()
    predictions = run.read_table("predictions")
    assert len(predictions) == 2 * len(SCHEMES) * len(ARMS) * few_cells.labels().notna().sum()
    donors = few_cells.donors()
    sides = ["arm", "scheme"]
    for name, expected, more in (
        ("per_class", per_class(predictions), ["fold", "cell_type", "scored"]),
        ("per_donor", per_donor(predictions, donors), ["donor"]),
        ("pooled", pooled_table(predictions, donors), []),
    ):
        keys = [*sides, *more]
        found = run.read_table(name).sort_values(keys, ignore_index=True)
        pd.testing.assert_frame_equal(found, expected.sort_values(keys, ignore_index=True))
    paired = with_pooled(paired_table(run.read_table("folds"), schemes=SCHEMES), predictions, donors)
    pd.testing.assert_frame_equal(run.read_table("paired"), paired)


@pytest.mark.parametrize("pieces", [1, 4])
def test_masks_are_summed_one_model_after_the_other(few_cells, run, pieces: int) -> None:
    mine = publisher(few_cells, run)
    for number in range(pieces):
        for task in TASKS[number::pieces]:
            make(few_cells, run, task)
        mine.publish()
    every = pd.concat([counts(task) for task in TASKS])
    expected = every.groupby(["arm", "by", "level", "gene"])[list(STATISTICS)].sum()
    found = run.read_table("masks", fold=-1)
    assert (found["seed"] == -1).all()
    found = found.set_index(["arm", "by", "level", "gene"])[list(STATISTICS)].sort_index()
    pd.testing.assert_frame_equal(found, expected.sort_index())
    models = run.read_table("masks", filters=[("fold", ">=", 0)])
    assert set(models["by"]) == {"all"} and len(models) == len(every[every["by"] == "all"])
    assert len(run.read_table("masks_start")) == len(models)
    table = sum_models(every)  # all models in one table
    again = table.set_index(["arm", "by", "level", "gene"])[list(STATISTICS)].sort_index()
    pd.testing.assert_frame_equal(again, expected.sort_index())


def test_what_a_model_prefers_is_worked_out_when_it_ends(few_cells, run, monkeypatch) -> None:
    # Seen: `sgm masks` worked it out three times, two minutes at 19,264 genes; a page did so on each visit.
    from sgm_core.analysis import mask_models

    for task in TASKS:
        make(few_cells, run, task)
    publisher(few_cells, run).publish()
    for name in ("masks", "masks_start"):
        models = mask_models.model_rows(run.read_table(name, by="all"), "uniform")
        fresh = mask_models.model_residuals(models.drop(columns=list(mask_models.RESIDUAL)))
        assert np.isfinite(fresh.residual).any()
        with monkeypatch.context() as patch:
            patch.delattr(mask_models, "matched_residuals")
            stored = mask_models.model_residuals(models)
        assert (stored.genes == fresh.genes).all() and (stored.seeds == fresh.seeds).all()
        np.testing.assert_array_equal(stored.residual, fresh.residual)
        np.testing.assert_array_equal(stored.variance, fresh.variance)


def test_a_finished_task_costs_its_own_tables_alone(few_cells, run, monkeypatch) -> None:
    for task in TASKS[:-1]:
        make(few_cells, run, task)
    mine = publisher(few_cells, run)
    mine.publish()
    before = {path: path.stat().st_mtime_ns for path in (run.path / "predictions").iterdir()}
    sums = (run.path / "masks" / "sum.uniform.parquet").stat().st_mtime_ns
    counted: list[int] = []
    monkeypatch.setattr(published, "tally", lambda table, donors: counted.append(1) or tally(table, donors))
    make(few_cells, run, TASKS[-1])
    mine.publish()
    assert len(counted) == len(SCHEMES), "what was counted before is not read again"
    after = {path: path.stat().st_mtime_ns for path in (run.path / "predictions").iterdir()}
    assert before.items() <= after.items() and len(after) == len(before) + len(SCHEMES)
    assert (run.path / "masks" / "sum.uniform.parquet").stat().st_mtime_ns == sums, "of the other arm"
    assert not list((run.path / FOLDER).glob("*/predictions/*")), "they are kept once"


def test_the_work_goes_on_and_sees_a_wish_to_cancel_while_tables_are_made(
    few_cells, run, monkeypatch
) -> None:
    make(few_cells, run, TASKS[0])
    make(few_cells, run, TASKS[1])
    read: list[float] = []

    def slow(table, donors):
        read.append(time.monotonic())
        time.sleep(0.3)
        return tally(table, donors)

    monkeypatch.setattr(published, "tally", slow)
    mine = publisher(few_cells, run)
    started = time.monotonic()
    mine.when_due()
    assert time.monotonic() - started < 0.2, "the loop does not wait"
    mine.when_due()  # one at a time
    run.ask_cancel()
    mine.wait()
    assert time.monotonic() - started < 1 and len(read) < 2 * len(SCHEMES)
    with pytest.raises(Cancelled):
        mine.publish()


def test_what_goes_wrong_aside_is_not_lost(few_cells, run) -> None:
    make(few_cells, run, TASKS[0])
    (run.path / FOLDER / TASKS[0].name / "folds.parquet").write_bytes(b"no parquet")
    mine = publisher(few_cells, run)
    mine.when_due()
    mine.wait()
    with pytest.raises(Exception, match=r"[Pp]arquet"):
        mine.when_due()


def test_parts_take_the_place_of_what_an_older_version_published(few_cells, run) -> None:
    run.table("predictions", pd.DataFrame({"arm": ["old"]}))
    run.table("masks", pd.DataFrame({"arm": ["old"]}))
    make(few_cells, run, TASKS[0])
    publisher(few_cells, run).publish()
    assert set(run.read_table("predictions")["arm"]) == set(run.read_table("masks")["arm"]) == {"uniform"}
    assert not drop_what_other_code_made(run.path, "a")
    assert drop_what_other_code_made(run.path, "b")
    assert run.read_table("predictions") is None, "scores of two versions are never in one table"


def test_a_row_of_a_tally_stands_for_its_cells(few_cells, run) -> None:
    make(few_cells, run, TASKS[0])
    publisher(few_cells, run).publish()
    predictions = run.read_table("predictions")
    counted = tally(predictions, few_cells.donors())
    assert counted["cells"].sum() == len(predictions) > len(counted)
    donor = few_cells.donors().to_numpy()[predictions["cell"]]
    some = counted.loc[counted["cells"].idxmax()]
    same = (donor == some["donor"]) & (predictions["scheme"] == some["scheme"])
    same &= (predictions["true"] == some["true"]) & (predictions["predicted"] == some["predicted"])
    assert same.sum() == some["cells"] > 1


def test_predictions_lie_in_one_file_an_arm_and_scheme(few_cells, run, tmp_path: Path) -> None:
    make(few_cells, run, TASKS[0])
    folder = run.path / FOLDER / TASKS[0].name / "predictions"
    assert sorted(path.name for path in folder.iterdir()) == [
        "uniform.linear-probe.fold0.seed0.parquet",
        "uniform.partial.fold0.seed0.parquet",
    ]
