"""Cells: maps, colours, and what is selected."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from page_text import text_of

from pages.components import cells_colours, selection_panel
from pages.components.cells_colours import Scale
from pages.components.cells_values import PageValues
from pages.components.scatter import Event
from sgm_core.cells.dataset import open_dataset
from sgm_core.cells.selections import list_selections, open_selection
from sgm_core.home import write_json, write_table
from sgm_core.runs.store import list_runs

MODEL = ("self-guided", "partial")


@dataclass
class Browser:
    """Stands for the maps in the browser: what they were given, and what a person does on them."""

    drawn: dict[str, dict] = field(default_factory=dict)
    does: dict[str, Event] = field(default_factory=dict)

    def __call__(self, points, colours, *, key, **given):
        self.drawn[key] = {"points": points, "colours": colours, **given}
        return self.does.get(key)

    def lasso(self, place: int, sequence: int, polygon=(), kind="lasso", mode="replace", hidden=()) -> None:
        event = Event(sequence=sequence, kind=kind, mode=mode, polygon=list(polygon), categories=list(hidden))
        self.does[f"cells-map-{place}"] = event

    @property
    def titles(self) -> list[str]:
        return [each["title"] for each in self.drawn.values()]

    def inside(self, place: int, x: tuple[float, float]) -> np.ndarray:
        points = self.drawn[f"cells-map-{place}"]["points"]
        return points.cell[(points.x > x[0]) & (points.x < x[1])]

    def chosen(self, place: int) -> np.ndarray:
        each = self.drawn[f"cells-map-{place}"]
        return each["points"].cell[each["selected"]]


def box(left: float, right: float) -> list[tuple[float, float]]:
    return [(left, -1e4), (right, -1e4), (right, 1e4), (left, 1e4)]


@pytest.fixture
def browser(monkeypatch) -> Browser:
    from pages.components.kept import everything

    everything.clear()
    browser = Browser()
    monkeypatch.setattr("pages.components.cells_panes.scatter", browser)
    return browser


@pytest.fixture
def own_map(demo_dataset):
    """The dataset with a map of its own: x is the number of the cell."""
    n = demo_dataset.n_cells
    table = pd.DataFrame(
        {"cell": np.arange(n), "x": np.arange(n, dtype="float32"), "y": np.zeros(n, "float32")}
    )
    write_table(demo_dataset.path / "embeddings" / "pca_umap.parquet", table)
    return demo_dataset


def press(page, label: str):
    button = next(each for each in page.button if each.label == label)
    button.click().run()
    assert not page.exception and not page.error
    return page


def test_two_maps_with_their_own_colours(open_page, compare_run, demo_dataset, browser):
    page = open_page("cells")
    assert not page.exception and not page.error
    assert [title.partition(" ·")[0] for title in browser.titles] == ["Cell type", "Right or wrong"]
    assert f"{demo_dataset.n_cells:,} cells" in text_of(page)
    assert "test cells right" in text_of(page)
    assert all(each["selected"] is None for each in browser.drawn.values())


def test_four_maps_and_one(open_page, compare_run, demo_dataset, browser):
    open_page("cells", maps="Four")
    assert len(browser.drawn) == 4
    assert len(set(browser.titles)) == 4
    browser.drawn.clear()
    open_page("cells", maps="One")
    assert len(browser.drawn) == 1


def test_a_gene_can_be_shown_and_is_part_of_the_link(open_page, compare_run, demo_dataset, browser):
    gene = str(demo_dataset.genes[5])
    page = open_page("cells", colour="A gene's expression", gene=gene)
    assert not page.exception and not page.error
    assert browser.titles[0].startswith(gene)
    shown = browser.drawn["cells-map-0"]
    counts = demo_dataset.counts()[:, 5].toarray().ravel()[shown["points"].cell]
    assert (shown["colours"].codes[counts == 0] == 0).all()
    assert (shown["colours"].codes[counts > 0] > 0).all()


def test_pasted_genes_are_scored(open_page, own_map, browser):
    genes = ", ".join(own_map.genes[:4])
    page = open_page(
        "cells", colour="A gene set's score", setfrom="Genes that I paste", setgenes=f"{genes}, NOGENE"
    )
    assert not page.exception and not page.error
    assert "4 of its 5 genes are in" in text_of(page)
    assert browser.titles[0].startswith("Score of pasted genes")


def test_a_lasso_selects_over_all_cells_on_every_map(open_page, compare_run, own_map, browser):
    page = open_page("cells", source="Expression (PCA, UMAP)")
    browser.lasso(0, 1, box(-0.5, 99.5))
    page.run()
    assert not page.exception and not page.error
    assert "100 cells selected" in text_of(page)
    np.testing.assert_array_equal(browser.chosen(0), np.arange(100))
    other = browser.drawn["cells-map-1"]
    np.testing.assert_array_equal(other["selected"], other["points"].cell < 100)
    # a gesture counts once, however often the page is drawn
    browser.lasso(0, 1, box(-0.5, 49.5))
    page.run()
    assert "100 cells selected" in text_of(page)


def test_a_lasso_leaves_out_what_the_legend_hides(open_page, own_map, browser):
    page = open_page("cells")
    categories = browser.drawn["cells-map-0"]["colours"].categories
    browser.lasso(0, 1, box(-1, 99.5), hidden=[0, 2])
    page.run()
    hidden = own_map.labels()[:100].isin([categories[0], categories[2]]).to_numpy()
    np.testing.assert_array_equal(browser.chosen(0), np.flatnonzero(~hidden))
    assert 0 < hidden.sum() < 100


def test_codes_of_the_legend_stand_for_their_labels(demo_dataset):
    barcodes = [f"b{i % 150:03}" if i else None for i in range(demo_dataset.n_cells)]
    write_table(demo_dataset.path / "obs.parquet", demo_dataset.obs.assign(barcode=barcodes))
    demo_dataset = open_dataset(demo_dataset.name)
    values = PageValues(demo_dataset, None)
    levels = values.labels("obs:barcode").levels
    assert cells_colours.labels_of(values, "obs:barcode", [3]) == (levels[3],)
    assert set(cells_colours.labels_of(values, "obs:barcode", [99])) == set(levels[99:])
    assert cells_colours.labels_of(values, "obs:barcode", [100]) == ("(no label)",)
    few = values.labels("obs:cell_type").levels
    assert cells_colours.labels_of(values, "obs:cell_type", [len(few)]) == ("(no label)",)


def test_gestures_add_take_out_and_are_undone(open_page, own_map, browser):
    page = open_page("cells")
    n = own_map.n_cells
    steps = [
        (box(-1, 99.5), "lasso", "replace", 100),
        (box(199.5, 299.5), "box", "add", 200),
        (box(49.5, 249.5), "lasso", "subtract", 100),
        ([], "invert", "replace", n - 100),
        ([], "undo", "replace", 100),
        ([], "undo", "replace", 200),
        ([], "redo", "replace", 100),
    ]
    for sequence, (polygon, kind, mode, expected) in enumerate(steps, start=1):
        browser.lasso(sequence % 2, sequence, polygon, kind, mode)
        page.run()
        assert f"{expected:,} cells selected" in text_of(page), kind
    browser.lasso(0, 99, [], "clear")
    page.run()
    assert "selected" not in text_of(page).split("\n")[1]


def test_the_link_brings_the_selection_back(open_page, own_map, browser):
    page = open_page("cells")
    browser.lasso(0, 1, box(-1, 41.5))
    page.run()
    link = page.query_params["sel"]
    link = link[0] if isinstance(link, list) else link
    browser.does.clear()
    again = open_page("cells", sel=link)
    assert "42 cells selected" in text_of(again)
    np.testing.assert_array_equal(browser.chosen(0), np.arange(42))
    for wrong, why in ((link[:-4], "link can't be read"), ("0" * 8 + link[8:], "made on other cells")):
        page = open_page("cells", sel=wrong)
        assert not page.exception and not page.error
        assert any(why in warning.value for warning in page.warning), why


def test_a_selection_too_long_for_a_link_is_saved_and_named_by_it(open_page, own_map, browser, monkeypatch):
    monkeypatch.setattr("sgm_core.analysis.selection_link.LONGEST", 60)
    page = open_page("cells")
    browser.lasso(0, 1, box(-1, 41.5))
    page.run()
    link = page.query_params["sel"]
    link = link[0] if isinstance(link, list) else link
    name = link.partition("@")[2]
    assert open_selection(own_map, name).n_cells == 42
    assert list_selections(own_map) == []
    browser.does.clear()
    assert "42 cells selected" in text_of(open_page("cells", sel=link))


def test_cells_are_selected_by_their_labels(open_page, own_map, browser):
    page = open_page("cells")
    kind, donor = str(own_map.labels().value_counts().index[0]), str(own_map.donors().iloc[0])
    expected = ((own_map.labels() == kind) & (own_map.donors() == donor)).to_numpy()
    for label, level in (("Cell type", kind), ("Donor", donor)):
        next(each for each in page.multiselect if each.label == label).set_value([level]).run()
    press(page, f"Select {expected.sum()} cells" if expected.sum() != 1 else "Select 1 cell")
    assert f"{expected.sum():,} cell" in text_of(page)
    np.testing.assert_array_equal(np.sort(browser.chosen(0)), np.flatnonzero(expected))
    assert f"cell type {kind} and donor {donor}" in text_of(page)


def test_cells_are_selected_by_a_threshold_on_what_is_shown(open_page, own_map, browser):
    gene = str(own_map.genes[5])
    page = open_page("cells", colour="A gene's expression", gene=gene)
    values = own_map.lognorm(genes=[gene]).toarray().ravel()
    next(each for each in page.number_input if each.label == "At least").set_value(0.5).run()
    press(page, f"Select {(values >= 0.5).sum()} cells")
    np.testing.assert_array_equal(browser.chosen(0), np.flatnonzero(values >= 0.5))


def test_a_selection_is_saved_with_its_steps_and_combined(open_page, own_map, browser):
    page = open_page("cells")
    browser.lasso(0, 1, box(-1, 99.5))
    page.run()
    page.text_input(key="save-name-lasso").set_value("first")
    press(page, "Save the selection")
    (saved,) = list_selections(own_map)
    assert (saved.name, saved.n_cells) == ("first", 100)
    assert saved.steps[0]["step"] == "polygon"
    page.button(key="cells-close").click().run()
    assert page.button(key="saved-keep-first").disabled
    browser.lasso(0, 2, box(49.5, 149.5))
    page.run()
    assert not page.button(key="saved-keep-first").disabled, "the lasso can be combined at once"
    for label, expected in (("And", 50), ("Not", 0), ("Or", 100), ("Select", 100)):
        page.button(
            key=f"saved-{ {'And': 'keep', 'Not': 'subtract', 'Or': 'add', 'Select': 'replace'}[label] }-first"
        ).click().run()
        assert not page.exception and not page.error
        found = f"{expected:,} cells selected" if expected else "No cell is selected"
        assert found in text_of(page), label


def test_a_map_of_the_selected_cells_is_made_in_the_background(open_page, own_map, browser, monkeypatch):
    started = []
    monkeypatch.setattr("pages.components.cells_background.launch", lambda run: started.append(run))
    page = open_page("cells")
    browser.lasso(0, 1, box(-1, 99.5))
    page.run()
    press(page, "Make the map")
    (run,) = list_runs()
    assert (run.kind, run.parameters["data"], run.parameters["name"]) == ("umap", "small", "lasso")
    np.testing.assert_array_equal(np.load(run.path / run.parameters["cells"]), np.arange(100))
    assert len(started) == 1
    assert not page.exception


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


def test_the_answer_speaks_of_the_selection(demo_dataset, compare_run):
    kind = str(demo_dataset.labels().value_counts().index[0])
    selected = (demo_dataset.labels() == kind).to_numpy()
    text = selection_panel.answer(demo_dataset, compare_run, MODEL, selected)
    assert text.startswith(f"{selected.sum():,} cells selected")
    assert f"100% {kind}" in text
    assert "named right" in text
    nobody = selection_panel.answer(demo_dataset, None, None, np.zeros(demo_dataset.n_cells, bool))
    assert "No cell" in nobody


def test_predictions_are_those_of_the_test_folds(demo_dataset, compare_run):
    table = compare_run.read_table("predictions")
    mine = table[(table["arm"] == MODEL[0]) & (table["scheme"] == MODEL[1])].set_index("cell")
    values = PageValues(demo_dataset, compare_run)
    found = values.labels(f"predicted:{compare_run.id}/{'/'.join(MODEL)}")
    named = np.array([*found.levels, ""], dtype=object)[found.codes]
    assert (named[mine.index] == mine["predicted"]).all()
    others = np.setdiff1d(np.arange(demo_dataset.n_cells), mine.index)
    assert (found.codes[others] == -1).all() and len(others)
    right = values.labels(f"right:{compare_run.id}/{'/'.join(MODEL)}")
    assert right.counts()[list(right.levels).index("right")] == (mine["predicted"] == mine["true"]).sum()


def test_how_often_genes_were_masked_is_flat_without_guidance(demo_dataset, compare_run):
    values = PageValues(demo_dataset, compare_run)
    guided = values.numbers(f"masked:{compare_run.id}/self-guided")
    uniform = values.numbers(f"masked:{compare_run.id}/uniform")
    assert np.nanstd(guided) > 2 * np.nanstd(uniform)


def test_predictions_for_other_cells_are_not_drawn(open_page, compare_run, own_map, browser):
    # The name of the dataset has come to mean another file.
    write_json(own_map.path / "dataset.json", {**own_map.meta, "content_hash": "0" * 64})
    page = open_page("cells")
    assert not page.exception and not page.error
    assert any("was made on other cells" in warning.value for warning in page.warning)
    assert "test cells right" not in text_of(page)
    for name in ("compare", "masked_genes"):
        page = open_page(name)
        assert not page.exception
        assert any("was made on other cells" in error.value for error in page.error), name
        assert not page.get("plotly_chart")


def test_the_files_own_colours_are_used_unless_safe_ones_are_asked_for(demo_dataset, monkeypatch):
    values = PageValues(demo_dataset, None)
    levels = values.labels("obs:cell_type").levels
    own = {level: f"#0000{i:02x}" for i, level in enumerate(levels)}
    monkeypatch.setattr(type(demo_dataset), "colours", lambda self, column: own, raising=False)
    cells = np.arange(demo_dataset.n_cells)
    mine = cells_colours.of_labels(values, "obs:cell_type", "t", cells, "own", False)
    assert mine.palette[: len(levels)] == list(own.values())
    assert cells_colours.of_labels(values, "obs:cell_type", "t", cells, "own", True).palette != mine.palette


def test_labels_past_a_hundred_share_one_colour_and_none_is_lost(demo_dataset):
    barcodes = [f"b{i % 150}" for i in range(demo_dataset.n_cells)]
    write_table(demo_dataset.path / "obs.parquet", demo_dataset.obs.assign(barcode=barcodes))
    demo_dataset = open_dataset(demo_dataset.name)
    cells = np.arange(demo_dataset.n_cells)
    found = cells_colours.of_labels(PageValues(demo_dataset, None), "obs:barcode", "t", cells, "many", True)
    assert len(found.categories) == 100 and found.categories[-1] == "51 other labels"
    assert sum(found.counts) == demo_dataset.n_cells
    assert found.counts[-1] == (found.codes == 99).sum() > found.counts[0]


def test_a_scale_clips_at_percentiles_or_at_given_ends():
    numbers = np.append(np.arange(100, dtype="float32"), np.nan)
    assert cells_colours.ends(numbers, Scale(clip=(0, 100))) == (0, 99)
    low, high = cells_colours.ends(numbers, Scale(clip=(10, 90)))
    assert (low, high) == pytest.approx((9.9, 89.1))
    assert cells_colours.ends(numbers, Scale(low=-5, high=5)) == (-5, 5)
    scores = np.array([-1, 0, 3], dtype="float32")
    assert cells_colours.ends(scores, cells_colours.settled(Scale(clip=(0, 100)), "score:A")) == (-3, 3)
    assert cells_colours.ends(scores, cells_colours.settled(Scale(clip=(0, 100)), "obs:x")) == (-1, 3)
    rare = np.zeros(1000, dtype="float32")
    rare[0] = 3
    assert cells_colours.ends(rare, Scale()) == (0, 3)
    assert cells_colours.ends(np.array([np.nan]), Scale()) == (0, 1)
    rows = np.array([0, 50, 99, 100])
    codes, _, _, lacking = cells_colours._code_numbers(numbers, rows, Scale(clip=(0, 50)))
    assert lacking and codes.tolist()[2:] == [254, 255] and codes[0] == 0 and codes[1] == 254


def test_columns_with_another_name_for_each_donor_are_offered_once(open_page, own_map, browser):
    obs = own_map.obs.assign(accession="GSM" + own_map.donors(), sick=np.arange(own_map.n_cells) % 2)
    obs["sick"] = obs["sick"].map({0: "yes", 1: "no"})
    write_table(own_map.path / "obs.parquet", obs.assign(again=obs["sick"].map({"yes": "AML", "no": "none"})))
    labels = [each.label for each in open_page("cells").multiselect]
    assert {"Donor", "Sick", "Again"} <= set(labels)
    assert "Accession" not in labels


def test_coordinates_and_labels_alone_are_enough(open_page, sgm_home, tmp_path, browser):
    from sgm_core.cells.build import import_dataset

    n = 90
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"umap_x": rng.normal(size=n), "umap_y": rng.normal(size=n)})
    table.assign(cell_type=["HSC", "GMP", "T"] * 30).to_csv(tmp_path / "map.csv", index=False)
    import_dataset(tmp_path / "map.csv", "mapped")
    page = open_page("cells")
    assert not page.exception and not page.error
    assert "90 cells of 3 types." in text_of(page)
    assert "coordinates and labels only" in text_of(page)
    assert not any("gene" in option.lower() for option in page.selectbox(key="colour").options)
    browser.lasso(0, 1, box(0, 100))
    page.run()
    assert not page.exception and not page.error
    assert f"{(table['umap_x'] > 0).sum()} cells selected" in text_of(page)
    assert "Make the map" not in [button.label for button in page.button]
