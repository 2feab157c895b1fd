"""A new patient's cells from start to end on the page: named by a model, corrected by hand, taken along."""

from contextlib import suppress
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import TimeoutError
from test_cells_in_browser import browser, lasso  # noqa: F401
from test_walk import Visit, server, visit  # noqa: F401

from sgm_core.annotation.kept import open_annotation
from sgm_core.cells.simulate import make_demo, simulate

pytestmark = pytest.mark.browser
N_GENES = 250
KEPT = "patient-by-tiny-hvg-logistic"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home folder with a very small simulated dataset, and no model yet."""
    home = tmp_path_factory.mktemp("annotate-browser") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        make_demo(name="tiny", n_cells=300, n_genes=N_GENES)
    return home


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """Write an h5ad of simulated cells, no labels and no donors; every fourth lies apart on its map."""
    counts, obs, genes = simulate(seed=5, n_cells=120, n_genes=N_GENES, n_aml=2, n_healthy=2)
    rng = np.random.default_rng(0)
    apart = np.arange(len(obs)) % 4 == 0
    place = rng.uniform(-0.14, 0.14, (len(obs), 2)) + np.where(apart, -1, 1)[:, None] * [1, 0]
    own = {"plate": pd.Categorical(np.where(np.arange(len(obs)) < 60, "P1", "P2")), "score": rng.random(120)}
    adata = ad.AnnData(
        counts.astype("float32"),
        pd.DataFrame(own, index=obs["cell"].to_numpy(str)),
        pd.DataFrame({"length": rng.integers(500, 5000, len(genes))}, index=genes),
        uns={"SIMULATED": "yes, no patient", "settings": {"depth": 900}},
        obsm={"X_umap": place.astype("float32")},
        layers={"scaled": rng.random(counts.shape, dtype="float32")},
    )
    adata.write_h5ad(path := tmp_path / "patient.h5ad")
    return path


@pytest.fixture
def tab(browser, server):  # noqa: F811
    tab = visit(browser, server)
    yield tab
    tab.page.context.close()


def pick(tab: Visit, label: str, level: str) -> None:
    """Type into a selector and click what it offers, again where scrolling or a run closed the menu."""
    box = tab.page.get_by_role("combobox", name=label, exact=True)
    for _ in range(20):
        box.scroll_into_view_if_needed()
        box.fill("")
        tab.page.wait_for_timeout(200)
        box.fill(level)
        with suppress(TimeoutError):
            tab.page.get_by_role("option").filter(has_text=level).first.click(timeout=2_000)
            return
    raise AssertionError(f"{level} can't be chosen in {label}")


def assign(tab: Visit, n: int, label: str, who: str) -> None:
    """Give the selected cells a type, one of the model's or a new one."""
    pick(tab, "They are", label)
    tab.wait()
    name = tab.page.get_by_label("Who says so")
    name.fill(who)
    name.press("Tab")
    tab.button(f"Assign to {n} cells")


def contents(path: Path) -> dict[str, object]:
    """Return all that an HDF5 file holds by its path, values and attributes, but for what we add."""
    found: dict[str, object] = {}

    def take(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if not name.startswith(("obs/sgm_", "uns/sgm_annotation")):
            attributes = {k: np.asarray(v).tolist() for k, v in item.attrs.items() if k != "column-order"}
            values = np.asarray(item[()]).tolist() if isinstance(item, h5py.Dataset) else None
            found[name] = (attributes, values)

    with h5py.File(path) as file:
        file.visititems(take)
    return found


def test_cells_are_named_corrected_and_taken_along(tab, home, patient, tmp_path, monkeypatch):
    monkeypatch.setenv("SGM_HOME", str(home))
    page = tab.page
    tab.open("annotate")
    page.get_by_text("No model yet").wait_for()
    tab.button("Fit the model")
    page.get_by_text("tiny-hvg-logistic names 6 classes").wait_for()
    tab.wait()

    page.get_by_test_id("stMain").get_by_text("Upload", exact=True).first.click()
    tab.wait()
    page.get_by_test_id("stMain").locator("input[type=file]").first.set_input_files(str(patient))
    page.get_by_text("patient.h5ad: h5ad (csr), 120 cells").wait_for()
    page.get_by_text("Map these cells", exact=True).click()
    tab.wait()
    tab.button("Annotate with tiny-hvg-logistic")
    page.get_by_text("120 cells: ").wait_for()
    page.wait_for_url(f"**annotation={KEPT}**")
    annotation = open_annotation(KEPT)
    said = annotation.predictions()["cell_type"].to_numpy(str)

    # drawn around on the file's own map in the result, which is 2.28 wide and fills 94 % of its place
    maps = page.locator(".sgm-scatter[data-drawn]")
    maps.nth(1).wait_for()
    tab.wait()
    lasso(tab, 1, 0.5 - 0.94 / 2.28, 0.5, 0.08)
    page.get_by_text("30 cells selected:").wait_for()
    tab.wait()
    assign(tab, 30, "Mast cell", "Ada")
    page.get_by_text("30 cells of 120 corrected by hand, in 1 correction.").wait_for()
    tab.wait()

    # chosen by a column of the file, and taken back
    page.get_by_text("Select cells by label or value").first.click()
    pick(tab, "Plate", "P1")
    page.keyboard.press("Escape")
    tab.button("Select 60 cells")
    page.get_by_text("60 cells selected:").wait_for()
    page.get_by_text("15 Mast cell").wait_for()
    tab.wait()
    assert page.get_by_label("Who says so").input_value() == "Ada"
    assign(tab, 60, "HSC", "Bo")
    page.get_by_text("75 cells of 120 corrected by hand, in 2 corrections.").wait_for()
    tab.wait()
    tab.button("Undo: 60 cells to HSC")
    page.get_by_text("30 cells of 120 corrected by hand, in 1 correction.").wait_for()
    tab.wait()
    (made,) = annotation.corrections()
    assert (made["label"], made["who"], made["rows"]) == ("Mast cell", "Ada", list(range(0, 120, 4)))

    page.get_by_role("button", name="Download").first.click()
    files = {}
    for name, ending in (("CSV: cells, predictions, labels", "csv"), ("h5ad, about", "h5ad")):
        with page.expect_download() as caught:
            page.get_by_role("button", name=name).click()
        assert caught.value.suggested_filename == f"{KEPT}.{ending}"
        caught.value.save_as(tmp_path / f"taken.{ending}")
        files[ending] = tmp_path / f"taken.{ending}"
    tab.assert_well()

    apart = np.arange(120) % 4 == 0
    created = annotation.about["created"]
    original, taken = ad.read_h5ad(patient), ad.read_h5ad(files["h5ad"])
    table = pd.read_csv(files["csv"], index_col="cell", keep_default_na=False)
    for cells in (taken.obs, table):
        assert cells.index.tolist() == original.obs_names.tolist()
        assert cells["sgm_cell_type"].tolist() == np.where(apart, "Mast cell", said).tolist()
        assert cells["sgm_source"].tolist() == np.where(apart, "Ada", "model").tolist()
        assert cells["sgm_when"].tolist() == np.where(apart, made["when"], created).tolist()
        assert cells["plate"].tolist() == original.obs["plate"].tolist()
        np.testing.assert_allclose(cells["score"], original.obs["score"])
    assert contents(files["h5ad"]) == contents(patient)
    assert [name for name in taken.obs if not name.startswith("sgm_")] == list(original.obs)
