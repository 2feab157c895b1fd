"""The public face: README's block runs as it stands, and each name does what the command does."""

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from synthetic_run import make_compare_run

import sgm_core
from sgm_core import api
from sgm_core.errors import InputError, NotFoundError
from sgm_core.progress import Observer
from sgm_core.runs.store import list_runs, open_run

_UMAP = "sgm_core.analysis.umap_process.UmapProcess.umap"
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
        assert name in dir(sgm_core) and name in sgm_core.__all__
    with pytest.raises(AttributeError):
        _ = sgm_core.nothing


def test_a_comparison_is_asked_for_as_the_command_does(demo_dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "sgm_core.runs.worker.run_in_foreground", lambda run, echo, *_: asked.append(run) or run
    )
    run = sgm_core.compare(demo_dataset, folds=2, seeds=2, pretrain={"epochs": 1})
    assert asked == [run] and run.kind == "compare" and run.state == "queued"
    assert (run.parameters["folds"], run.parameters["seeds"], run.parameters["pretrain"]) == (
        2,
        2,
        {"epochs": 1},
    )
    assert sgm_core.compare("small", folds=2, seeds=2, pretrain={"epochs": 1}).id == run.id
    assert api.compare is sgm_core.compare


def test_what_cannot_fit_into_memory_is_refused_as_the_command_does(
    demo_dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen: the functions started what `sgm pretrain` refuses."""

    def refuse(config, dataset, parts, processes):
        raise InputError(f"{config.backbone} does not fit")

    monkeypatch.setattr("sgm_core.runs.room.require_fit", refuse)
    for ask in (sgm_core.pretrain, sgm_core.compare):
        with pytest.raises(InputError, match="dense does not fit"):
            ask(demo_dataset)
    assert list_runs() == []


def test_messages_of_a_run_reach_the_observer(demo_dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listener(Observer):
        said: ClassVar[list[str]] = []

        def message(self, text: str) -> None:
            self.said.append(text)

    monkeypatch.setattr("sgm_core.runs.worker.run_in_foreground", lambda run, echo, *_: run)
    run = sgm_core.pretrain(demo_dataset, masker="uniform", fold=1, observer=Listener())
    assert f"run {run.id}" in Listener.said
    assert run.title == "Pretrain dense uniform on small, fold 1 left out"


def test_finetuning_a_run_takes_no_other_dataset(demo_dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgm_core.runs.worker.run_in_foreground", lambda run, echo, *_: run)
    run = sgm_core.pretrain(demo_dataset)
    with pytest.raises(InputError, match="has a dataset of its own"):
        sgm_core.finetune(run, demo_dataset)


def test_masks_of_one_group_and_enrichment_of_some_sizes(few_cells, tmp_path: Path) -> None:
    run = open_run(make_compare_run(few_cells.name, n_folds=2))
    whole, part = sgm_core.masks(run), sgm_core.masks(run.id, by="cell_type", level="HSC")
    assert 0 < part["opportunities"].sum() < whole["opportunities"].sum()
    genes = whole["gene"].tolist()
    gmt = tmp_path / "sets.gmt"
    gmt.write_text("first\t\t" + "\t".join(genes[:8]) + "\nnobody\t\tNO1\tNO2\tNO3\tNO4\tNO5\n")
    table = sgm_core.enrich(run, gmt, top=10, min_size=None)
    assert table["term"].tolist() == ["first"] and isinstance(table.attrs["notes"], list)
    assert sgm_core.enrich(run, gmt, top=10, max_size=7).empty


def test_a_map_of_the_cells_is_returned_and_kept(few_cells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_UMAP, lambda self, vectors, tell: vectors[:, :2])
    table = sgm_core.umap(few_cells)
    assert table["cell"].tolist() == list(range(few_cells.n_cells)) and np.isfinite(table[["x", "y"]]).all(
        None
    )
    adata = few_cells.to_anndata(np.array([5, 2]))
    np.testing.assert_array_equal(adata.obsm["X_pca_umap"], table.loc[[5, 2], ["x", "y"]])
    with pytest.raises(NotFoundError, match="'nothing' is neither a dataset nor a run"):
        sgm_core.umap("nothing")


def test_cells_go_to_anndata_and_come_back(demo_dataset, tmp_path: Path) -> None:
    """Seen: `X` had the integers of the disk, where twice 200 is 144, and could not be written to."""
    rows = np.array([7, 0, 300])
    part = demo_dataset.to_anndata(rows)
    counts = demo_dataset.take(rows).toarray().astype(float)
    whole = demo_dataset.to_anndata().X
    assert all(array.flags.writeable for array in (whole.data, whole.indices, whole.indptr))
    assert part.obs_names.tolist() == demo_dataset.obs["cell"].iloc[rows].tolist()
    demo_dataset.to_anndata().write_h5ad(tmp_path / "back.h5ad")
    roles = {"donor": "donor", "cell_type": "cell_type", "timepoint": "timepoint"}
    options = {"unlabelled": demo_dataset.unlabelled, "min_genes": 0, "min_cells": 0}
    again = sgm_core.import_dataset(tmp_path / "back.h5ad", "again", **roles, **options)
    assert (again.counts() != demo_dataset.counts()).nnz == 0 and again.counts().dtype == np.uint8
    np.testing.assert_array_equal((again.to_anndata(rows).X * 200).toarray(), 200 * counts)
    assert again.genes.tolist() == demo_dataset.genes.tolist()
    assert again.labels().equals(demo_dataset.labels()) and again.donors().equals(demo_dataset.donors())
