"""Runs handed to other trackers: what is written is read back with the tracker's own reader."""

import json
from importlib.util import find_spec

import pytest

from sgm_core.cli import main
from sgm_core.errors import InputError
from sgm_core.runs.labels import note_run, tag_run
from sgm_core.runs.run import Run
from sgm_core.runs.trackers import export_to


@pytest.fixture
def run(demo_dataset) -> Run:
    """A finished comparison with tags, a note and a pulse."""
    from synthetic_run import make_compare_run

    from sgm_core.runs.store import open_run

    run = open_run(make_compare_run(demo_dataset.name))
    run.pulse(phase="pretrain", arm="uniform", fold=0, epoch=0.5, step=25, loss=1.25, cells_per_s=100.0)
    tag_run(run.id, ["paper"])
    note_run(run.id, "the one | in Figure 2")
    return run


def test_tensorboard_reads_curves_parameters_tags_and_tables(run, tmp_path) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # an export is repeated, and not added to itself
        (folder,) = export_to("tensorboard", [run], tmp_path / "logs")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    rows = run.metrics()
    mine = rows[(rows["arm"] == "self-guided") & (rows["fold"] == 1) & (rows["phase"] == "pretrain")]
    read = events.Scalars("pretrain/self-guided/fold1/validation_loss")
    assert [each.step for each in read] == mine["epoch"].tolist()
    assert [each.value for each in read] == pytest.approx(mine["validation_loss"].tolist(), rel=1e-6)
    (pulse,) = events.Scalars("within/pretrain/uniform/fold0/loss")
    assert (pulse.step, pulse.value) == (25, 1.25)
    folds = run.read_table("folds")
    mean = folds[(folds["arm"] == "self-guided") & (folds["scheme"] == "partial")]["macro_f1"].mean()
    assert events.Scalars("macro_f1/self-guided/partial")[0].value == pytest.approx(mean)

    def text(name: str) -> str:
        return events.Tensors(f"{name}/text_summary")[0].tensor_proto.string_val[0].decode()

    assert "| folds | 3 |" in text("parameters")
    assert "| sgm.tags | paper |" in text("tags") and r"the one \| in Figure 2" in text("tags")
    assert text("tables/folds").count("\n") >= len(folds)
    assert [path.name for path in (tmp_path / "logs").iterdir()] == [run.id], "nothing is left beside it"


def test_mlflow_reads_curves_parameters_tags_and_tables(run, tmp_path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow")
    for _ in range(2):
        (store,) = export_to("mlflow", [run], tmp_path / "logs")
    client = mlflow.MlflowClient(f"sqlite:///{store}")
    (found,) = client.search_runs([client.get_experiment_by_name("sgm").experiment_id])
    rows = run.metrics()
    mine = rows[(rows["arm"] == "uniform+summary") & (rows["fold"] == 1) & (rows["phase"] == "pretrain")]
    read = client.get_metric_history(found.info.run_id, "pretrain/uniform-summary/fold1/validation_loss")
    assert sorted(each.step for each in read) == mine["epoch"].tolist()
    assert sorted(each.value for each in read) == pytest.approx(sorted(mine["validation_loss"]))
    assert found.data.params["folds"] == "3" and found.data.tags["sgm.tags"] == "paper"
    assert found.info.status == "FINISHED" and found.info.run_name == "Synthetic run"
    names = [item.path for item in client.list_artifacts(found.info.run_id, "tables")]
    assert "tables/folds.csv" in names


def test_what_is_missing_is_said_with_how_to_install_it(run, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sgm_core.runs.trackers.find_spec", lambda name: None)
    for tracker in ("tensorboard", "mlflow"):
        assert main(["runs", "export-to", tracker, run.id, "--to", str(tmp_path)]) == 2
        assert f"pip install {tracker}" in capsys.readouterr().err
    with pytest.raises(InputError, match="unknown tracker"):
        export_to("wandb", [run], tmp_path)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="pip install tensorboard")
def test_the_command_says_how_to_look(run, tmp_path, capsys) -> None:
    assert main(["runs", "export-to", "tensorboard", "latest", "--to", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == [run.id]
    (tmp_path / "file").touch()
    assert main(["runs", "export-to", "tensorboard", run.id, "--to", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err
