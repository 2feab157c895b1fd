"""Review: a queue, one card a gene, verdicts that several people give, what they say together."""

from types import SimpleNamespace

import pytest
from page_text import read, text_of, titles

from sgm_core.resources.store import add_resource
from sgm_core.review import VERDICTS, database, export_verdicts, history, record, undo, verdicts
from sgm_core.review.queue import maskable_genes, queue, statistics_version
from sgm_core.runs.store import create_run


@pytest.fixture
def first_genes(compare_run) -> list[str]:
    import sgm_core

    return queue(sgm_core.masks(compare_run, "self-guided"), "lift", top=100)


def as_reviewer(page, name: str = "Ada"):
    page.session_state["reviewer-name"] = name
    return page.run()


def gene_in_view(page) -> str:
    return page.subheader[0].value


def answer(page) -> str:
    return read(next(part.value for part in page.markdown if part.value.startswith("#####")))


def press(page, key: str):
    page = page.button(key=key).click().run()
    assert not page.exception
    assert not page.error
    return page


def test_the_card_of_the_first_gene_and_no_verdict_without_a_name(open_page, compare_run, first_genes):
    page = open_page("review")
    assert not page.exception
    assert not page.error
    assert gene_in_view(page) == first_genes[0]
    assert "times as often as genes of equal expression" in text_of(page)
    there = titles(page)
    for title in (
        "among all genes",
        "how often hidden, by",
        "is it the same in every donor?",
        "Expression of",
    ):
        assert any(title in each and first_genes[0] in each for each in there), title
    assert "Uniform + summary: in" in text_of(page), "the control stands beside the arm"
    assert "No gene is judged yet" in answer(page)
    assert all(page.button(key=f"verdict-{each}").disabled for each in VERDICTS)


def test_a_verdict_with_tags_and_comment_goes_on_to_the_next_gene(open_page, compare_run, first_genes):
    page = as_reviewer(open_page("review"))
    gene = first_genes[0]
    page.text_area(key=f"review-comment-{gene}").set_value("=seen <b>before</b>")
    page.multiselect(key=f"review-tags-{gene}").set_value(["stem-like"])
    page = press(page.run(), "verdict-plausible")
    assert gene_in_view(page) == first_genes[1]
    row = verdicts(compare_run).iloc[0]
    assert row.drop("time").to_dict() == {
        "run": compare_run.id, "ranking": "lift:self-guided", "gene": gene, "reviewer": "Ada",
        "verdict": "plausible", "tags": "stem-like", "comment": "=seen <b>before</b>",
        "statistics_version": row["statistics_version"],
    }  # fmt: skip
    import sgm_core

    assert row["statistics_version"] == statistics_version(sgm_core.masks(compare_run, "self-guided"))
    assert "1 gene judged by 1 reviewer: 1 plausible" in answer(page)
    page = press(page, "review-previous")
    assert page.text_area(key=f"review-comment-{gene}").value == "=seen <b>before</b>"
    assert page.button(key="verdict-plausible").proto.type == "primary"
    page = press(press(page, "review-next"), "review-undo")
    assert gene_in_view(page) == gene and verdicts(compare_run).empty
    assert f"Taken back: {gene} was Plausible" in text_of(page)
    assert len(history(compare_run)) == 2


def test_others_are_seen_once_one_has_spoken_and_nothing_is_overwritten(open_page, compare_run, first_genes):
    gene = first_genes[0]
    record(compare_run, gene, "artefact", "Bo", comment="ambient")
    page = as_reviewer(open_page("review"))
    assert "Judged by Bo; shown once you have judged it" in text_of(page)
    assert "ambient" not in text_of(page)
    page = press(press(page, "verdict-known"), "review-previous")
    assert "Artefact" in text_of(page) and "ambient" in text_of(page)
    assert set(verdicts(compare_run)["reviewer"]) == {"Ada", "Bo"}
    assert "too few to speak of agreement" in answer(page)
    page = open_page("review", gene=gene)
    page.session_state["review-open"] = True
    assert "ambient" in text_of(as_reviewer(page, "Cy"))


def test_a_verdict_from_another_window_is_shown_before_it_is_replaced(open_page, compare_run, first_genes):
    gene = first_genes[0]
    page = as_reviewer(open_page("review"))
    record(compare_run, gene, "unclear", "Ada", comment="from the laptop")
    page.text_area(key=f"review-comment-{gene}").set_value("typed here")
    page = press(page, "verdict-known")
    assert "Ada judged" in text_of(page) and "in another window meanwhile, as 'Unclear'" in text_of(page)
    assert gene_in_view(page) == gene and len(history(compare_run)) == 1
    assert page.text_area(key=f"review-comment-{gene}").value == "typed here", "what was typed stays"
    press(page, "verdict-known")
    assert verdicts(compare_run)["comment"].tolist() == ["typed here"]


def test_a_locked_file_says_so_and_keeps_what_was_typed(open_page, compare_run, first_genes, monkeypatch):
    import sqlite3

    record(compare_run, first_genes[5], "known", "Bo")
    monkeypatch.setattr(database, "WAIT_S", 0.1)
    page = as_reviewer(open_page("review"))
    page.text_area(key=f"review-comment-{first_genes[0]}").set_value("mine")
    other = sqlite3.connect(database.database_path(), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    page = press(page, "verdict-known")
    assert "locked by another program" in text_of(page) and gene_in_view(page) == first_genes[0]
    other.execute("ROLLBACK")
    other.close()
    press(page, "verdict-known")
    assert verdicts(compare_run).set_index("gene").loc[first_genes[0], "comment"] == "mine"


def test_queues_filters_and_groups_of_cells(open_page, compare_run, first_genes, tmp_path):
    gmt = tmp_path / "stem.gmt"
    gmt.write_text("\t".join(["Stem <b>cells</b>", "", *first_genes[:3]]) + "\n")
    add_resource("signatures", gmt)
    page = as_reviewer(open_page("review"))
    assert "Stem <b>cells</b>" in text_of(page) and "1 of 1 registered signatures" in text_of(page)
    page.multiselect(key="only").set_value(["signature_member"]).run()
    assert sorted(page.selectbox(key="gene").options) == sorted(first_genes[:3])
    page = press(page, "verdict-known")
    page = page.selectbox(key="show").set_value("open").run()
    assert len([o for o in page.selectbox(key="gene").options if o in first_genes[1:3]]) == 2
    page = press(press(page, "verdict-known"), "verdict-artefact")
    assert "No gene is left in this queue" in text_of(page)
    page = page.multiselect(key="only").set_value([]).run()
    page = page.selectbox(key="cells").set_value(page.selectbox(key="cells").options[1]).run()
    assert not page.exception and "This order has no interval" in text_of(page)
    assert f"In {page.selectbox(key='cells').value} it is hidden in" in text_of(page)
    page = press(page, "verdict-unclear")
    level = page.selectbox(key="cells").value
    assert verdicts(compare_run)["ranking"].tolist().count(f"above:self-guided in {level}") == 1
    page = page.selectbox(key="order").set_value("list").run()
    assert "Paste the genes" in text_of(page)
    page = page.text_area(key="list").set_value(f"{first_genes[9].lower()} NOSUCHGENE").run()
    page = page.selectbox(key="show").set_value("all").run()
    assert first_genes[9] in page.selectbox(key="gene").options
    assert "NOSUCHGENE" in text_of(page), "what was not found is said"


def test_a_gene_by_link_or_by_its_other_name(open_page, compare_run, first_genes):
    gene = maskable_genes(compare_run)[-1]
    assert gene_in_view(open_page("review", gene=gene)) == gene
    page = open_page("review", gene="NOSUCHGENE")
    assert gene_in_view(page) == first_genes[0]
    assert "NOSUCHGENE is not among the genes" in text_of(page)


def uploaded(name: str, content: bytes) -> SimpleNamespace:
    """Return what the browser sent, as Streamlit holds it."""
    return SimpleNamespace(name=name, file_id=name, size=len(content), getvalue=lambda: content)


def test_agreement_differences_and_files(open_page, compare_run, first_genes, tmp_path):
    for number, gene in enumerate(first_genes[:12]):
        record(compare_run, gene, ("known", "plausible", "artefact")[number % 3], "Ada")
        record(compare_run, gene, ("known", "plausible", "known")[number % 3], "Bo", comment="<b>x</b>")
    page = open_page("review", view="Agreement")
    assert not page.exception
    assert "Cohen's kappa 0.50 on 12 genes" in answer(page)
    assert "Reviewers differ on 4 genes" in text_of(page)
    pairs = next(table.value for table in page.dataframe if "kappa" in table.value)
    assert pairs[["genes", "same"]].iloc[0].tolist() == [12, 8]
    page = open_page("review", view="All verdicts")
    table = page.dataframe[0].value
    assert len(table) == 24 and "Divided (2 reviewers)" in set(table["together"])
    page = open_page("review", view="Files")
    assert not page.exception and f"sgm review export {compare_run.id}" in text_of(page)
    from pages.components.review_together import _take

    kept = export_verdicts(tmp_path / "v.csv", compare_run).read_bytes()
    undo(compare_run, "Bo")
    assert _take(compare_run, uploaded("v.csv", kept)) == ("0 verdicts taken; 24 rows known already.", True)
    said, well = _take(compare_run, uploaded("../../x.csv", b"gene,reviewer,verdict\nNOSUCHGENE,Cy,known\n"))
    assert not well and "x.csv holds no verdict that can be taken" in said


def test_a_damaged_file_of_verdicts_is_one_line_on_each_page(open_page, compare_run):
    database.database_path().write_bytes(b"no database at all, and long enough to be looked at" * 20)
    for name in ("review", "masked_genes"):
        page = open_page(name)
        assert not page.exception
        assert "reviews.sqlite is damaged" in text_of(page)
    assert titles(page), "Masked genes shows its figures all the same"


def test_verdicts_on_masked_genes_and_in_enrichment(open_page, compare_run, first_genes):
    record(compare_run, first_genes[0], "artefact", "Ada")
    record(compare_run, first_genes[1], "known", "Ada")
    page = open_page("masked_genes", evidence="Table", gene=first_genes[0])
    table = page.dataframe[0].value.set_index("gene")
    assert table.loc[first_genes[0], "verdict"] == "Artefact"
    assert "Artefact" in text_of(page), "the card of the gene says so"
    figure = page.get("plotly_chart")[0].proto.spec
    assert "Artefact (1)" in figure and "Known AML gene (1)" in figure
    page = press(page, "review-it")
    assert page.title[0].value == "Review" and gene_in_view(page) == first_genes[0]
    page = open_page("enrichment")
    page = page.toggle(key="without-artefacts").set_value(True).run()
    assert not page.exception
    assert f"is left out of lists and universe: {first_genes[0]}" in text_of(page)


def test_without_masks_the_page_says_what_to_do(open_page, demo_dataset):
    run = create_run("compare", "small", {"data": "small"})
    run.begin()
    page = open_page("review", run=run.id)
    assert not page.exception
    assert "No mask counts yet" in text_of(page)


def test_the_session_remembers_the_gene_in_view(open_page, compare_run, first_genes):
    page = press(as_reviewer(open_page("review")), "review-next")
    page = page.switch_page("pages/masked_genes.py").run()
    assert not page.exception and not page.error
    page = page.switch_page("pages/review.py").run()
    assert gene_in_view(page) == first_genes[1], "the session remembers where it was"


def test_with_a_login_nobody_is_asked_for_a_name(open_page, compare_run, first_genes, sgm_home):
    (sgm_home / "config.toml").write_text('[access]\nviewers = ["@lab.test"]\n')
    user = {"is_logged_in": True, "email": "ada@lab.test", "name": "Ada"}
    page = press(open_page("review", user=user), "verdict-known")
    assert verdicts(compare_run)["reviewer"].tolist() == ["Ada (ada@lab.test)"]
    assert not [button for button in page.button if button.key == "review-leave"]
