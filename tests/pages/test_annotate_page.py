"""Annotate: a model is chosen, cells are named in a worker, looked at, corrected by hand and taken along."""

import json
import shutil
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from page_text import read, text_of, titles

from sgm_core.annotation.annotate import annotate
from sgm_core.annotation.fit import fit_model
from sgm_core.annotation.kept import keep, open_annotation
from sgm_core.annotation.recommend import called
from sgm_core.cells.build import import_dataset
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.simulate import make_demo
from sgm_core.progress import Observer
from sgm_core.runs.worker import run_in_foreground


@pytest.fixture(scope="module")
def annotated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home with the dataset ``tiny``, the model ``m`` of it, and the annotation ``kept`` of its cells."""
    home = tmp_path_factory.mktemp("annotate-page") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        genes = make_demo(name="tiny", n_cells=400, n_genes=250).genes
        sets = {f"vanGalen_AML_{state}": list(genes[i::7][:12]) for i, state in enumerate(("HSC", "Mono"))}
        fit_model("tiny", "m", folds=3, signatures=sets, with_map=False)
        keep("kept", annotate("tiny", "m", home / "work"))
    return home


@pytest.fixture
def annotated(annotated_home: Path, sgm_home: Path) -> Path:
    shutil.copytree(annotated_home, sgm_home, dirs_exist_ok=True)
    return sgm_home


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list:
    """Collect what would be started instead of starting it."""
    runs: list = []
    monkeypatch.setattr("pages.components.annotate_jobs.launch", runs.append)
    return runs


def test_without_a_dataset_it_says_where_one_is_made(open_page):
    page = open_page("annotate")
    assert not page.exception and not page.error
    assert "No dataset with counts" in text_of(page)
    assert [button.label for button in page.button] == ["Import a dataset"]


def test_without_a_model_one_is_fitted_in_a_worker(open_page, demo_dataset, launched):
    page = open_page("annotate")
    assert not page.exception and not page.error
    assert "No model yet" in text_of(page)
    assert "sgm model fit --data small --arm hvg-logistic --name small-hvg-logistic" in page.code[0].value
    next(button for button in page.button if button.label == "Fit the model").click().run()
    assert not page.exception
    (run,) = launched
    assert (run.kind, run.parameters["arm"], run.parameters["false_alarm"]) == ("model", "hvg-logistic", 0.05)
    assert "no comparison was given" in run.parameters["why"]


def test_a_comparison_recommends_the_classifier(open_page, compare_run, launched):
    page = open_page("annotate")
    assert not page.exception and not page.error
    folds = compare_run.read_table("folds")
    means = folds.groupby(["arm", "scheme"])["macro_f1"].mean()
    arm, scheme = means[[each not in ("majority", "pca-knn") for each, _ in means.index]].idxmax()
    assert f"The comparison in view says: {called(arm, scheme)} has macro F1" in text_of(page)
    next(button for button in page.button if button.label == "Fit the model").click().run()
    (run,) = launched
    assert run.parameters["why"].startswith(f"{called(arm, scheme)} has macro F1")
    assert (run.parameters["arm"], run.parameters.get("scheme", "baseline")) == (arm, scheme)


def test_an_arm_with_a_backbone_is_fitted_as_compared(open_page, compare_run, launched):
    page = open_page("annotate")
    field = page.selectbox(key="fit-arm-small")
    field.set_value(("self-guided", "linear-probe")).run()
    assert not page.exception and "one more is pretrained on all donors" in text_of(page)
    command = f"sgm model fit {compare_run.id} --scheme linear-probe --arm self-guided"
    assert any(code.value.startswith(command) for code in page.code)
    next(button for button in page.button if button.label == "Fit the model").click().run()
    (run,) = launched
    assert run.parameters["run"] == str(compare_run.path)
    assert run.parameters["comparison"] == compare_run.parameters
    assert json.loads(json.dumps(run.parameters)) == run.parameters


def test_the_card_is_shown_and_the_annotation_runs_in_a_worker(open_page, annotated, launched):
    shutil.copytree(annotated / "models" / "m", annotated / "models" / "a")  # which would come first
    page = open_page("annotate", part="Annotate cells", annotator="m")
    assert not page.exception and not page.error
    said = text_of(page)
    assert "m names" in said and "Never shown" in said and "AUROC when held out" in said
    assert any(
        command.value.startswith("sgm annotate tiny --model m --keep tiny-by-m") for command in page.code
    )
    next(button for button in page.button if button.label == "Annotate with m").click().run()
    (run,) = launched
    assert run.kind == "annotate"
    assert run.parameters == {"data": "tiny", "model": "m", "name": "tiny-by-m", "own_map": True}
    run.finish("failed", "12% of the genes are in tiny: <b>another species?</b>")
    page.run()
    assert [read(error.value) for error in page.error] == [f"{run.title}: {run.status['error']}"]


def test_the_result_names_unknown_with_the_reason(open_page, annotated):
    page = open_page("annotate", part="Result", annotation="kept")
    assert not page.exception and not page.error
    said = text_of(page)
    assert "400 cells" in said and "unknown" in said and "median confidence" in said
    assert "Do the names agree with signatures?" in said and "It is a likeness" in said
    assert any(title.startswith("AML cell states") for title in titles(page))
    assert any("cell types against donors with" in title for title in titles(page))


def test_cells_are_corrected_and_the_correction_undone(open_page, annotated):
    page = open_page("annotate", part="Correct by hand", annotation="kept")
    assert not page.exception and not page.error
    kind = open_annotation("kept").predictions()["cell_type"].value_counts().index[0]
    field = next(each for each in page.multiselect if each.label.startswith("Label with"))
    field.select(kind).run()
    page.button(key="select-labels").click().run()
    assert "selected:" in text_of(page)
    page.text_input(key="correct-who").set_value("Ann <b>").run()
    page.selectbox(key="correct-label").set_value("unknown").run()
    page.button(key="correct-assign").click().run()
    assert not page.exception and not page.error
    (made,) = open_annotation("kept").corrections()
    assert (made["label"], made["who"]) == ("unknown", "Ann <b>")
    assert f"{made['n_cells']:,} cells of 400 corrected by hand, in 1 correction." in text_of(page)
    page.button(key="correct-undo").click().run()
    assert open_annotation("kept").corrections() == []
    assert "0 cells of 400" in text_of(page)


def test_the_labels_become_those_of_a_new_dataset(open_page, annotated, tmp_path, monkeypatch):
    file = tmp_path / "query.h5ad"
    adata = open_dataset("tiny").to_anndata()
    adata.obsm["X_umap"] = np.arange(2.0 * adata.n_obs).reshape(-1, 2)
    adata.write_h5ad(file)
    keep("file", annotate(str(file), "m", tmp_path / "work"))
    open_annotation("file").correct([0, 1], "Blast", "Ann")
    runs: list = []
    monkeypatch.setattr("pages.components.annotate_labels.launch", runs.append)
    page = open_page("annotate", annotation="file")
    assert not page.exception and not page.error
    assert page.selectbox(key="beside").options[0] == "UMAP"
    next(button for button in page.button if button.label == "Import with these labels").click().run()
    assert not page.exception and not page.error
    (run,) = runs
    assert (run.kind, run.parameters["donor"], run.parameters["path"]) == ("import", "donor", str(file))
    made = import_dataset(**run.parameters, min_genes=0, min_cells=0)
    assert (made.labels() == "Blast").sum() == 2 and "unknown" in made.unlabelled


def test_files_hold_the_corrections(annotated, tmp_path):
    import anndata as ad

    from sgm_core.annotation.corrected import corrected_csv, corrected_h5ad

    made = open_annotation("kept")
    made.correct([3, 5], "Blast", "Ann")
    table = ad.read_h5ad(corrected_h5ad(made, tmp_path / "x.h5ad")).obs
    assert table["sgm_cell_type"].iloc[[3, 5]].tolist() == ["Blast", "Blast"]
    assert table["sgm_source"].iloc[3] == "Ann" and (table["sgm_source"] == "model").sum() == 398
    assert "Blast" in corrected_csv(made, tmp_path / "x.csv").read_text().splitlines()[4]


def test_a_model_that_is_gone_leaves_the_predictions(open_page, annotated):
    shutil.rmtree(annotated / "models" / "m")
    page = open_page("annotate", part="Result", annotation="kept")
    assert not page.exception and not page.error
    assert "Model m is gone" in text_of(page)


def test_a_useless_model_says_nothing_of_its_cells(open_page, annotated):
    """Compositions, cell states and names by a model of shuffled labels: they looked like findings."""
    path = annotated / "models" / "m" / "model.json"
    meta = json.loads(path.read_text())
    meta["chance"]["useful"] = False
    path.write_text(json.dumps(meta))
    page = open_page("annotate", part="Result", annotation="kept")
    assert not page.exception and not page.error
    said = text_of(page)
    assert "no name to rely on" in said and "median confidence" not in said
    for silent in ("Composition against", "AML cell states", "agree with signatures", "Malignant or normal"):
        assert silent not in said
    assert not any("cell types against donors" in title for title in titles(page))


def test_a_large_h5ad_is_written_on_the_machine(open_page, annotated, launched, monkeypatch):
    monkeypatch.setattr("pages.components.annotate_export._MOST_BYTES", 0)
    open_annotation("kept").correct(np.array([3]), "blast", "Ann")
    page = open_page("annotate", part="Result", annotation="kept")
    page.button(key="write-annotated").click().run()
    (run,) = launched
    assert run_in_foreground(run, Observer()).state == "done"
    page.run()
    assert not page.exception and not page.error
    (path,) = (annotated / "exports").glob("kept-*.h5ad")
    assert str(path) in [code.value for code in page.code]
    made = ad.read_h5ad(path)
    assert made.obs["sgm_cell_type"].iloc[3] == "blast" and made.obs["sgm_source"].iloc[3] == "Ann"
    assert made.n_obs == 400


def test_a_model_can_be_taken_along(open_page, annotated):
    page = open_page("annotate", part="Annotate cells", annotator="m")
    assert not page.exception and not page.error
    assert any(button.label.startswith("Model (zip") for button in page.get("download_button"))
