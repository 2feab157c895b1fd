"""sgm pretrain, finetune and compare: real small runs, and one line for what can't be done."""

import json

import pytest

from sgm_core.cells.dataset import Dataset
from sgm_core.cli import main
from sgm_core.runs.store import create_run, list_runs, open_run
from sgm_core.training.folds import run_folds

QUICK = ["epochs=1", "n_genes=60", "latents=4", "latent_width=8"]


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> dict:
    code = main([*argv, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(list(argv)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sgm")]
    assert len(lines) == 1 and "Traceback" not in lines[0]
    return lines[0]


def test_pretrain_then_finetune_on_its_own_fold_only(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    done = answer(
        capsys, "pretrain", "--data", "small", "--fold", "1", "--device", "cpu", "--set", *QUICK, "n_folds=3"
    )
    assert done["state"] == "done" and 0 < done["masks"]["effective_share"] <= 1
    run = open_run(done["run"])
    assert run.read_table("masks")["fold"].isin([-1, 1]).all()
    assert (run.path / "checkpoint" / "weights.safetensors").exists()
    scores = answer(
        capsys,
        "finetune",
        "--run",
        run.id,
        "--scheme",
        "linear-probe",
        "--device",
        "cpu",
        "--set",
        "probe_epochs=5",
    )
    assert [row["fold"] for row in scores["folds"]] == [1], "a run for fold 1 is tested on fold 1 alone"
    text = complaint(capsys, "finetune", "--run", run.id, "--fold", "0", "--device", "cpu")
    assert "has seen the test donors" in text and "--fold 0" in text


def test_a_corpus_of_copies_trains_no_cell_twice(
    demo_dataset: Dataset, few_cells: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain = ["pretrain", "--data", "small", "--fold", "0", "--device", "cpu", "--set", *QUICK]
    done = answer(capsys, *pretrain, "--corpus", "few")
    run = open_run(done["run"])
    assert run.parameters["corpus"] == ["few"] and run.config["corpus_hashes"] == {
        "few": few_cells.content_hash
    }
    table = run.read_table("corpus").set_index("dataset")
    fold = run_folds(demo_dataset, run.parameters)[0]
    held = few_cells.donors().isin([*fold.test, *fold.validation]).sum()
    assert table.loc["few", "trained"] == 0 and table.loc["few", "same_donor"] == held > 0
    assert table.loc["few", "copies"] == few_cells.n_cells - held
    assert f"0 of {few_cells.n_cells} cells of 'few'" in run.log_tail()
    text = complaint(capsys, *pretrain, "--corpus", "few,nowhere")
    assert "no dataset 'nowhere'" in text
    report = answer(
        capsys, *pretrain, "--corpus", "few", "--corpus-genes", "union", "--dry-run", "--no-probe"
    )
    alone = answer(capsys, *pretrain, "--dry-run", "--no-probe")
    assert report["parameters"]["corpus_genes"] == "union"
    assert report["estimate"]["cells"] == alone["estimate"]["cells"] + few_cells.n_cells


def test_shared_pretraining_is_labelled_and_tested_on_every_fold(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [*QUICK, "n_folds=2"]
    done = answer(
        capsys, "pretrain", "--data", "small", "--masker", "uniform", "--device", "cpu", "--set", *fields
    )
    run = open_run(done["run"])
    assert "shared" in run.title and "shared pretraining" in run.log_tail()
    partial = ["--scheme", "partial", "--device", "cpu", "--set", "epochs=1"]
    scores = answer(capsys, "finetune", "--run", run.id, *partial)
    assert [row["fold"] for row in scores["folds"]] == [0, 1]
    assert "optimistic" in open_run(scores["run"]).log_tail()


def test_bad_input_is_one_line_and_leaves_no_run(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain = ["pretrain", "--data", "small"]
    assert "'ghost'" in complaint(capsys, "pretrain", "--data", "ghost")
    assert "unknown field 'epoch'" in complaint(capsys, *pretrain, "--set", "epoch=2")
    assert "FIELD=VALUE" in complaint(capsys, *pretrain, "--set", "epochs")
    assert "epochs is 'many'" in complaint(capsys, *pretrain, "--set", "epochs=many")
    assert "pretrain.FIELD=VALUE" in complaint(capsys, "compare", "--data", "small", "--set", "epochs=2")
    assert "no run 'ghost'" in complaint(capsys, "finetune", "--run", "ghost")
    assert list_runs() == []


def test_dry_run_measures_and_starts_nothing(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain = ["pretrain", "--data", "small", "--device", "cpu", "--set", *QUICK]
    counted = answer(capsys, *pretrain, "--dry-run", "--no-probe")["estimate"]
    assert not counted["measured"] and counted["parts"] is None
    measured = answer(capsys, *pretrain, "--dry-run")["estimate"]
    assert measured["measured"] and measured["parts"]["pretrain"]["steps"] == 3
    for found in (counted, measured):
        assert found["seconds"] > 0 and found["memory_bytes"] > 0 and found["tokens"]["mean"] > 0
    # what was measured holds without measuring again, as on New run and when the run is started
    assert answer(capsys, *pretrain, "--dry-run", "--no-probe")["estimate"] | {"machine": 0} == measured | {
        "machine": 0
    }
    quick = ["pretrain." + field for field in QUICK]
    again = answer(capsys, "compare", "--data", "small", "--device", "cpu", "--set", *quick, "--dry-run")
    assert again["estimate"]["measured"] and again["estimate"]["pretrainings"] == 40
    assert list_runs() == []
    assert main([*pretrain, "--dry-run", "--no-probe"]) == 0
    text = capsys.readouterr().out
    assert "tokens per cell" in text and "rests on" in text and "free now" in text


def test_what_cannot_fit_is_refused_before_it_starts(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sgm_core import device as machine

    small = ["pretrain", "--data", "small", "--device", "cpu", "--backbone", "small", "--set"]
    needed = answer(capsys, *small, "batch_size=400", "--dry-run", "--no-probe")["estimate"]["memory_bytes"]
    there = machine.Memory(needed // 2, needed // 2, "memory")
    monkeypatch.setattr(machine, "memory", lambda device: there)
    for dry in ([], ["--dry-run"], ["--dry-run", "--no-probe"]):
        text = complaint(capsys, *small, "batch_size=400", *dry)
        assert "would not fit" in text and "this would fit: --set recompute=true" in text
    assert "more than 99 tokens" in complaint(capsys, *small, "max_tokens=99")
    assert list_runs() == []


def test_finetuning_takes_a_run_or_weights(demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--run ID" in complaint(capsys, "finetune")
    assert "--run ID" in complaint(capsys, "finetune", "--run", "a", "--backbone", "b", "--data", "small")
    run = create_run("pretrain", "small", {"data": "small"})
    assert "goes with --backbone" in complaint(capsys, "finetune", "--run", run.id, "--weights-key", "cell")
    assert "was pretrained on 'small'" in complaint(capsys, "finetune", "--run", run.id, "--data", "other")
    assert "needs --data" in complaint(capsys, "finetune", "--backbone", "ghost")
    text = complaint(capsys, "pretrain", "--data", "small", "--backbone", "ghost")
    assert "'ghost'" in text and "tiny" in text


def test_set_refuses_with_the_message_of_the_configuration(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    for field, message in (
        ("mask_ratio=1.5", "mask_ratio is 1.5: it must be above 0 and below 1"),
        ("lr_new=nan", "lr_new is nan: it must be above 0 and at most 1"),
        ("subset=9", "subset is 9: it is drawn from the latents, of which there are 4"),
    ):
        assert message in complaint(capsys, "pretrain", "--data", "small", "--set", field)
        nested = complaint(capsys, "compare", "--data", "small", "--set", f"pretrain.{field}")
        assert f"pretrain: {message}" in nested
    assert not list_runs()


def test_compare_takes_a_preset_and_a_split(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "compare",
        "--data",
        "small",
        "--backbone",
        "small",
        "--device",
        "cpu",
        "--dry-run",
        "--no-probe",
    ]
    told = answer(capsys, *command, "--preset", "authors", "--split", "authors")["parameters"]
    assert told["pretrain"]["preset"] == told["finetune"]["preset"] == "authors"
    assert told["split"] == "authors"
    told = answer(capsys, *command, "--preset", "paper", "--split", "holdout")
    assert told["estimate"]["pretrainings"] == 8, "a split, four trained arms, two of them with three seeds"


def test_the_log_names_the_donors_of_run_folds_whatever_the_seed(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pretrain", "--data", "small", "--masker", "uniform", "--fold", "0", "--seed", "7"]
    done = answer(capsys, *command, "--device", "cpu", "--set", "epochs=1", "n_genes=60", "summary=none")
    run = open_run(done["run"])
    donors = ", ".join(run_folds(demo_dataset, run.parameters)[0].test)
    assert f"fold 0: the test donors {donors} are never seen" in run.log_tail()


def test_the_training_cells_of_an_epoch_are_an_option_everywhere(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = ["--data", "small", "--device", "cpu", "--dry-run", "--no-probe", "--train-cells"]
    for number, asked in ((40, "40"), (None, "none")):
        assert answer(capsys, "compare", *dry, asked)["parameters"]["train_cells"] == number
        assert answer(capsys, "pretrain", *dry, asked)["parameters"]["train_cells"] == number
    assert answer(capsys, "compare", *dry, "40")["estimate"]["cells"] == 40
    assert "train_cells is 'many'" in complaint(capsys, "compare", *dry, "many")
