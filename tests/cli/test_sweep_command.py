"""sgm sweep: a real small search, what it says of its best, and one line for what can't be done."""

import json

import pytest

from sgm_core.cli import main

QUICK = [
    "--arm",
    "no-pretraining",
    "--n-folds",
    "3",
    "--folds",
    "2",
    "--device",
    "cpu",
    "--space",
    "lr=1e-2,1e-1",
]
FIXED = ["finetune.head=mlp", "finetune.choose_decay=false", "finetune.probe_epochs=3", "pretrain.n_genes=40"]


def test_a_search_says_how_it_is_confirmed(demo_dataset, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["sweep", "small", *QUICK, "--sampler", "grid", "--set", *FIXED, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    found = json.loads(out)
    assert [trial["state"] for trial in found["trials"]] == ["done"] * 3, (
        "the default is no value of the list"
    )
    assert {json.loads(trial["setting"])["finetune.lr"] for trial in found["trials"]} == {1e-4, 1e-2, 1e-1}
    said = found["verdict"]["sentence"]
    assert "2 other settings tried" in said and not found["verdict"]["better"]
    for command in found.get("confirm", []):
        assert command.startswith("sgm compare --data small") and "finetune.head=mlp" in command
    assert main(["sweep", "small", *QUICK, "--dry-run", "--no-probe"]) == 0
    assert "in all" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given, said",
    [
        ([], "space is empty"),
        (["--space", "lr=1e-4..1e-2", "--sampler", "grid"], "a grid needs a list"),
        (["--space", "R=1,99"], "subset is 99"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(demo_dataset, sgm_home, capsys, given, said) -> None:
    assert main(["sweep", "small", *given]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sgm")]
    assert len(lines) == 1 and said in lines[0]
    assert not list((sgm_home / "runs").glob("*"))
