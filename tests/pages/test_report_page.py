"""Report: what do I send?"""

from page_text import text_of

from sgm_core.analysis.confidence import WORDS
from sgm_core.runs.store import create_run


def test_the_page_offers_one_file_and_shows_it(open_page, compare_run):
    page = open_page("report")
    assert not page.exception
    assert "sentences say what can't be concluded" in text_of(page)
    frame = page.main.get("iframe")[0].proto.srcdoc
    assert "In short" in frame and "Synthetic run" in frame and any(word in frame for word in WORDS.values())
    page.segmented_control(key="format").set_value("md").run()
    assert not page.exception and "Markdown, without figures." in text_of(page)


def test_a_run_without_results_says_what_to_do(open_page, demo_dataset):
    run = create_run("pretrain", "small", {"data": "small"}, title="Failed")
    run.finish("failed", "no reason")
    page = open_page("report", run=run.id)
    assert not page.exception and "has no results to report" in text_of(page)
