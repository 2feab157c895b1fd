"""Masked genes: verdict, Figure 2 beside its control, the gene card."""

import pytest
from page_text import read, text_of, titles
from synthetic_run import guided_genes

from sgm_core.analysis.diagnostic import diagnostic
from sgm_core.analysis.verdict import agreement_sentence, verdict
from sgm_core.cells.dataset import open_dataset
from sgm_core.home import write_table
from sgm_core.resources.store import add_resource
from sgm_core.runs.biology import keep_biology, run_biology
from sgm_core.runs.store import create_run


def test_the_answer_is_the_verdict_on_the_arm_with_the_uniform_control_beside_it(open_page, compare_run):
    page = open_page("masked_genes")
    assert not page.exception
    masks, cells, start = (compare_run.read_table(name) for name in ("masks", "mask_cells", "masks_start"))
    found = diagnostic(masks, cells, "self-guided", start=start)
    assert verdict(found).sentence in text_of(page)
    assert agreement_sentence(found) in text_of(page)
    assert "Uniform + summary.** Masks are indistinguishable from uniform" in text_of(page)
    assert titles(page)[0].startswith("Self-guided: mask frequency")
    assert titles(page)[1].startswith("Uniform + summary: mask frequency")


VIEWS = {  # what each view has and no other
    "Ranking": "Self-guided: hidden beyond expression",
    "By cell type": "Self-guided: the 30 genes of highest lift, by cell type",
    "By epoch": "Effective share of genes by epoch",
    "Is it guided?": "What it means",
    "What are they?": "Self-guided, most masked: gene sets",
    "Table": "opportunities",
}


@pytest.fixture
def signature(compare_run, tmp_path):
    """A signature that is there to be found: the genes that the simulated arm prefers."""
    dataset = open_dataset(compare_run.dataset_name)
    genes = [dataset.genes[place] for place in guided_genes(dataset)]
    path = tmp_path / "found.gmt"
    path.write_text("\t".join(["Preferred <b>genes</b>", "", *genes]) + "\n")
    add_resource("signatures", path)


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_a_link(open_page, compare_run, signature, view):
    page = open_page("masked_genes", evidence=view)
    assert not page.exception
    assert not page.error
    there = [title.removesuffix(" · SIMULATED") for title in titles(page)]
    there += [column for table in page.dataframe for column in table.value]
    assert [name for name, sign in VIEWS.items() if sign in there] == [view]


def test_the_diagnostic_says_what_each_number_means(open_page, compare_run):
    page = open_page("masked_genes", evidence="Is it guided?")
    table = next(frame.value for frame in page.dataframe if "What it means" in frame.value)
    row = table.set_index("Measure").loc["Effective share of genes"]
    assert abs(float(row["Uniform"]) - 1) < 0.01
    assert float(row["Self-guided"]) < 0.99


def test_step_0_and_other_seeds_stand_beside_the_trained_masks(open_page, compare_run):
    page = open_page("masked_genes", evidence="Is it guided?")
    table = next(frame.value for frame in page.dataframe if "What it means" in frame.value)
    measures = list(table["Measure"])
    at = measures.index("Spread between genes of equal expression")
    assert measures[at + 1] == "The same, before training"
    trained, before = (float(table["Self-guided"][k].split("%")[0]) for k in (at, at + 1))
    assert trained > 10 > 2 > before
    shared = table.set_index("Measure").loc["Agreement between seeds"]
    assert " to " in shared["Self-guided"], "with its interval"
    assert "Self-guided: does another seed prefer the same genes?" in " ".join(titles(page))


def test_what_the_genes_are_by_cell_type_and_as_kept_beside_the_run(open_page, compare_run, signature):
    page = open_page("masked_genes", evidence="What are they?")
    assert not page.exception
    assert "no control does: Preferred <b>genes</b>" in text_of(page)
    cells = page.selectbox(key="biology-cells")
    page = cells.set_value(cells.options[1]).run()
    assert not page.exception
    assert "Within a group of cells all models are counted together" in text_of(page)
    table, _ = run_biology(compare_run, "self-guided", 40)
    keep_biology(compare_run, table.assign(set="as kept"))
    assert "no control does: as kept" in text_of(page.run())


def test_without_sets_the_page_says_how_to_add_them(open_page, compare_run):
    page = open_page("masked_genes", evidence="What are they?")
    assert "sgm resources add transcription-factors FILE" in text_of(page)


def test_a_run_of_one_seed_ranks_no_gene_by_lift(open_page, compare_run, signature):
    masks = compare_run.read_table("masks")
    write_table(compare_run.table_path("masks"), masks[masks["seed"].isin([-1, 0])].drop(columns="seed"))
    compare_run.table_path("masks_start").unlink()
    gene = str(masks["gene"].iloc[0])
    page = open_page("masked_genes", gene=gene)
    assert not page.exception
    text = text_of(page)
    assert "Whether another seed prefers the same genes is unknown" in text
    assert "No ranking beyond expression: one model can't tell" in text
    assert "in this model" in text
    orders = next(frame.value for frame in page.dataframe if "rank" in frame.value)
    assert "lift" not in orders
    for view in ("By cell type", "By epoch", "Is it guided?", "Table"):
        assert not open_page("masked_genes", evidence=view).exception
    text = text_of(open_page("masked_genes", evidence="What are they?"))
    assert "one seed can't tell what another prefers" in text
    assert "Undecided" in text[text.index("All cells.") - 40 :]
    page = open_page("enrichment")
    assert not page.exception
    assert page.selectbox(key="genes").value == "frequency", "it opens on what can be shown"
    assert not any("No enrichment" in warning.value for warning in page.warning)
    page.selectbox(key="genes").set_value("lift").run()
    assert any(
        "No enrichment by lift: one model can't tell" in read(warning.value) for warning in page.warning
    )


def test_a_gene_has_a_card_and_is_part_of_the_link(open_page, compare_run):
    gene = str(compare_run.read_table("masks")["gene"].iloc[0])
    page = open_page("masked_genes", gene=gene)
    assert not page.exception
    assert gene in [heading.value for heading in page.subheader]
    assert "times as often as genes of equal expression" in text_of(page)
    assert any(title.startswith(f"{gene}: how often hidden") for title in titles(page))


def test_a_gene_that_does_not_exist_is_no_error(open_page, compare_run):
    page = open_page("masked_genes", gene="NOSUCHGENE")
    assert not page.exception
    assert not page.error


def test_a_run_without_masks_says_what_to_do(open_page, demo_dataset):
    run = create_run("compare", "small", {"data": "small"})
    run.begin()
    page = open_page("masked_genes", run=run.id)
    assert not page.exception
    assert "No mask counts yet" in text_of(page)
