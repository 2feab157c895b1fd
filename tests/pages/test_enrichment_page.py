"""Enrichment: terms of the hidden genes, with universe, library and controls."""

from page_text import text_of
from scipy.stats import hypergeom

from pages.components import gene_sets
from sgm_core.resources.store import DEMO_GENE_SETS, add_resource


def test_the_answer_universe_and_library_are_stated(open_page, compare_run):
    page = open_page("enrichment")
    assert not page.exception
    assert not page.error
    text = text_of(page)
    assert "the genes that the run could hide (1,000)" in text
    assert DEMO_GENE_SETS in text
    assert "subset for the demo" in text
    assert "sgm resources add genesets FILE.gmt" in text
    table = next(frame.value for frame in page.dataframe if "q_value" in frame.value)
    assert {"n_hits", "n_term", "genes", "group"} <= set(table)


def test_the_controls_stand_beside_the_arm(open_page, compare_run):
    page = open_page("enrichment")
    wide = next(frame.value for frame in page.dataframe if "Term" in frame.value)
    assert list(wide.columns)[1:] == [
        "Self-guided, most masked",
        "Self-guided, highest lift",
        "Uniform masks, most masked",
        "Before training, most masked",
        "Highest mean expression",
        "Lowest mean expression",
    ]


def test_a_list_of_ones_own_is_tested_without_a_run(open_page, demo_dataset, tmp_path):
    genes = [str(gene) for gene in demo_dataset.genes]
    gmt = tmp_path / "mine.gmt"
    gmt.write_text(
        "\t".join(["first ten", "", *genes[:10]]) + "\n" + "\t".join(["rest", "", *genes[10:99]]) + "\n"
    )
    add_resource("genesets", gmt)
    page = open_page("enrichment", library="mine")
    assert "Paste a list" in text_of(page)
    page.text_area(key="list").set_value(", ".join([*genes[:6], genes[20], "NOTAGENE"])).run()
    assert not page.exception
    table = next(frame.value for frame in page.dataframe if "q_value" in frame.value)
    expected = hypergeom.sf(5, len(genes), 10, 7)
    assert abs(table.loc[table["term"] == "first ten", "p_value"].iloc[0] - expected) < 1e-12
    assert "1 gene of it not in the universe" in text_of(page)
    assert "subset for the demo" not in text_of(page)


def test_a_list_of_unknown_genes_is_answered_plainly(open_page, demo_dataset):
    page = open_page("enrichment")
    page.text_area(key="list").set_value("ENSG00000000003 ENSG00000000005").run()
    assert not page.exception
    assert any("none of the 2 genes" in warning.value for warning in page.warning)


def test_symbols_are_read_from_any_separation():
    assert gene_sets.symbols("CD34, MPO;LYZ\nCD34\t'HLA-DRA'").genes == ("CD34", "MPO", "LYZ", "HLA-DRA")


def test_no_dataset_says_what_to_do(open_page):
    page = open_page("enrichment")
    assert not page.exception
    assert "Go to datasets" in [button.label for button in page.button]


def test_what_was_done_to_ones_own_list_is_said(open_page, demo_dataset):
    genes = [str(gene) for gene in demo_dataset.genes]
    page = open_page("enrichment")
    page.text_area(key="list").set_value("\n".join(["gene", *genes[:6], genes[7].lower(), "NOTAGENE"])).run()
    assert not page.exception
    said = " ".join(element.value for element in page.text)
    assert "Note: the header 'gene' of your list left out" in said
    assert f"Note: mapped by case: {genes[7].lower()} -> {genes[7]}" in said
    assert "1 of 8 genes are outside the universe: NOTAGENE" in said


def test_masks_that_are_not_guided_are_said_to_mean_nothing(open_page, compare_run):
    text = text_of(open_page("enrichment", genes="Most masked", arm="Uniform + summary"))
    assert "Proven" not in text
    guided = text_of(open_page("enrichment", genes="Highest lift"))
    assert "than chance" in guided


def test_two_rankings_stand_side_by_side(open_page, compare_run):
    page = open_page("enrichment", genes="Highest lift", shows="Side by side")
    assert not page.exception
    assert not page.error
    text = text_of(page)
    assert "Universe: the 1,000 genes that both could hide" in text
    assert "They share" in text
    table = next(frame.value for frame in page.dataframe if "q_difference" in frame.value)
    assert set(table["found"]) <= {"both", "A alone", "B alone", "neither"}


def test_all_genes_are_ranked_by_a_worker_that_is_asked_once(open_page, compare_run, monkeypatch):
    from sgm_core.runs.worker import carry_out

    monkeypatch.setattr("pages.components.enrichment_rank.launch", lambda run: carry_out(run, run))
    page = open_page("enrichment", genes="Highest lift", shows="All genes ranked")
    assert "Not asked yet" in text_of(page)
    next(button for button in page.button if button.key == "rank-genes").click().run()
    assert not page.exception
    text = text_of(page)
    assert "lie among the genes that are hidden most" in text
    assert "Leading genes" in text
    again = open_page("enrichment", genes="Highest lift", shows="All genes ranked")
    assert "Not asked yet" not in text_of(again)


def test_a_universe_that_is_pasted_and_ensembl_ids(open_page, demo_dataset):
    genes = [str(gene) for gene in demo_dataset.genes]
    page = open_page("enrichment")
    page.radio(key="universe").set_value("own").run()
    page.text_area(key="list").set_value(" ".join([*genes[:6], "9-Sep"])).run()
    assert "Paste the genes of the universe" in text_of(page)
    page.text_area(key="universe-list").set_value(" ".join([*genes[:500], "SEPTIN9"])).run()
    assert not page.exception
    assert "Universe: the genes that I pasted (501)" in text_of(page)
    changed = next(frame.value for frame in page.dataframe if "As written" in frame.value)
    assert changed.to_numpy().tolist() == [["9-Sep", "SEPTIN9", "date"]]


def test_genes_that_are_sent_arrive(open_page, compare_run, demo_dataset):
    from pages.components import handover

    genes = demo_dataset.genes[:7].tolist()
    page = open_page("enrichment")
    page.session_state["sent"] = (handover.MASKED, {"marked": (genes, genes)})
    page.switch_page("pages/masked_genes.py").run()
    assert not page.exception
    assert f"7 genes marked: {genes[0]}" in text_of(page)
    next(button for button in page.button if button.label == "Take the marks off").click().run()
    assert not page.exception
    assert "marked:" not in text_of(page)
