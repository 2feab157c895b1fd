"""The report as a reader opens it: from the disk, without a network, on paper; names in it are text."""

import re
import shutil
import sys
from pathlib import Path

import pytest
from test_walk import PATIENCE_MS, ROOT, browser  # noqa: F401

pytestmark = pytest.mark.browser
SCRIPTS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "--><b onclick=alert()>bold</b>",
)


@pytest.fixture(scope="module")
def report(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a comparison whose every name is markup, as a file."""
    sys.path.insert(0, str(ROOT / "tests"))
    import hostile

    from sgm_core.cells.dataset import open_dataset
    from sgm_core.report.build import make_report
    from sgm_core.report.write import write_report

    folder = tmp_path_factory.mktemp("report")
    shutil.copytree(demo_home, folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(folder / "home"))
        patch.setattr(hostile, "TYPES", (*SCRIPTS, *hostile.TYPES))
        patch.setattr(hostile, "GENES", (SCRIPTS[1].upper(), *hostile.GENES))
        patch.setattr(hostile, "TITLE", f"</title>{SCRIPTS[0]}")
        run = hostile.hostile_run(hostile.hostile_dataset(open_dataset("small"), folder), folder)
        return write_report(make_report(run, "evil"), folder / "report.html")


def test_it_opens_without_a_network_and_nothing_in_it_runs(browser, report):  # noqa: F811
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: (told.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.goto(report.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'yes'", timeout=PATIENCE_MS)
    assert told == [] and asked == [report.as_uri()]
    figures = page.locator("figure .plot")
    assert figures.count() >= 10
    drawn = "boxes => boxes.every(box => box.querySelector('.main-svg') && box.clientWidth <= 690)"
    assert figures.evaluate_all(drawn)
    text = page.locator("main").inner_text()
    for name in SCRIPTS:
        assert name in text and name.upper() in text.upper()
    foreign = """main => [...main.querySelectorAll('a, img, script, b, [onclick]')].map(e => e.outerHTML)
      .filter(html => /evil|alert/.test(html.split('>')[0]) || /^<b>(bold|evil)/.test(html))"""
    assert page.locator("main").evaluate(foreign) == []
    assert page.title().startswith("</title><script>")
    # the figures answer the pointer: a click on a legend's name hides its cells
    first = page.locator(".legendtoggle").first
    first.scroll_into_view_if_needed()
    first.click()
    context.close()


def test_it_prints_on_a4_with_everything_open(browser, report, tmp_path):  # noqa: F811
    context = browser.new_context(offline=True, viewport={"width": 800, "height": 900})
    page = context.new_page()
    page.goto(report.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'yes'", timeout=PATIENCE_MS)
    data = page.pdf(prefer_css_page_size=True, print_background=True)
    sizes = {tuple(float(n) for n in box.split()) for box in re.findall(rb"/MediaBox \[([^\]]*)\]", data)}
    assert len(sizes) == 1
    (left, bottom, right, top) = sizes.pop()
    assert (round(right - left), round(top - bottom)) in {(595, 842), (596, 842), (594, 842), (595, 841)}
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})
    wide = (
        "parts => parts.map(part => [part.getAttribute('aria-label'), part.scrollWidth - part.clientWidth])"
    )
    over = [name for name, more in page.locator(".wide").evaluate_all(wide) if more > 1]
    assert over == []
    context.close()


def test_its_contents_lead_to_its_parts_in_a_preview_too(browser, report):  # noqa: F811
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.set_content("<iframe style='width: 900px; height: 500px'></iframe>")
    page.locator("iframe").evaluate("(frame, text) => { frame.srcdoc = text }", report.read_text())
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="How to repeat it").click()
    place = frame.locator("#repeat").bounding_box(timeout=PATIENCE_MS)
    assert place is not None and place["y"] < 600
    context.close()


def test_it_fits_a_narrow_screen(browser, report):  # noqa: F811
    context = browser.new_context(offline=True, viewport={"width": 420, "height": 900})
    page = context.new_page()
    page.goto(report.as_uri())
    page.wait_for_function("document.documentElement.dataset.drawn === 'yes'", timeout=PATIENCE_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    context.close()
