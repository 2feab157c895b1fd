"""The tour: every step computes what it says, any page holds it, and it never forgets to say SIMULATED."""

import pytest
from page_text import text_of

import sgm_core
from pages.components.tour_texts import STEPS


def button(page, key: str):
    return next((each for each in page.button if each.key == key), None)


@pytest.mark.parametrize("number", range(1, len(STEPS) + 1))
def test_a_link_opens_any_step(open_page, compare_run, number):
    name = STEPS[number - 1].page.split("/")[1].removesuffix(".py")
    page = open_page(name, tour=str(number))
    assert not page.exception
    assert not page.error
    text = text_of(page)
    assert f"Tour {number} of 8 · {STEPS[number - 1].title}" in text
    assert "simulated" in text
    assert "waits on the page" not in text
    assert (button(page, "tour-next") is None) == (number == len(STEPS))


def test_the_truth_of_step_7_is_computed(open_page, compare_run):
    text = text_of(open_page("masked_genes", tour="7", evidence="What was planted"))
    table = sgm_core.planted(compare_run).query("planted == 'malignant cells'").set_index("ranking")
    hits = table.at["frequency", "n_hits"]
    assert f"{hits} of the 50 most masked genes are planted in malignant cells" in text
    assert f"the most expressed genes {table.at['expression', 'precision']:.0%}" in text


def test_on_another_page_it_waits_and_leads_back(open_page, compare_run):
    page = open_page("cells", tour="4")
    assert "The tour waits on the page Compare." in text_of(page)
    assert button(page, "tour-return").label == "Go there"
    button(page, "tour-leave").click().run()
    assert "Tour 4 of 8" not in text_of(page)


def test_with_other_data_in_view_it_does_not_speak_of_them(open_page, compare_run):
    from sgm_core.cells.simulate import make_demo

    make_demo("other", n_cells=200)
    text = text_of(open_page("compare", tour="4", dataset="other"))
    assert "The tour waits on the page Compare, with small (simulated) in view." in text


def test_without_a_simulated_run_there_is_no_tour(open_page, demo_dataset):
    page = open_page("home", tour="3")
    assert not page.exception
    assert "Tour 3" not in text_of(page)
    assert button(page, "tour-start") is None


def test_a_step_whose_numbers_are_not_there_says_so(open_page, compare_run):
    compare_run.table_path("folds").unlink()
    text = text_of(open_page("runs", tour="3"))
    assert "The demo's analysis ended (done) before this step: resume it on the page Runs." in text
