"""Cells in a real browser: drawn pixels, a lasso, recolouring, linked maps, on 339,381 real cells."""

import io
import math
import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import TimeoutError
from test_walk import CHROMIUM, FLAGS, Visit, server, visit  # noqa: F401

pytestmark = pytest.mark.browser
WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="module")
def browser():
    """Chromium that draws with WebGL in software."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: apt-get install chromium, or set CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = [flag for flag in FLAGS if flag != "--disable-gpu"]
        instance = playwright.chromium.launch(executable_path=CHROMIUM, args=[*flags, *WEBGL])
        yield instance
        instance.close()


@pytest.fixture(scope="module")
def home(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home folder with the published map of Ennis et al., coordinates and labels alone."""
    from sgm_core.cells.build import import_dataset

    home = tmp_path_factory.mktemp("ennis") / "home"
    table = shared / "data" / "ennis2023_atlas_meta" / "ennis_atlas_umap_labels.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        import_dataset(table, "ennis")
    return home


def drawn(tab: Visit) -> None:
    """Wait until both maps have drawn what they were last given."""
    tab.wait()
    tab.page.locator(".sgm-scatter[data-drawn]").nth(1).wait_for()
    tab.page.wait_for_timeout(700)


def pixels(tab: Visit, place: int) -> np.ndarray:
    """Return the picture of a map, (height, width, 3)."""
    shot = tab.page.locator(".sgm-scatter canvas.points, .sgm-scatter .stage").nth(place)
    return np.array(Image.open(io.BytesIO(shot.screenshot())).convert("RGB")).astype(int)


def coloured(picture: np.ndarray) -> float:
    """Return the share of pixels that are neither ground nor grey."""
    return float(((picture.max(axis=2) - picture.min(axis=2)) > 40).mean())


def hues(picture: np.ndarray) -> np.ndarray:
    """Return how the coloured pixels spread over coarse colours; sums to 1."""
    mine = picture[(picture.max(axis=2) - picture.min(axis=2)) > 40] // 64
    counts = np.bincount(mine @ [16, 4, 1], minlength=64)
    return counts / counts.sum()


def lasso(tab: Visit, place: int, x: float, y: float, radius: float) -> None:
    """Draw a circle on a map; all in shares of its width and height."""
    box = tab.page.locator(".sgm-scatter .stage").nth(place).bounding_box()
    at = [
        (
            box["x"] + box["width"] * (x + radius * math.cos(i * math.pi / 20)),
            box["y"] + box["height"] * (y + radius * math.sin(i * math.pi / 20)),
        )
        for i in range(40)
    ]
    mouse = tab.page.mouse
    mouse.move(*at[0])
    mouse.down()
    for each in at[1:]:
        mouse.move(*each)
    mouse.up()


def count(tab: Visit) -> int:
    text = tab.page.get_by_text(re.compile(r"cells selected \(")).first.inner_text()
    return int(text.split(" cell")[0].replace(",", ""))


def test_a_lasso_on_one_map_shows_on_the_other_and_the_link_brings_it_back(browser, server, home):  # noqa: F811
    tab = visit(browser, server)
    tab.open("cells?dataset=ennis")
    drawn(tab)
    tab.page.get_by_text("339,381 cells of 19 types").wait_for()
    before = [pixels(tab, place) for place in (0, 1)]
    assert min(map(coloured, before)) > 0.1, "both maps show cells in colour"

    lasso(tab, 0, 0.45, 0.5, 0.12)
    tab.page.get_by_text("cells selected").first.wait_for()
    drawn(tab)
    n = count(tab)
    assert 1_000 < n < 200_000
    after = [pixels(tab, place) for place in (0, 1)]
    for place in (0, 1):
        assert 0 < coloured(after[place]) < 0.6 * coloured(before[place]), "others recede on both maps"
    table = pd.read_parquet(home / "datasets" / "ennis" / "obs.parquet")
    assert n < len(table)

    tab.page.get_by_role("combobox", name="Colour by").first.click()
    tab.page.get_by_role("option", name="Timepoint").click()
    drawn(tab)
    tab.page.wait_for_function("() => new URL(location.href).searchParams.get('colour') === 'Timepoint'")
    assert np.abs(hues(pixels(tab, 0)) - hues(after[0])).sum() > 0.1, "new colours"
    assert count(tab) == n, "recolouring keeps the selection"

    other = visit(browser, server)
    other.page.goto(tab.page.url)
    other.page.get_by_text(f"{n:,} cells selected").wait_for()
    other.page.context.close()

    tab.page.get_by_role("button", name="Invert", exact=True).click()
    tab.page.get_by_text(f"{len(table) - n:,} cells selected").wait_for()
    tab.page.get_by_role("button", name="Undo", exact=True).first.click()
    tab.page.get_by_text(f"{n:,} cells selected").wait_for()
    tab.assert_well()
    tab.page.context.close()


def choose(tab, label, level, then):
    """Choose a level of a column until the button `then` is there: the page's next run closes a menu."""
    box = tab.page.get_by_role("combobox", name=label, exact=True).first
    for _ in range(5):
        box.fill(level)
        with suppress(TimeoutError):
            tab.page.get_by_role("option", name=re.compile(f"^{level}")).click(timeout=10_000)
            tab.page.keyboard.press("Escape")
            tab.page.get_by_role("button", name=then).wait_for(timeout=20_000)
            return
    raise AssertionError(f"{level} can't be chosen in {label}")


def test_cells_are_selected_by_label_and_saved(browser, server, home):  # noqa: F811
    tab = visit(browser, server)
    tab.open("cells?dataset=ennis")
    drawn(tab)
    tab.page.get_by_text("Select cells by label or value").first.click()
    labels = pd.read_parquet(home / "datasets" / "ennis" / "obs.parquet")["cell_type"]
    n = int((labels == "Plasma").sum())
    choose(tab, "Cell type", "Plasma", f"Select {n:,} cells")
    tab.page.get_by_role("button", name=f"Select {n:,} cells").click()
    tab.page.get_by_text(f"{n:,} cells selected").wait_for()
    tab.page.get_by_role("button", name="Save", exact=True).first.click()
    tab.page.get_by_role("button", name="Save the selection").click()
    tab.page.get_by_text("Saved (1)").wait_for()
    rows = np.load(home / "datasets" / "ennis" / "selections" / "Plasma.npy")
    np.testing.assert_array_equal(rows, np.flatnonzero(labels == "Plasma"))
    tab.assert_well()
    tab.page.context.close()
