"""What a list says of runs, and that the index beside them is never believed against the folders."""

import json
import shutil

import pandas as pd
import pytest

from sgm_core import home
from sgm_core.runs import summaries as summing
from sgm_core.runs.store import Run, create_run, list_runs
from sgm_core.runs.summaries import Summary, summaries


@pytest.fixture
def run(demo_dataset) -> Run:
    run = create_run("pretrain", "small", {"data": "small"})
    for epoch, losses in enumerate(((0.8, 0.6), (0.5, 0.4), (0.6, 0.5)), 1):
        for fold, loss in enumerate(losses):
            run.metric(phase="pretrain", fold=fold, epoch=epoch, validation_loss=loss, train_loss=9.0)
    run.metric(phase="finetune", epoch=1, validation_loss=0.01)
    return run


def made(monkeypatch) -> list[str]:
    """Note which runs are summed up anew from now on."""
    names: list[str] = []
    sum_up = summing._summary

    def note(run: Run) -> Summary:
        names.append(run.id)
        return sum_up(run)

    monkeypatch.setattr(summing, "_summary", note)
    return names


def test_the_curve_is_the_mean_over_folds_and_pretraining_comes_first(run) -> None:
    (found,) = summaries([run])
    assert found.curve == pytest.approx((0.7, 0.45, 0.55)) and found.loss == 0.4
    frame = run.metrics()
    pretrained = frame[frame["phase"] == "pretrain"].groupby("epoch")["validation_loss"].mean()
    assert found.curve == pytest.approx(tuple(pretrained)), "as the table of metrics has it"


def test_what_an_earlier_attempt_said_is_not_counted_twice(run) -> None:
    run.finish("paused")
    run.requeue()  # no checkpoint: it starts over
    run.metric(phase="pretrain", fold=0, epoch=1, validation_loss=0.3)
    assert summaries([run])[0].curve == (0.3,)


def test_scores_are_means_over_folds_without_baselines(demo_dataset) -> None:
    run = create_run("compare", "small", {"data": "small"})
    rows = [("a", "partial", 0.4), ("a", "partial", 0.6), ("b", "partial", 0.55), ("pca", "baseline", 0.9)]
    run.table("folds", pd.DataFrame(rows, columns=["arm", "scheme", "macro_f1"]))
    (found,) = summaries([run])
    assert (found.arm, found.macro_f1) == ("b", 0.55)


def test_a_second_look_reads_no_run_and_a_change_is_seen(run, monkeypatch) -> None:
    other = create_run("pretrain", "small", {"data": "small"})
    other.finish("failed", "x")
    runs = [run, other]
    before = summaries(runs)
    names = made(monkeypatch)
    assert summaries(runs) == before and names == []
    run.metric(phase="pretrain", fold=0, epoch=4, validation_loss=0.1)
    assert summaries(runs)[0].loss == 0.1 and names == [run.id]
    (other.path / "more.bin").write_bytes(bytes(5000))
    assert summaries(runs)[1].bytes == other.size() > before[1].bytes
    shutil.rmtree(run.path)  # and asked for again under the same ID
    again = create_run("pretrain", "small", {"data": "small"}, run_id=run.id)
    assert summaries([again])[0].curve == ()


def test_a_stale_damaged_or_missing_index_changes_nothing(run, monkeypatch) -> None:
    index = home.folder("runs") / ".index.sqlite"
    before = summaries([run])
    with summing._open() as opened:  # what a run of long ago, or another program, may have left
        opened.execute("UPDATE summaries SET stamp = '[]', summary = ?", [json.dumps({"loss": 0.001})])
        opened.execute("INSERT INTO summaries VALUES ('gone', '[]', '{}')")
    assert summaries([run]) == before
    with summing._open() as opened:
        assert [name for (name,) in opened.execute("SELECT run FROM summaries")] == [run.id]
        opened.execute("UPDATE summaries SET summary = '{\"nonsense\": 1}'")
    assert summaries([run]) == before, "one that can't be read is made again"
    index.write_bytes(b"no database" * 100)
    assert summaries([run]) == before
    assert summaries([run]) == before and made(monkeypatch) == []
    index.unlink()
    index.mkdir()  # can't be made
    assert summaries([run]) == before


def test_what_takes_long_is_left_for_the_next_time(run) -> None:
    other = create_run("pretrain", "small", {"data": "small"})
    assert summaries([run, other], at_most_s=0.0) == [None, None]
    assert None not in summaries([run, other])
    assert None not in summaries(list_runs(), at_most_s=0.0), "what is known takes no time"


def test_what_parts_of_a_run_say_counts_too(run) -> None:
    before = summaries([run])[0]
    run.part("other-machine").metric(phase="pretrain", fold=2, epoch=1, validation_loss=0.1)
    (after,) = summaries([run])
    assert before.loss == 0.4 and after.loss == 0.1 and after.curve[0] == pytest.approx((0.8 + 0.6 + 0.1) / 3)
