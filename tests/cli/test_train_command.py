"""sgm pretrain, finetune and compare: real small runs, and one line for what can't be done."""

import json

import pytest

from sgm_core.cells.dataset import Dataset
from sgm_core.cli import main
from sgm_core.runs.store import list_runs, open_run
from sgm_core.training.config import CompareConfig, PretrainConfig
from sgm_core.training.estimate import estimate, estimate_compare, sentence

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


def test_dry_run_estimates_and_starts_nothing(
    demo_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("pretrain", "compare"):
        guess = answer(capsys, command, "--data", "small", "--dry-run")["estimate"]
        assert guess["seconds"] > 0 and guess["memory_bytes"] > 0
    assert list_runs() == []


def test_estimates_grow_with_the_work(demo_dataset: Dataset) -> None:
    one = estimate(PretrainConfig(data="small", epochs=1, device="cpu"), demo_dataset)
    three = estimate(PretrainConfig(data="small", epochs=3, device="cpu"), demo_dataset)
    small = estimate(PretrainConfig(data="small", epochs=1, device="cpu", backbone="small"), demo_dataset)
    assert one["seconds"] < three["seconds"] and one["seconds"] < small["seconds"]
    some = estimate_compare(CompareConfig(data="small", folds=3, device="cpu"), demo_dataset)
    more = estimate_compare(CompareConfig(data="small", folds=5, device="cpu"), demo_dataset)
    assert some["seconds"] < more["seconds"]
    assert "about" in sentence(one) and "GB" in sentence(one)
