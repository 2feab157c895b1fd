"""Cells: maps, colours, and what a lasso holds."""

import numpy as np
import pandas as pd
from page_text import text_of, titles

from pages.components import cell_views, selection_panel
from sgm_core.home import write_json, write_table
from sgm_core.runs.store import list_runs


def test_two_maps_with_their_own_colours(open_page, compare_run, demo_dataset):
    page = open_page("cells")
    assert not page.exception
    assert len(titles(page)) == 2
    assert titles(page)[0].startswith("Cell type")
    assert titles(page)[1].startswith("Prediction")
    assert f"{demo_dataset.n_cells:,} cells" in text_of(page)
    assert "test cells right" in text_of(page)


def test_a_gene_can_be_shown_and_is_part_of_the_link(open_page, compare_run, demo_dataset):
    gene = str(demo_dataset.genes[5])
    page = open_page("cells", colour="A gene's expression", gene=gene)
    assert not page.exception
    assert titles(page)[0].startswith(gene)


def test_a_genes_values_are_the_datasets(demo_dataset):
    gene = str(demo_dataset.genes[7])
    shown = cell_views.view(demo_dataset, None, cell_views.GENE, gene, None, False)
    counts = demo_dataset.counts()[:, 7].toarray().ravel()
    assert np.allclose(shown.values, np.log1p(1e4 * counts / demo_dataset.totals()), atol=1e-5)


def test_without_a_map_the_page_offers_to_make_one(open_page, demo_dataset, monkeypatch):
    started = []
    monkeypatch.setattr("sgm_core.runs.launch.launch", lambda run: started.append(run.id))
    page = open_page("cells")
    assert "No map of small yet" in text_of(page)
    next(button for button in page.button if button.label == "Make a map").click().run()
    assert not page.exception
    (run,) = list_runs()
    assert started == [run.id]
    assert (run.kind, run.parameters["data"]) == ("umap", "small")
    assert "Making the map" in text_of(page)


def test_the_datasets_own_map_needs_no_run(open_page, demo_dataset):
    n = demo_dataset.n_cells
    table = pd.DataFrame(
        {"cell": np.arange(n), "x": np.arange(n, dtype="float32"), "y": np.zeros(n, "float32")}
    )
    write_table(demo_dataset.path / "embeddings" / "pca_umap.parquet", table)
    page = open_page("cells")
    assert not page.exception
    assert "Expression (PCA, UMAP)" in titles(page)[0]


def test_a_lasso_selects_over_all_cells_drawn_or_not():
    rng = np.random.default_rng(0)
    source = pd.DataFrame({"cell": np.arange(1000)[::-1], "x": rng.random(1000), "y": rng.random(1000)})
    event = {"selection": {"lasso": [{"x": [0, 0.5, 0.5, 0], "y": [0, 0, 1, 1]}], "box": []}}
    inside = selection_panel.mask(event, source, 1200)
    assert set(np.flatnonzero(inside)) == set(source.loc[source["x"] < 0.5, "cell"])
    event = {"selection": {"lasso": [], "box": [{"x": [0.9, 0.2], "y": [0, 1]}]}}
    inside = selection_panel.mask(event, source, 1200)
    assert set(np.flatnonzero(inside)) == set(source.loc[source["x"].between(0.2, 0.9), "cell"])
    assert selection_panel.mask({"selection": {"lasso": [], "box": []}}, source, 1200) is None


def test_the_answer_speaks_of_the_selection(demo_dataset, compare_run):
    kind = str(demo_dataset.labels().value_counts().index[0])
    selected = (demo_dataset.labels() == kind).to_numpy()
    text = selection_panel.answer(demo_dataset, compare_run, ("self-guided", "partial"), selected)
    assert text.startswith(f"{selected.sum():,} cells selected")
    assert f"100% {kind}" in text
    assert "named right" in text
    nobody = selection_panel.answer(demo_dataset, None, None, np.zeros(demo_dataset.n_cells, bool))
    assert "No cell" in nobody


def test_predictions_are_those_of_the_test_folds(demo_dataset, compare_run):
    table = compare_run.read_table("predictions")
    mine = table[(table["arm"] == "self-guided") & (table["scheme"] == "partial")].set_index("cell")
    shown = cell_views.view(
        demo_dataset, compare_run, cell_views.PREDICTED, None, ("self-guided", "partial"), False
    )
    assert (shown.values[mine.index] == mine["predicted"]).all()
    others = np.setdiff1d(np.arange(demo_dataset.n_cells), mine.index)
    assert pd.isna(shown.values[others]).all()


def test_predictions_for_other_cells_are_not_drawn(open_page, compare_run, demo_dataset):
    # The name of the dataset has come to mean another file.
    meta = {**demo_dataset.meta, "content_hash": "0" * 64}
    write_json(demo_dataset.path / "dataset.json", meta)
    page = open_page("cells")
    assert not page.exception and not page.error
    assert any("was made on other cells" in warning.value for warning in page.warning)
    assert "test cells right" not in text_of(page)
    for name in ("compare", "masked_genes"):
        page = open_page(name)
        assert not page.exception
        assert any("was made on other cells" in error.value for error in page.error), name
        assert not page.get("plotly_chart")
