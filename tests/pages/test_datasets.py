"""Datasets: fitness of the data, and import through the page."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from page_text import text_of

from sgm_core.cells.dataset import open_dataset
from sgm_core.runs.store import list_runs
from sgm_core.runs.worker import carry_out


@pytest.fixture
def h5ad(tmp_path: Path) -> Path:
    """A small file of counts: 120 cells of 4 donors, 60 genes, one label missing."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "patient": [f"P{i % 4}" for i in range(120)],
            "celltype": ["HSC", "GMP", "unknown"] * 40,
            "batch_no": np.arange(120),
        },
        index=[f"cell{i}" for i in range(120)],
    )
    var = pd.DataFrame(index=[f"GENE{i}" for i in range(60)])
    path = tmp_path / "mine.h5ad"
    anndata.AnnData(rng.poisson(2.0, (120, 60)).astype("float32"), obs, var).write_h5ad(path)
    return path


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch):
    """Carry out what the page launches in this process."""

    def now(run) -> None:
        try:
            carry_out(run, run)
        except Exception as error:
            run.message(str(error))

    monkeypatch.setattr("pages.components.importing.launch", now)


def fill_import(page, path: Path, name: str):
    page.segmented_control(key="view").set_value("Import").run()
    page.text_input(key="import-path").set_value(str(path)).run()
    page.text_input(key=f"import-name-{path}").set_value(name).run()
    return page


def test_the_headline_is_computed(open_page, demo_dataset):
    from sgm_core.cells.split import scored_classes

    scored, others = scored_classes(demo_dataset)
    text = text_of(open_page("datasets"))
    assert f"{demo_dataset.n_cells:,} cells, 12 donors, {len(scored) + len(others)} types" in text
    if len(others):
        assert "too rare to score" in text


def test_a_filter_says_live_what_it_keeps(open_page, demo_dataset):
    from sgm_core.cells.quality import cell_quality

    page = open_page("datasets")
    assert f"Keeps {demo_dataset.n_cells:,} of {demo_dataset.n_cells:,} cells" in text_of(page)
    n_genes = cell_quality(demo_dataset)["n_genes"]
    slider = next(item for item in page.slider if item.key.startswith("n_genes"))
    low, high = int(n_genes.quantile(0.2)), slider.value[1]
    slider.set_value((low, high)).run()
    assert f"Keeps {int(n_genes.between(low, high).sum()):,} of" in text_of(page)
    assert "keeps least" in text_of(page)


VIEWS = {  # what each view has and no other
    "Quality": "The ranges here only show what a filter would keep",
    "Donors and types": "combinations have no cell.",
    "Folds": "Donors never cross a split.",
    "Genes": "in the dataset.",
    "Import": "Raw counts with a donor and a cell type for each cell",
}


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_a_link(open_page, demo_dataset, view):
    page = open_page("datasets", view=view)
    assert not page.exception and not page.error
    assert page.segmented_control(key="view").value == view
    text = text_of(page)
    assert [name for name, sign in VIEWS.items() if sign in text] == [view]


def test_folds_list_every_donor_once_as_test(open_page, demo_dataset):
    page = open_page("datasets", view="Folds")
    table = next(frame.value for frame in page.dataframe if "test donors" in frame.value)
    donors = ", ".join(table["test donors"]).split(", ")
    assert sorted(donors) == sorted(demo_dataset.donors().unique())
    page.segmented_control(key="split").set_value("holdout").run()
    assert not page.exception
    assert len(next(frame.value for frame in page.dataframe if "test donors" in frame.value)) == 1


def test_columns_are_guessed_from_the_file(open_page, h5ad):
    page = open_page("datasets")  # without any dataset the page is the import
    page.text_input(key="import-path").set_value(str(h5ad)).run()
    boxes = {box.label: box.value for box in page.selectbox}
    assert boxes["Donor: column"] == "patient"
    assert boxes["Cell type: column"] == "celltype"
    assert boxes["Timepoint (optional): column"] is None
    assert page.multiselect[0].value == ["unknown"]


def test_an_import_through_the_page_makes_the_dataset(open_page, demo_dataset, h5ad, at_once):
    page = fill_import(open_page("datasets"), h5ad, "mine")
    page.number_input(key="import-min-genes").set_value(5).run()
    next(button for button in page.button if button.label == "Import").click().run()
    assert not page.exception
    dataset = open_dataset("mine")
    assert dataset.n_cells == 120
    assert dataset.unlabelled == ("unknown",)
    next(button for button in page.button if button.label == "Open mine").click().run()
    assert page.selectbox(key="dataset").value == "mine"
    assert "120 cells, 4 donors" in text_of(page)


def test_a_map_without_counts_is_imported_through_the_page(open_page, demo_dataset, tmp_path, at_once):
    path = tmp_path / "published.parquet"
    kinds = np.array(["HSC", "GMP", "T"])[np.arange(60) % 3]
    pd.DataFrame({"umap_x": np.arange(60.0), "umap_y": 1.0, "cell_type": kinds}).to_parquet(path)
    page = fill_import(open_page("datasets"), path, "mine")
    assert "published.parquet: coordinates and labels, no counts, 60 cells" in text_of(page)
    assert {box.label: box.value for box in page.selectbox}["Cell type: column"] == "cell_type"
    assert not [field for field in page.number_input if field.key == "import-min-genes"], (
        "nothing to filter by"
    )
    next(button for button in page.button if button.label == "Import").click().run()
    assert not page.exception
    dataset = open_dataset("mine")
    assert (dataset.n_cells, dataset.has_counts, list(dataset.maps())) == (60, False, ["umap"])


def test_what_an_import_assumed_is_shown_as_plain_text(open_page, demo_dataset, h5ad, at_once):
    data = anndata.read_h5ad(h5ad)
    data.layers["_a_ $x$ counts"] = data.X
    data.X = np.log1p(data.X)
    data.layers["_a_ $x$ counts"] = data.layers["_a_ $x$ counts"] + np.float32(1e-5)
    data.write_h5ad(h5ad)
    page = fill_import(open_page("datasets"), h5ad, "mine")
    page.number_input(key="import-min-genes").set_value(5).run()
    next(button for button in page.button if button.label == "Import").click().run()
    next(button for button in page.button if button.label == "Open mine").click().run()
    notes = [text.value for text in page.text]
    assert notes[0].startswith("Note: the counts were taken from layers/_a_ $x$ counts: X has values")
    assert notes[1] == "Note: layers/_a_ $x$ counts: values were rounded to whole numbers (up to 1e-05 away)"


def test_an_import_that_fails_says_why_and_leaves_nothing(open_page, demo_dataset, h5ad, at_once):
    page = fill_import(open_page("datasets"), h5ad, "mine")  # 200 genes a cell are asked for, 60 there are
    next(button for button in page.button if button.label == "Import").click().run()
    assert not page.exception
    assert "passes the filters" in " ".join(error.value for error in page.error)
    assert list_runs()[0].state == "failed"
    assert not (demo_dataset.path.parent / "mine").exists()


@pytest.mark.parametrize("name, said", [("../x", "can't be used"), ("small", "exists already")])
def test_a_bad_name_is_refused_before_anything_runs(open_page, demo_dataset, h5ad, name, said):
    page = fill_import(open_page("datasets"), h5ad, name)
    assert said in text_of(page)
    assert next(button for button in page.button if button.label == "Import").disabled


def test_a_file_that_is_none_is_said_plainly(open_page, demo_dataset, tmp_path):
    path = tmp_path / "broken.h5ad"
    path.write_bytes(b"nothing of the sort")
    page = open_page("datasets", view="Import")
    page.text_input(key="import-path").set_value(str(path)).run()
    assert not page.exception
    assert "broken.h5ad" in page.error[0].value


def test_public_data_names_the_command(open_page, demo_dataset):
    page = open_page("datasets", view="Import")
    page.segmented_control(key="from").set_value("Public data").run()
    assert [code.value for code in page.code] == ["sgm data fetch vangalen2019", "sgm data fetch ennis2023"]


def test_reasons_of_lost_genes():
    from pages.components.quality_view import gene_losses

    report = {"genes_in_file": 100, "summed_duplicates": 2, "summed_examples": ["A", "B"], "genes_kept": 90}
    table = gene_losses(report, {"genes_dropped": 8, "min_cells": 3}).set_index("genes")
    assert table.loc["Too rare", "number"] == 8
    assert table.loc["Symbols that occurred more than once", "examples"] == "A, B"
    assert gene_losses({}, {}).empty


SECRET = "root:x:0:0:root:/root:/bin/bash"


@pytest.fixture
def outside(tmp_path, monkeypatch) -> Path:
    """A file beside the only folder that the dashboard may open."""
    secret = tmp_path / "outside" / "passwd.csv"
    secret.parent.mkdir()
    secret.write_text(f"{SECRET}\ndaemon:x:1:1\n")
    (tmp_path / "allowed").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    return secret


def everything(page) -> str:
    """All that a page says, menus and their choices too."""
    boxes = [*page.selectbox, *page.multiselect]
    return "\n".join([text_of(page), *(f"{box.label} {box.options} {box.value}" for box in boxes)])


@pytest.mark.parametrize("way", ["direct", "dots", "link", "missing"])
def test_the_form_opens_nothing_outside_and_tells_nothing_of_it(
    open_page, demo_dataset, tmp_path, outside, monkeypatch, way
):
    page = open_page("datasets", view="Import")
    monkeypatch.setenv("SGM_DATA", str(tmp_path / "allowed"))
    (tmp_path / "allowed" / "link.csv").symlink_to(outside)
    given = {
        "direct": outside,
        "dots": tmp_path / "allowed" / ".." / "outside" / outside.name,
        "link": tmp_path / "allowed" / "link.csv",
        "missing": outside.parent / "not-there.csv",
    }[way]
    page.text_input(key="import-path").set_value(str(given)).run()
    assert not page.exception
    assert "does not open this path" in text_of(page)
    assert "daemon" not in everything(page) and "root:" not in everything(page)
    assert "Import" not in [button.label for button in page.button]


@pytest.mark.parametrize("field", ["cells", "genes", "aliases"])
def test_each_field_with_a_path_opens_nothing_outside(
    open_page, demo_dataset, h5ad, tmp_path, outside, monkeypatch, field
):
    monkeypatch.setattr("pages.components.importing.launch", lambda run: pytest.fail("it was launched"))
    page = open_page("datasets")
    inside = h5ad.rename(tmp_path / "allowed" / h5ad.name)
    monkeypatch.setenv("SGM_DATA", str(tmp_path / "allowed"))
    page = fill_import(page, inside, "mine")
    button = next(button for button in page.button if button.label == "Import")
    assert not button.disabled
    page.text_input(key=f"import-{field}").set_value(str(outside)).run()
    assert "does not open this path" in text_of(page)
    assert "daemon" not in everything(page)
    assert next(button for button in page.button if button.label == "Import").disabled


def test_a_registered_alias_table_can_be_named(open_page, demo_dataset, h5ad, tmp_path, at_once):
    from sgm_core.resources.store import add_resource

    table = tmp_path / "hgnc.txt"
    table.write_text("Symbol\tApproved.Symbol\nMLL\tKMT2A\n")
    added = add_resource("aliases", table)
    page = fill_import(open_page("datasets"), h5ad, "mine")
    page.number_input(key="import-min-genes").set_value(5).run()
    page.text_input(key="import-aliases").set_value("hgnc").run()
    next(button for button in page.button if button.label == "Import").click().run()
    assert list_runs()[0].parameters["aliases"] == str(added.path.resolve())


def test_only_where_the_dashboard_is_bound_to_this_machine_are_folders_listed(
    open_page, demo_dataset, h5ad, tmp_path, monkeypatch
):
    from pages.components import picker

    page = open_page("datasets", view="Import")
    assert any(box.label.startswith("In ") for box in page.selectbox)
    monkeypatch.setattr(picker.st, "get_option", lambda name: None)  # bound to every address
    page.run()
    assert not any(box.label.startswith("In ") for box in page.selectbox)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert picker._entries(tmp_path) != []  # named by $SGM_DATA: open to all
    monkeypatch.setenv("SGM_DATA", "")
    assert picker._entries(tmp_path) == [], "a home folder is not listed for others, whoever asks"
    page.text_input(key="import-path").set_value(str(h5ad)).run()
    assert "does not open this path" in text_of(page)


def test_the_csv_of_a_table_is_safe_to_open_in_a_spreadsheet():
    from pages.components import show

    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(show.st, "download_button", lambda label, make, **_: made.append(make()))
        show._csv(pd.DataFrame({"cell_type": ["=1+1", "HSC"], "gain": [-0.5, 1.0]}), "x")
    assert made == [b"cell_type,gain\r\n'=1+1,-0.5\r\nHSC,1.0\r\n"]
