"""Names that are markup, in a real browser: nothing is fetched, nothing becomes a link or a picture."""

import shutil
from pathlib import Path

import pytest
from test_walk import PAGES, ROOT, browser, server, visit  # noqa: F401

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home folder with the dataset and the comparison of `tests/hostile.py`."""
    import sys

    sys.path.insert(0, str(ROOT / "tests"))
    from hostile import hostile_dataset, hostile_run

    from sgm_core.cells.dataset import open_dataset

    folder = tmp_path_factory.mktemp("names")
    home = folder / "home"
    shutil.copytree(demo_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SGM_HOME", str(home))
        hostile_run(hostile_dataset(open_dataset("small"), folder), folder)
    return home


# What a name has become: a link or picture of its own, bold or code or a formula. (The anchor of a heading,
# which is a link within the page, is made of the heading's text.)
MARKUP = r"""main => [...main.querySelectorAll('a, img, image, b, strong, em, del, code, .katex')]
  .filter(e => !(e.getAttribute('href') || '').startsWith('#'))
  .map(e => e.outerHTML)
  .filter(html => /<(a|img|image)\b[^>]*evil|<b>evil|<(em|del|code)[^>]*>[^<]*evil|katex/i.test(html))"""

# Figures are drawn after the script has ended.
DRAWN = "() => [...document.querySelectorAll('.js-plotly-plot')].every(e => e.querySelector('.main-svg'))"


def test_no_page_fetches_links_or_draws_what_a_name_asks_for(browser, server):  # noqa: F811
    tab = visit(browser, server)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.open("?dataset=hostile")
    seen = ""
    for name in PAGES:
        tab.click_page(name)
        tab.page.wait_for_function(DRAWN)
        tab.page.wait_for_timeout(300)  # what a name asks for is asked for after it is drawn
        main = tab.page.get_by_test_id("stMain")
        seen += main.inner_text()
        markup = main.evaluate(MARKUP)
        assert markup == [], name
        tab.assert_well()
    assert [url for url in asked if "evil" in url.split("?")[0]] == []
    assert "<img src=//evil.test/type.png>" in seen, "names are shown as they are"
    tab.page.context.close()
