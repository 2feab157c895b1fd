"""What a resumed run does again, and that it says so."""

import pandas as pd
import pytest

from sgm_core.errors import Cancelled
from sgm_core.progress import Observer
from sgm_core.runs.store import Run, create_run
from sgm_core.runs.worker import run_in_foreground


class StopsAfterAnEpoch(Observer):
    def metric(self, **values: object) -> None:
        raise Cancelled("enough")


def test_a_resumed_pretraining_shows_each_epoch_once(demo_dataset, monkeypatch) -> None:
    # Seen: the epochs of the first attempt stood before those of the second.
    def execute(run: Run, observer: Observer) -> None:
        for epoch in (1, 2):
            observer.metric(phase="pretrain", arm="self-guided", fold=-1, epoch=epoch, train_loss=0.5)

    monkeypatch.setattr("sgm_core.runs.worker.execute", execute)
    run = create_run("pretrain", "small", {"data": "small"})
    with pytest.raises(Cancelled):
        run_in_foreground(run, StopsAfterAnEpoch())
    assert run.metrics()["epoch"].tolist() == [1]
    run_in_foreground(run, Observer())
    assert run.metrics()["epoch"].tolist() == [1, 2]
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 3, "nothing is deleted"


def test_a_resumed_comparison_keeps_what_was_finished(demo_dataset) -> None:
    run = create_run("compare", "small", {"data": "small"})
    run.requeue()
    for epoch in (1, 2):
        run.metric(phase="pretrain", arm="uniform", fold=0, epoch=epoch)
    run.metric(phase="finetune", arm="uniform", fold=0, macro_f1=0.5)
    run.metric(phase="pretrain", arm="uniform", fold=1, epoch=1)
    run.metric(phase="baseline", arm="majority", fold=0)
    run.requeue()
    for epoch in (1, 2):
        run.metric(phase="pretrain", arm="uniform", fold=1, epoch=epoch)
    rows = run.metrics()
    pretrained = rows[rows["phase"] == "pretrain"]
    assert list(zip(pretrained["fold"], pretrained["epoch"])) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert rows["phase"].value_counts().to_dict() == {"pretrain": 4, "finetune": 1, "baseline": 1}
    pd.testing.assert_index_equal(rows.index, pd.RangeIndex(6))


def test_metrics_of_an_earlier_version_are_all_shown(demo_dataset) -> None:
    run = create_run("pretrain", "small", {"data": "small"})
    (run.path / "metrics.jsonl").write_text('{"phase": "pretrain", "epoch": 1}\n')
    assert run.metrics()["epoch"].tolist() == [1]


@pytest.mark.parametrize(
    ("kind", "words"),
    [("compare", "finished tasks are kept"), ("pretrain", "starts over"), ("umap", "starts over")],
)
def test_what_resuming_does_is_said_for_each_kind(demo_dataset, kind: str, words: str) -> None:
    assert words in create_run(kind, "small", {"data": "small"}).when_resumed
