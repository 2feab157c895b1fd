"""A dataset's name may come to mean other cells: what was made on the old ones is not mixed with them."""

import shutil

import numpy as np
import pytest
from scipy import sparse

from sgm_core import home
from sgm_core.cells.dataset import Dataset, open_dataset
from sgm_core.cells.split import donor_folds
from sgm_core.cells.write import write_dataset
from sgm_core.cli import main
from sgm_core.errors import InputError
from sgm_core.progress import Observer
from sgm_core.runs.run import Run
from sgm_core.runs.store import create_run, list_runs, open_run
from sgm_core.runs.worker import execute, run_in_foreground
from sgm_core.training.config import FinetuneConfig, PretrainConfig

QUICK = {"epochs": 1, "n_genes": 60, "latents": 4, "latent_width": 8, "device": "cpu", "n_folds": 3}


def other_cells(dataset: Dataset) -> Dataset:
    """Give the dataset's name to a file without the donors that fold 0 tests."""
    kept = np.flatnonzero(~dataset.donors().isin(donor_folds(dataset, "cv", 3)[0].test))
    obs, roles = dataset.obs.iloc[kept], dataset.meta["roles"]
    genes, unlabelled = list(dataset.genes), dataset.unlabelled
    counts = sparse.csr_matrix(dataset.counts()[kept].toarray())
    shutil.rmtree(dataset.path)
    return write_dataset(dataset.name, [counts], obs, genes, roles, unlabelled)


@pytest.fixture
def pretrained(demo_dataset: Dataset) -> Run:
    config = PretrainConfig(data="small", fold=0, **QUICK)
    return run_in_foreground(create_run("pretrain", "small", config.to_dict()), Observer())


def finetuning(run: Run) -> Run:
    config = FinetuneConfig(run=run.id, probe_epochs=1, device="cpu")
    return create_run("finetune", "small", config.to_dict())


def test_a_run_keeps_the_donors_it_saw_and_finetuning_tests_no_other(pretrained: Run, demo_dataset) -> None:
    fold = donor_folds(demo_dataset, "cv", 3)[0]
    kept = home.read_json(pretrained.path / "donors.json")
    assert tuple(kept["test"]) == fold.test and tuple(kept["train"]) == fold.train
    # Were the splitting changed, the donors that the model has not met would still be these.
    moved = {
        **kept,
        "train": [*kept["train"][1:], kept["test"][0]],
        "test": [*kept["test"][1:], kept["train"][0]],
    }
    home.write_json(pretrained.path / "donors.json", moved)
    scores = run_in_foreground(finetuning(pretrained), Observer()).read_table("folds")
    assert set(scores["test_donors"].iloc[0].split(", ")) == set(moved["test"]) != set(fold.test)
    home.write_json(pretrained.path / "donors.json", {**kept, "train": [*kept["train"], kept["test"][0]]})
    with pytest.raises(InputError, match="a donor that it trained on could be tested"):
        run_in_foreground(finetuning(pretrained), Observer())


def test_another_file_under_the_same_name_is_not_finetuned_on(pretrained: Run, demo_dataset, capsys) -> None:
    # Seen: pretrain fold 0, import another file under the same name, finetune: donors were tested that the
    # model had been trained on.
    seen = set(home.read_json(pretrained.path / "donors.json")["train"])
    dataset = other_cells(demo_dataset)
    assert seen & set(donor_folds(dataset, "cv", 3)[0].test), "the leak is there to be seen"
    run = finetuning(pretrained)
    with pytest.raises(InputError, match=f"run {pretrained.id} was made on other cells than dataset 'small'"):
        run_in_foreground(run, Observer())
    assert run.state == "failed"
    before = len(list_runs())
    assert main(["finetune", "--run", pretrained.id, "--device", "cpu"]) == 2
    assert "was made on other cells" in capsys.readouterr().err
    assert len(list_runs()) == before, "refused before a run is made"


@pytest.mark.parametrize("kind", ["pretrain", "compare", "umap"])
def test_a_run_is_not_resumed_on_other_cells(demo_dataset, kind: str) -> None:
    run = create_run(kind, "small", {"data": "small"})
    other_cells(demo_dataset)
    with pytest.raises(InputError, match=f"run {run.id} was made on other cells"):
        execute(run, Observer())


def test_results_are_not_read_as_those_of_other_cells(demo_dataset, capsys, tmp_path) -> None:
    from synthetic_run import make_compare_run

    run = open_run(make_compare_run("small"))
    gmt = tmp_path / "sets.gmt"
    genes = demo_dataset.genes
    gmt.write_text("".join(f"T{i}\t\t" + "\t".join(genes[i * 20 : i * 20 + 20]) + "\n" for i in range(3)))
    commands = (["masks", run.id], ["enrich", run.id, "--genesets", str(gmt)], ["umap", run.id])
    for command in commands[:2]:
        assert main(command) == 0
    (run.path / "pooled").mkdir()
    np.save(run.path / "pooled" / "uniform.fold0.npy", np.zeros((5, 3), np.float32))
    other_cells(demo_dataset)
    capsys.readouterr()
    for command in commands:
        assert main(command) == 2, command
        assert "was made on other cells than dataset 'small' holds now" in capsys.readouterr().err
    shutil.rmtree(open_dataset("small").path)
    assert main(commands[0]) == 0, "a run outlives its dataset"
