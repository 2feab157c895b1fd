"""The public face: README's block runs as it stands, and each name does what the command does."""

import re
from pathlib import Path

import numpy as np
import pytest

import sgm_core
from sgm_core import api
from sgm_core.errors import NotFoundError
from sgm_core.runs.store import list_runs

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_block_of_the_readme_runs(sgm_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    section = README.read_text().split("## From Python")[1]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None
    names: dict[str, object] = {}
    exec(compile(block[1], "README.md", "exec"), names)
    run, scores, adata, dataset = (names[name] for name in ("run", "scores", "adata", "dataset"))
    assert run.state == "done" and scores["macro_f1"].between(0, 1).all()
    hidden = set(sgm_core.split(dataset, folds=3)[0].test)
    assert set(scores["test_donors"].iloc[0].split(", ")) == hidden
    assert "Masks" in capsys.readouterr().out
    assert adata.shape == (dataset.n_cells, dataset.n_genes)
    assert np.asarray(adata.X.sum(1)).ravel().tolist() == dataset.totals().tolist()
    assert adata.obs_names.tolist() == dataset.obs["cell"].tolist()
    finetuned = next(run for run in list_runs() if run.kind == "finetune")
    with pytest.raises(NotFoundError, match="has no table 'masks'"):
        sgm_core.masks(finetuned)


def test_every_public_name_is_there_and_documented() -> None:
    for name in sgm_core._PUBLIC:
        assert getattr(sgm_core, name).__doc__, name
        assert name in dir(sgm_core)
    with pytest.raises(AttributeError):
        _ = sgm_core.nothing


def test_a_comparison_is_asked_for_as_the_command_does(demo_dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("sgm_core.runs.worker.run_in_foreground", lambda run, echo: asked.append(run) or run)
    run = sgm_core.compare(demo_dataset, folds=2, seeds=2, pretrain={"epochs": 1})
    assert asked == [run] and run.kind == "compare" and run.state == "queued"
    assert (run.parameters["folds"], run.parameters["seeds"], run.parameters["pretrain"]) == (
        2,
        2,
        {"epochs": 1},
    )
    assert sgm_core.compare("small", folds=2, seeds=2, pretrain={"epochs": 1}).id == run.id
    assert api.compare is sgm_core.compare
