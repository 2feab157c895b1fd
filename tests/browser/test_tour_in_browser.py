"""The guided tour in a real browser, from start to end; terms on their way; a file of gene sets."""

from pathlib import Path

import pytest
from test_walk import Visit, browser, home, server, tab, visit  # noqa: F401

from pages.components.tour_texts import STEPS

pytestmark = pytest.mark.browser
PAGES = [step.page.split("/")[1].removesuffix(".py") for step in STEPS]


def box(visit: Visit) -> str:  # noqa: F811
    return visit.page.locator(".st-key-tour").inner_text()


def at(visit: Visit, number: int) -> None:  # noqa: F811
    visit.page.get_by_text(f"Tour {number} of 8").wait_for()
    visit.page.wait_for_url(f"**tour={number}**")
    visit.wait()


def test_the_tour_from_start_to_end(tab):  # noqa: F811
    tab.open()
    tab.button("Start the tour")
    for number, step in enumerate(STEPS, 1):
        at(tab, number)
        heading = PAGES[number - 1].replace("_", " ").capitalize()
        tab.page.get_by_role("heading", name=heading, exact=True).wait_for()
        text = box(tab)
        assert step.title in text
        assert "SIMULATED" in text
        assert "simulated" in text
        assert "waits on the page" not in text
        assert any(character.isdigit() for character in text.replace(f"Tour {number} of 8", ""))
        tab.assert_well()
        if number < len(STEPS):
            tab.button("Next")
    tab.button("Back")
    at(tab, 7)
    tab.page.get_by_text("precision at 50").first.wait_for()  # the figures of the step
    # It remembers where it was: on another page, and after the page is loaded anew.
    tab.click_page("Cells")
    assert "The tour waits on the page Masked genes." in box(tab)
    tab.page.reload()
    tab.wait()
    assert "The tour waits on the page Masked genes." in box(tab)
    tab.button("Go there")
    at(tab, 7)
    tab.button("Next")
    at(tab, 8)
    tab.button("Finish")
    tab.page.get_by_text("Tour 8 of 8").wait_for(state="detached")
    assert "tour=" not in tab.page.url
    tab.click_page("Compare")
    assert tab.page.locator(".st-key-tour").count() == 0
    tab.assert_well()


def test_a_term_goes_to_the_masked_genes_and_to_the_map(tab):  # noqa: F811
    for button, heading, seen in (
        ("Mark among masked genes", "Masked genes", "marked:"),
        ("See them on the map", "Cells", "are in small"),
        ("Review them", "Review", "of"),
    ):
        tab.open("enrichment?genes=Most+masked&top=100")
        canvas = tab.page.get_by_test_id("stDataFrame").first.locator("canvas").first
        canvas.wait_for()
        canvas.scroll_into_view_if_needed()
        place = canvas.bounding_box()
        tab.page.mouse.click(place["x"] + 12, place["y"] + 52)
        tab.page.get_by_role("button", name=button).click()
        tab.page.get_by_role("heading", name=heading, exact=True).wait_for()
        tab.page.get_by_text(seen).first.wait_for()
        tab.assert_well()


def test_gene_sets_of_ones_own_by_upload(tab, home: Path, tmp_path: Path):  # noqa: F811
    from sgm_core.tables import read

    masks = read(next((home / "runs").glob("compare-*")) / "masks.parquet", ["gene"])
    genes = masks["gene"].drop_duplicates().tolist()
    gmt = tmp_path / "my <b>sets.gmt"
    lines = [["mine", "", *genes[:20]], ["<script>", "", *genes[20:60]]]
    gmt.write_text("".join("\t".join(line) + "\n" for line in lines))
    tab.open("enrichment?genes=Most+masked")
    tab.button("Add")
    tab.page.locator("input[type=file]").set_input_files(str(gmt))
    tab.page.get_by_role("button", name="Add it").click()
    tab.page.get_by_text("2 terms tested").wait_for()
    assert list((home / "resources" / "genesets").glob("*/resource.json"))
    tab.assert_well()
