import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from sgm_core import home, tables
from sgm_core.errors import Cancelled, InputError, NotFoundError
from sgm_core.runs.carry import MANIFEST, export_run, export_size
from sgm_core.runs.process import identity
from sgm_core.runs.run import Run
from sgm_core.runs.store import cancel_run, create_run, list_runs, open_run


@pytest.fixture
def run() -> Run:
    return create_run("import", "aml", {"path": "counts.h5ad", "donor": "donor", "seed": 3})


def test_config_says_everything_needed_to_repeat_the_run(run: Run) -> None:
    config = json.loads((run.path / "config.json").read_text())
    assert config["kind"] == run.kind == "import"
    assert config["dataset"] == run.dataset_name == "aml"
    assert config["seed"] == 3
    assert config["parameters"] == run.parameters
    assert Path(config["parameters"]["path"]).is_absolute(), "a worker has another working directory"
    assert config["code_version"].startswith("0.")
    assert config["hardware"]["cores"] >= 1
    assert config["hardware"]["memory_gib"] > 0.1
    assert config["hardware"]["torch"]
    assert run.state == "queued"
    assert open_run(run.id).title == "Import counts.h5ad as aml"


def test_a_comparison_has_one_id_for_one_question(demo_dataset) -> None:
    first = create_run("compare", "small", {"data": "small", "folds": 3})
    again = create_run("compare", "small", {"folds": 3, "data": "small"})
    other = create_run("compare", "small", {"data": "small", "folds": 4})
    assert first.id == again.id != other.id
    assert first.id.startswith("compare-small-")
    assert first.config["dataset_hash"] == demo_dataset.content_hash
    assert len(list_runs()) == 2


def test_other_kinds_get_a_new_id_every_time(demo_dataset) -> None:
    runs = [create_run("pretrain", "small", {"data": "small"}) for _ in range(3)]
    assert len({run.id for run in runs}) == 3


@pytest.mark.parametrize(
    ("kind", "dataset", "message"),
    [("dream", "aml", "unknown kind"), ("import", "../aml", "dataset name"), ("import", "", "dataset name")],
)
def test_bad_requests_leave_nothing_behind(kind: str, dataset: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        create_run(kind, dataset, {})
    assert list_runs() == []


def test_a_missing_dataset_or_run_is_named() -> None:
    with pytest.raises(NotFoundError, match="nothing-here"):
        create_run("pretrain", "nothing-here", {})
    with pytest.raises(NotFoundError, match="no run 'x'"):
        open_run("x")
    with pytest.raises(InputError, match="run ID"):
        open_run("../../etc")


def test_metrics_hold_no_nan_and_survive_a_torn_line(run: Run) -> None:
    run.metric(phase="pretrain", epoch=np.int64(1), train_loss=np.float32(0.5), validation_loss=float("nan"))
    with (run.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"phase": "pretr')  # what kill -9 leaves
    run.metric(phase="pretrain", epoch=2, train_loss=float("inf"))
    text = (run.path / "metrics.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    metrics = run.metrics()
    assert metrics["epoch"].tolist() == [1, 2]
    assert metrics["train_loss"].iloc[0] == 0.5
    assert metrics["validation_loss"].isna().all()
    assert pd.to_datetime(metrics["time"]).is_monotonic_increasing


def test_a_run_without_metrics_tables_and_log_is_empty(run: Run) -> None:
    assert run.metrics().empty
    assert run.read_table("folds") is None
    assert run.log_tail() == ""
    assert run.tables() == []


def test_log_lines_carry_the_time_and_the_tail_is_the_end(run: Run) -> None:
    for line in range(1000):
        run.message(f"line {line}")
    run.message("two\nlines")
    tail = run.log_tail(3).splitlines()
    assert [line.split(" ", 1)[1] for line in tail] == ["line 999", "two", "lines"]
    assert tail[0].split(" ")[0].endswith("Z")


def test_progress_is_throttled_and_estimates_the_time_left(run: Run, monkeypatch) -> None:
    clock = [100.0]
    writes: list[dict] = []
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr(run, "update", lambda **changes: writes.append(changes["progress"]))
    run.progress(20, 100, "resumed at 20")
    for step in range(21, 101):
        clock[0] += 0.1
        run.progress(step, 100, "training")
    assert 15 <= len(writes) <= 20, "8 seconds of work, about two writes a second"
    assert writes[0]["eta_s"] is None
    assert writes[5]["eta_s"] == pytest.approx((100 - writes[5]["done"]) * 0.1)
    assert writes[-1]["done"] == 100


def test_tables_come_back_with_columns_and_filters(run: Run) -> None:
    frame = pd.DataFrame({"arm": ["uniform", "self-guided"], "fold": [0, 1], "macro_f1": [0.4, np.nan]})
    run.table("folds", frame)
    run.table("folds", frame)
    pd.testing.assert_frame_equal(run.read_table("folds"), frame)
    part = run.read_table("folds", columns=["fold"], filters=[("arm", "==", "self-guided")])
    assert part["fold"].tolist() == [1]
    assert run.tables() == ["folds"]
    with pytest.raises(InputError, match="table"):
        run.table_path("../folds")


def test_check_raises_once_someone_cancels(run: Run) -> None:
    run.check()
    cancel_run(run.id)
    assert run.state == "cancelled"
    with pytest.raises(Cancelled):
        run.check()
    with pytest.raises(InputError, match="nothing to cancel"):
        cancel_run(run.id)


def _dead_process() -> dict:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    facts = identity(process.pid)
    process.kill()
    process.wait()
    return facts


def test_a_run_whose_process_died_is_lost(run: Run) -> None:
    run.update(state="running", **_dead_process())
    assert open_run(run.id).state == "lost"
    assert json.loads((run.path / "status.json").read_text())["state"] == "lost", "stored, not only said"


def test_a_zombie_is_dead_too(run: Run) -> None:
    process = subprocess.Popen(["true"])
    facts = identity(process.pid)
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:  # ended, and nobody has waited for it
        time.sleep(0.01)
    run.update(state="running", **facts)
    assert run.state == "lost"
    process.wait()


def test_a_reused_pid_is_not_mistaken_for_the_worker(run: Run) -> None:
    here = identity()
    run.update(state="running", pid=here["pid"], process_started=here["process_started"] - 3600)
    assert run.state == "lost"


def test_a_cancelled_run_whose_process_died_is_cancelled(run: Run) -> None:
    run.update(state="running", **_dead_process())
    run.ask_cancel()
    assert run.state == "cancelled"


def test_a_live_process_is_left_alone(run: Run) -> None:
    run.begin()
    assert run.state == "running"
    assert run.status["pid"] == os.getpid()


def test_a_queued_run_that_was_never_started_is_lost_after_a_while(run: Run) -> None:
    assert run.state == "queued"
    run.update(queued="2024-01-01T00:00:00.000Z")
    assert run.state == "lost"


def test_listing_is_newest_first_and_skips_damaged_folders(run: Run) -> None:
    time.sleep(0.01)
    second = create_run("import", "other", {})
    damaged = home.folder("runs") / "damaged"
    damaged.mkdir()
    (damaged / "config.json").write_text("{")
    assert [item.id for item in list_runs()] == [second.id, run.id]


def test_listing_reads_each_run_once(monkeypatch) -> None:
    for number in range(50):
        path = home.folder("runs") / f"run-{number}"
        path.mkdir()
        (path / "config.json").write_text(json.dumps({"created": f"2026-01-01T00:00:{number}Z"}))
        (path / "status.json").write_text(json.dumps({"state": "done"}))
    read, read_json = [], home.read_json

    def count(path: Path) -> object:
        read.append(path)
        return read_json(path)

    monkeypatch.setattr(home, "read_json", count)
    assert len(list_runs()) == 50
    assert len(read) == len(set(read)) == 100, "status and configuration"
    read.clear()
    assert len(list_runs()) == 50 and not read, "nothing has changed"
    list_runs()[0].update(state="failed", error="why")
    assert [run.state for run in list_runs()].count("failed") == 1
    assert {path.name for path in read} == {"status.json"} and len(read) == 1, "what changed is read, once"


def test_a_run_of_the_same_name_is_another_run(run: Run) -> None:
    # the ID of a comparison follows from what it asks for: deleted and asked for again, it has the same
    before = open_run(run.id).title
    shutil.rmtree(run.path)
    again = create_run("import", "other", {}, title="Another", run_id=run.id)
    assert again.title == "Another" != before


def test_a_table_of_parts_reads_what_is_asked_for(run: Run) -> None:
    # Seen: six million predictions were read where a page shows one arm.
    for arm in ("uniform", "self-guided"):
        part = pd.DataFrame({"cell": range(3), "arm": pd.Categorical([arm] * 3), "true": ["T", "B", arm]})
        tables.write(tables.part_path(run.path, "predictions", arm), part)
    assert run.tables() == ["predictions"]
    assert len(run.read_table("predictions")) == 6
    mine = run.read_table("predictions", columns=["cell", "true"], arm="uniform")
    assert mine.to_dict("list") == {"cell": [0, 1, 2], "true": ["T", "B", "uniform"]}
    assert run.read_table("predictions", arm="none").empty
    small = run.read_table("predictions", categories=True)
    assert (small["true"].to_numpy() == run.read_table("predictions")["true"].to_numpy()).all()
    assert small["true"].cat.codes.nbytes == 6, "a byte a row"
    with pytest.raises(InputError, match="'predictions' has no column 'scheme'"):
        run.read_table("predictions", scheme="partial")
    (run.path / "pooled").mkdir()  # of vectors
    run.table("pooled", part)
    assert len(run.read_table("pooled")) == 3 and run.tables() == ["pooled", "predictions"]


def test_a_table_in_one_file_is_read_as_parts_are(run: Run) -> None:
    run.table("predictions", pd.DataFrame({"arm": ["a", "b"], "cell": [1, 2]}))  # as older runs have it
    assert run.read_table("predictions", arm="b")["cell"].tolist() == [2]
    assert tables.stamp(run.table_path("predictions")) and not tables.stamp(run.table_path("folds"))


def test_parallel_updates_do_not_lose_each_other(run: Run) -> None:
    code = (
        "import sys; from sgm_core.runs.store import open_run\n"
        "run = open_run(sys.argv[1])\n"
        "for value in range(30): run.update(**{sys.argv[2]: value})"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, run.id, field]) for field in ("a", "b")]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert run.status["a"] == run.status["b"] == 29


def test_an_export_holds_all_that_the_run_keeps(run: Run, tmp_path: Path) -> None:
    # Seen: the page promised the checkpoint, and the tasks of a comparison, which have them, were left out.
    run.table("folds", pd.DataFrame({"fold": [0]}))
    kept = ("tasks/uniform.fold0/checkpoint/weights.safetensors", "tasks/uniform.fold0/task.json")
    for name in (*kept, "tasks/.uniform.fold1.own-1-00.00/half.parquet", "pooled/uniform.fold0.npy"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("x" * 100)
    run.message("hello")
    target = export_run(run.id, tmp_path / "out.zip")
    names = {name.removeprefix(f"{run.id}/") for name in zipfile.ZipFile(target).namelist()} - {MANIFEST}
    always = {"config.json", "status.json", "log.txt", "folds.parquet", "pooled/uniform.fold0.npy"}
    assert names == always | set(kept)
    packed = [info for info in zipfile.ZipFile(target).infolist() if info.filename != MANIFEST]
    assert export_size(run) == sum(info.file_size for info in packed)
    assert export_run(run.id).parent == home.folder("exports")
