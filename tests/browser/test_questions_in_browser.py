"""The first question that a person asks of selected cells, in a real browser and with a real worker."""

import re

import pytest
from playwright.sync_api import expect
from test_figures_in_browser import browser  # noqa: F401
from test_walk import home, server, visit  # noqa: F401

from sgm_core import home as homes
from sgm_core.analysis.selection_link import to_link
from sgm_core.analysis.selection_steps import Levels
from sgm_core.cells.dataset import open_dataset
from sgm_core.runs.store import list_runs

pytestmark = pytest.mark.browser


@pytest.fixture
def link(home, monkeypatch) -> str:  # noqa: F811
    """The page Cells with the GMP selected."""
    monkeypatch.setenv("SGM_HOME", str(home))
    dataset = open_dataset("small")
    text = to_link((Levels(((f"obs:{dataset.cell_type_column}", ("GMP",)),)),))
    return f"cells?dataset=small&sel={dataset.content_hash[:8]}.{text}&ask=Which+genes+differ%3F&de-cells=4"


def test_from_selected_cells_to_genes_to_what_they_do(browser, server, link):  # noqa: F811
    tab = visit(browser, server)
    tab.open(link)
    page = tab.page

    page.get_by_text("Pseudobulk over", exact=False).wait_for()
    page.get_by_test_id("stMain").get_by_role("button", name=re.compile("Compare$")).click()
    page.get_by_text("Whole table", exact=False).first.wait_for()
    tab.wait()
    (run,) = [each for each in list_runs() if each.kind == "differential"]
    facts = homes.read_json(run.path / "differential.json")
    assert page.get_by_text(f"{facts['n_higher']} genes higher", exact=False).first.is_visible()
    # A box over the right half of the volcano chooses genes that are higher, and none that are lower.
    plot = page.locator(".st-key-chart-volcano .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    zero = page.locator(".st-key-chart-volcano .js-plotly-plot").evaluate(
        "plot => plot._fullLayout.xaxis.l2p(1) + plot._fullLayout.xaxis._offset - plot._fullLayout._size.l"
    )
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + zero, box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile("picked="))
    tab.wait()
    table = run.read_table("differential").set_index("gene")
    picked = re.findall(r"picked=([^&]+)", page.url)
    assert picked and (table.loc[picked, "log2_fold_change"] > 0.9).all()
    page.get_by_role("button", name=re.compile(r"Chosen genes \(")).click()
    page.get_by_role("heading", name="Enrichment", exact=True).wait_for()
    tab.wait()
    expect(page.get_by_label("Gene symbols", exact=False)).not_to_have_value("", timeout=30_000)
    assert set(page.get_by_label("Gene symbols", exact=False).input_value().split()) == set(picked)
    assert page.get_by_text(f"The {facts['n_tested']} genes that the comparison tested").first.is_visible()
    page.reload()  # the link holds it all
    tab.wait()
    expect(page.get_by_label("Gene symbols", exact=False)).not_to_have_value("", timeout=30_000)
    assert set(page.get_by_label("Gene symbols", exact=False).input_value().split()) == set(picked)
    tab.assert_well()
    page.context.close()
