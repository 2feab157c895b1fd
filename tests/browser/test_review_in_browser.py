"""Two people review at once, with the keyboard alone; then the verdicts go out and come in again."""

import re
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect
from test_figures_in_browser import browser  # noqa: F401
from test_walk import home, server, visit  # noqa: F401

from sgm_core.cli import main
from sgm_core.review import database, verdicts

pytestmark = pytest.mark.browser


class Reviewer:
    """A person at a browser who touches no mouse once the name's field is found."""

    def __init__(self, browser, server, name: str) -> None:  # noqa: F811
        self.tab = visit(browser, server)
        self.page = self.tab.page
        self.tab.open("review")
        self.page.get_by_role("combobox", name="Your name").click()
        self.page.keyboard.type(name)
        self.page.keyboard.press("Enter")
        self.page.get_by_role("button", name="Somebody else").wait_for()
        self.page.get_by_test_id("stMain").get_by_role("button", name="Artefact", disabled=False).wait_for()

    @property
    def gene(self) -> str:
        return self.page.locator("h3").first.inner_text()

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    @contextmanager
    def another_gene(self):
        """Wait until another gene is in view than before."""
        before = self.gene
        yield
        expect(self.page.locator("h3").first).not_to_have_text(before)
        self.tab.wait()

    def look_at(self, gene: str) -> None:
        self.press("/")
        self.page.keyboard.type(gene)
        self.press("Enter")
        expect(self.page.locator("h3").first).to_have_text(gene)
        self.tab.wait()


@pytest.fixture
def people(browser, server, home, monkeypatch):  # noqa: F811
    monkeypatch.setenv("SGM_HOME", str(home))
    both = [Reviewer(browser, server, name) for name in ("Ada", "Bo")]
    yield both
    for person in both:
        person.tab.page.context.close()


def said() -> dict[tuple[str, str], str]:
    return {(row.gene, row.reviewer): row.verdict for row in verdicts().itertuples()}


def test_two_people_at_once_with_the_keyboard_alone(people, tmp_path, capsys):
    ada, bo = people
    first = ada.gene
    assert bo.gene == first, "both see the same queue"
    with ada.another_gene():
        ada.press("1")
    with bo.another_gene():
        bo.press("3")
    assert said() == {(first, "Ada"): "known", (first, "Bo"): "artefact"}
    second = ada.gene

    # keys within a comment are text
    ada.press("m")
    ada.page.keyboard.type("1 to 4, j or k, u / ?")
    ada.press("Escape")
    expect(ada.page.locator("h3").first).to_have_text(second)
    assert len(said()) == 2
    ada.tab.wait()
    with ada.another_gene():
        ada.press("2")
    assert said()[second, "Ada"] == "plausible"
    table = verdicts()
    assert "1 to 4, j or k, u / ?" in table["comment"].tolist()

    # what the other said is there once both have spoken, without a reload
    with ada.another_gene():
        ada.press("k")
    ada.look_at(first)
    ada.page.get_by_text("What others say").wait_for()
    assert ada.page.get_by_text(re.compile("Artefact, Bo")).count() == 1

    # undo takes back one's own latest verdict, and nobody else's
    bo.press("u")
    bo.page.get_by_text(f"Taken back: {first} was Artefact").wait_for()
    assert said() == {(first, "Ada"): "known", (second, "Ada"): "plausible"}
    bo.tab.wait()
    with bo.another_gene():
        bo.press("4")
    with bo.another_gene():
        bo.press("j")
    with bo.another_gene():
        bo.press("k")
    bo.press("?")
    bo.page.get_by_text("undo your last verdict").wait_for()
    assert said()[first, "Bo"] == "unclear"
    ada.tab.assert_well()
    bo.tab.assert_well()

    # the terminal says the same, and a round trip changes nothing
    before = verdicts()
    for ending in ("csv", "json"):
        path = tmp_path / f"v.{ending}"
        assert main(["review", "export", "--out", str(path)]) == 0
        database.database_path().rename(tmp_path / f"kept-{ending}.sqlite")
        for rest in database.database_path().parent.glob("reviews.sqlite-*"):
            rest.unlink()
        assert main(["review", "import", str(path)]) == 0
        assert "3 verdicts taken" in capsys.readouterr().out or ending == "json"
        assert verdicts().equals(before)
