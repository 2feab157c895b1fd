"""What only a browser can show of figures: files that really download, a lasso, a click on a gene."""

import pandas as pd
import pytest
from test_walk import CHROMIUM, FLAGS, home, server, visit  # noqa: F401

pytestmark = pytest.mark.browser
# Maps of cells are drawn by WebGL, which a machine without a graphics card has from SwiftShader.
GRAPHICS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = [flag for flag in FLAGS if flag != "--disable-gpu"]
        instance = playwright.chromium.launch(executable_path=CHROMIUM, args=[*flags, *GRAPHICS])
        yield instance
        instance.close()


@pytest.fixture
def dark(browser, server):  # noqa: F811
    tab = visit(browser, server, theme="dark")
    yield tab
    tab.page.context.close()


def download(tab, box: str, name: str):
    with tab.page.expect_download(timeout=30_000) as caught:
        tab.page.locator(f".st-key-{box}").get_by_role("button", name=name, exact=True).click()
    return caught.value


def test_figures_download_as_svg_png_and_csv_in_print_colours(dark, tmp_path):
    dark.open("compare")
    dark.page.locator(".st-key-figure-scores .js-plotly-plot .main-svg").first.wait_for(timeout=120_000)
    svg = download(dark, "figure-scores", "SVG")
    assert svg.suggested_filename == "scores.svg"
    svg.save_as(tmp_path / "scores.svg")
    text = (tmp_path / "scores.svg").read_text()
    assert text.startswith("<svg")
    assert "SIMULATED" in text
    # The page is dark; the file is for paper: white ground, dark text.
    assert "rgb(255, 255, 255)" in text
    assert "rgb(31, 35, 40)" in text
    png = download(dark, "figure-scores", "PNG")
    png.save_as(tmp_path / "scores.png")
    head = (tmp_path / "scores.png").read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    shown = dark.page.locator(".st-key-figure-scores .js-plotly-plot").bounding_box()
    assert int.from_bytes(head[16:20]) == pytest.approx(3 * shown["width"], rel=0.02)
    csv = download(dark, "figure-scores", "CSV")
    csv.save_as(tmp_path / "scores.csv")
    assert {"arm", "scheme", "fold", "macro_f1"} <= set(pd.read_csv(tmp_path / "scores.csv"))
    # The table's own toolbar would write formulas as they are: it has no such button.
    dark.page.get_by_test_id("stDataFrame").first.hover()
    toolbar = dark.page.get_by_test_id("stElementToolbarButton")
    toolbar.get_by_label("Search").first.wait_for()
    assert not any(button.is_visible() for button in toolbar.get_by_label("Download as CSV").all())
    dark.assert_well()


def test_a_click_on_a_gene_opens_its_card_and_makes_it_part_of_the_link(dark):
    dark.open("masked_genes")
    dark.page.locator(".st-key-figure-frequency-expression-left .nsewdrag").first.wait_for(timeout=120_000)
    dark.page.wait_for_timeout(2000)
    place = dark.page.evaluate(
        """() => {
          const plot = document.querySelector('.st-key-figure-frequency-expression-left .js-plotly-plot');
          const trace = plot._fullData.find((t) => (t.name || '').startsWith('Hidden more'));
          const { xaxis, yaxis } = plot._fullLayout;
          const box = plot.getBoundingClientRect();
          const x = box.x + xaxis._offset + xaxis.d2p(trace.x[0]);
          return [x, box.y + yaxis._offset + yaxis.d2p(trace.y[0])];
        }"""
    )
    dark.page.mouse.move(place[0] - 30, place[1])
    dark.page.mouse.move(*place, steps=5)
    dark.page.wait_for_timeout(500)
    dark.page.mouse.click(*place)
    dark.page.wait_for_url("**gene=**", timeout=120_000)
    dark.page.get_by_text("times as often as genes of equal expression").first.wait_for(timeout=120_000)
    dark.assert_well()
